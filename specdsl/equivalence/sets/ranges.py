"""Rules of what functions of a free factor run over: entry by entry, Cayley transforms, products of reflections."""

from __future__ import annotations

from collections.abc import Iterator

from specdsl.equivalence.forms.form import Atom, Form, Term, atom_form
from specdsl.equivalence.forms.index import ONE, NoForm
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.image import Image, Space, keys_of
from specdsl.equivalence.sets.patterns import lone_factor, operator_keys, substituted, unit_matrices
from specdsl.equivalence.sets.proposals import Proposal

SURJECTIONS = {"relu": "nonnegative", "abs": "nonnegative", "exp": "positive", "sigmoid": "unit",
               "tanh": "within one", "sin": "at most one", "cos": "at most one"}  # fmt: skip


def entrywise(image: Image) -> Iterator[Proposal]:
    """`relu(d)` is any number from 0 on: a function of a free factor runs over the function's range."""
    for key in set(keys_of(image.forms)):
        if key.name not in SURJECTIONS or key.kind != "operator" or len(key.arguments) != 1 or key.options:
            continue
        (argument,) = key.arguments
        if len(argument.terms) != 1:
            continue
        (term,) = argument.terms.values()
        if len(term.atoms) != 1 or term.coefficient != ONE or term.atoms[0].power != 1:
            continue
        atom = term.atoms[0]
        if (
            atom.key.kind != "trained"
            or atom.slots != tuple(s for s in term.out if s)
            or len(set(atom.slots)) < len(atom.slots)
        ):
            continue
        name = atom.key.name
        if not image.factors[name].is_free:
            continue
        new = image.fresh_name(name)
        made = Space(key.axes, SURJECTIONS[key.name])
        forms = substituted(image, key, values.factor(new, made, image.world))
        if any(name in form.trained for form in forms.values()):
            continue
        up = atom_form(key, key.axes, image.world)
        yield Proposal(
            f"{key.name} of a free factor runs over all {made.range} numbers", (name,), {new: made}, None, {new: up},
            forms, down_text={name: f"a value with {key.name}({name}) = {new}"},
        )  # fmt: skip


def powers(image: Image) -> Iterator[Proposal]:
    """`d .* d` is any number from 0 on, `1 ./ d` any but 0: a power of a factor runs over what powers reach."""
    for name, space in image.factors.items():
        atoms = [atom for _, term in image.terms_everywhere() for atom in term.atoms
                 if atom.key.kind == "trained" and atom.key.name == name]  # fmt: skip
        found = {atom.power for atom in atoms}
        if not space.is_free or len(found) != 1 or found == {1}:
            continue
        (power,) = found
        if power.denominator != 1:
            continue
        made = Space(space.axes, _POWERS[(power > 0, power % 2 == 0)])
        new = image.fresh_name(name)
        forms = {target: _unpowered(form, name, new, made) for target, form in image.forms.items()}
        yield Proposal(
            f"a factor to the power {power} runs over all {made.range} numbers", (name,), {new: made}, None,
            {new: values.factor(name, space, image.world).power(power)}, forms,
            down_text={name: f"a value whose power {power} is {new}"},
        )  # fmt: skip


_POWERS = {(True, True): "nonnegative", (True, False): "real", (False, True): "positive", (False, False): "nonzero"}


def _unpowered(form: Form, name: str, new: str, space: Space) -> Form:
    terms = []
    for term in form.terms.values():
        atoms = [
            Atom(space.key(new), atom.slots) if atom.key.kind == "trained" and atom.key.name == name else atom
            for atom in term.atoms
        ]
        if any(name in atom.key.trained for atom in atoms):
            raise NoForm("a power inside an operator")
        terms.append(Term(term.coefficient, tuple(atoms), term.out))
    return Form.of(form.axes, terms, form.world)


def rotations(image: Image) -> Iterator[Proposal]:
    """`inverse(eye + S)` for any skew S is `(eye + Q)/2` for any Cayley transform Q."""
    for key in operator_keys(image, "inverse"):
        (argument,) = key.arguments
        name = _any_skew(image, argument)
        if name is None or len(key.axes) not in (2, 3):
            continue
        new = image.fresh_name("Q")
        made = Space(key.axes, "rotations", orthonormal=frozenset({0, 1}) if len(key.axes) == 2 else frozenset())
        one = values.factor(new, made, image.world)
        half = (one + unit_matrices(key.axes, image.world)).scaled(ONE / 2)
        forms = substituted(image, key, half)
        if any(name in form.trained for form in forms.values()):
            continue
        inverse = atom_form(key, key.axes, image.world)
        yield Proposal(
            "Cayley transforms of all skew matrices are the rotations without the eigenvalue -1", (name,), {new: made},
            None, {new: inverse.scaled(ONE * 2) - unit_matrices(key.axes, image.world)}, forms,
            down_text={name: f"(eye - {new})@inverse(eye + {new})"},
        )  # fmt: skip


def reflections(image: Image) -> Iterator[Proposal]:
    """Products of r reflections (a zero column is none) are all orthogonal H with `rank(H - eye) <= r`."""
    for key in operator_keys(image, "householder"):
        (argument,) = key.arguments
        name = lone_factor(image, argument)
        if name is None or len(key.axes) != 2 or len(argument.axes) != 2:
            continue
        count = argument.axes[1]
        count = key.axes[0] if image.world.at_most(key.axes[0], count) else count
        new = image.fresh_name("H")
        made = Space(key.axes, "reflections", orthonormal=frozenset({0, 1}), count=count)
        forms = substituted(image, key, values.factor(new, made, image.world))
        if any(name in form.trained for form in forms.values()):
            continue
        yield Proposal(
            f"Cartan-Dieudonne: products of at most {argument.axes[1]} reflections are all orthogonal H with "
            f"rank(H - eye) <= {count}", (name,), {new: made}, None,
            {new: atom_form(key, key.axes, image.world)}, forms,
            down_text={name: f"reflections whose product is {new}"},
        )  # fmt: skip


def _any_skew(image: Image, form: Form) -> str | None:
    """The factor S of a form `eye + S` in which S is any skew matrix (of a stack: any of every matrix)."""
    skew = form - unit_matrices(form.axes, form.world)
    if skew.is_zero:
        return None
    if len(skew.terms) == 1:
        (term,) = skew.terms.values()
        if len(term.atoms) == 1 and term.atoms[0].key.name == "skew_from" and term.atoms[0].power == 1:
            return lone_factor(image, term.atoms[0].key.arguments[0])
        return None
    order = (*range(len(form.axes) - 2), len(form.axes) - 1, len(form.axes) - 2)
    names = sorted(skew.trained)
    if (
        len(names) != 1
        or len(skew.terms) != 2
        or skew.transposed(order) != -skew
        or not image.factors[names[0]].is_free
    ):
        return None
    is_plain = all(len(t.atoms) == 1 and t.atoms[0].key.kind == "trained" for t in skew.terms.values())
    return names[0] if is_plain and image.factors[names[0]].axes == form.axes else None
