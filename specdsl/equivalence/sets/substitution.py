"""Explicit maps between the factors of two specs: `theta_b = f(theta_a)` with `b(f(theta_a)) = a(theta_a)`.

What the reductions found is walked back: from the reduced factors of b to its own ones, over the factors of a. A map
that comes out is put into b and compared with a exactly, so nothing here has to be believed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from specdsl.equivalence.forms.arrays import FormArrays
from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World, atom_form
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm, unified
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.factoring import product_parts, sum_parts
from specdsl.equivalence.sets.image import Image, Space, Step
from specdsl.equivalence.sets.matching import Renaming
from specdsl.equivalence.sets.patterns import places_of

INVERSE = "full-rank pinv"


def substitution(a: Image, b: Image, reduced: tuple[Image, Image], found: Mapping[str, Form]) -> dict[str, Form] | None:
    """Every factor of b over the factors of a, or None where no formula says it.

    Args:
        a, b: the specs' own parametrisations.
        reduced: what the rules made of them.
        found: every factor of b's reduced one over those of a's.
    """
    try:
        forms = _walked_back(a, reduced[0].steps, reduced[1].steps, found, b)
        if forms is None or any(name not in forms for name in b.factors):
            return None
        chosen = {name: forms[name] for name in b.factors}
        if any("x" in form.reads or not form.trained <= a.factors.keys() for form in chosen.values()):
            return None  # a factor that a rule took away has no formula
        if not _gives_back(a, b, chosen):
            return None
    except NoForm:
        return None
    return chosen if all(_is_allowed(chosen[name], space) for name, space in b.factors.items()) else None


def _gives_back(a: Image, b: Image, chosen: Mapping[str, Form]) -> bool:
    cuts = {name: form for form in chosen.values() for name, form in _cut_up(form, a)}
    made = {target: _undone_inverses(form.put(cuts)) for target, form in b.put(chosen).items()}
    return all(form == a.forms[target].put(cuts) for target, form in made.items())


def _cut_up(form: Form, a: Image) -> Iterator[tuple[str, Form]]:
    """The factors of which a form reads the first places of an axis, as that stretch and the rest."""
    arrays = FormArrays(a.world)
    for term in form.terms.values():
        for atom in term.atoms:
            for axis, slot in enumerate(atom.slots):
                if atom.key.kind != "trained" or len(slot) != 1 or slot[0].offset != ZERO:
                    continue
                whole, cut = atom.key.axes[axis], slot[0].var.size
                if cut not in (whole, ONE):
                    own = values.factor(atom.key.name, a.factors[atom.key.name], a.world)
                    parts = [arrays.stretch(own, axis, ZERO, cut), arrays.stretch(own, axis, cut, whole)]
                    yield atom.key.name, arrays.concat(parts, axis)


def renamed_factors(renaming: Renaming, a: Image) -> dict[str, Form]:
    """A renaming as a map."""
    return {
        name: values.factor(owner, a.factors[owner], a.world, (1, 0) if flipped else None)
        for name, (owner, flipped) in renaming.names.items()
    }


def _walked_back(
    a: Image, ours: tuple[Step, ...], theirs: tuple[Step, ...], found: Mapping[str, Form], b: Image
) -> dict[str, Form] | None:
    forms = dict(found)
    for step in reversed(ours):
        forms = {name: form.put(step.new) for name, form in forms.items()}
    for step in reversed(theirs):
        old = _old(step, forms, a)
        if old is None:
            return None
        forms |= old
    return forms | {name: values.zeros(space.axes, a.world) for name, space in b.factors.items() if name not in forms}


def _old(step: Step, forms: Mapping[str, Form], a: Image) -> dict[str, Form] | None:
    """The factors before a step, where those after it are known."""
    if any(name not in forms for name in step.new):
        return {name: values.zeros(space.axes, a.world) for name, space in step.gone.items()}  # nothing reads them
    if step.old:
        return {name: form.put(forms) for name, form in step.old.items()}
    (value,) = (forms[name] for name in step.new)
    (new,) = step.new.values()
    if len(step.gone) == 2:
        return product_parts(step, new, value) if len(new.terms) == 1 else sum_parts(step, new, value)
    return _single(step, new, value, a)


def _is_allowed(value: Form, space: Space) -> bool:
    """Whether a factor may have a value: an orthonormal one that of another."""
    if not space.orthonormal:
        return True
    if len(value.terms) != 1:
        return False
    (term,) = value.terms.values()
    if len(term.atoms) != 1 or term.coefficient not in (ONE, -ONE) or len(term.out) != len(term.atoms[0].slots):
        return False
    slots = term.atoms[0].slots
    marks = frozenset(axis for axis, slot in enumerate(term.out) if slots.index(slot) in term.atoms[0].key.orthonormal)
    return set(slots) == set(term.out) and space.orthonormal <= marks and value.axes == space.axes


# ------------------------------------------------------------------------------------------------ one factor


def _single(step: Step, new: Form, value: Form, a: Image) -> dict[str, Form] | None:
    ((name, space),) = step.gone.items()
    own = values.factor(name, space, a.world)
    if new == own and not space.orthonormal:
        return {name: value}
    for candidate in _alike(a, space):
        if new.put({name: candidate}) == value:
            return {name: candidate}
    return _undone(name, space, new, value, a.world)


def _alike(a: Image, space: Space) -> Iterator[Form]:
    """The factors of a with the axes of another."""
    for name, own in a.factors.items():
        if own.axes == space.axes:
            yield values.factor(name, own, a.world)
        if len(own.axes) == 2 and own.axes[::-1] == space.axes:
            yield values.factor(name, own, a.world, (1, 0))


def _undone(name: str, space: Space, new: Form, value: Form, world: World) -> dict[str, Form] | None:
    """C for `W@C = value`: what stands beside W there, or `W.T@inverse(W@W.T)@value`."""
    if len(new.terms) != 1:
        return None
    (term,) = new.terms.values()
    matrix = next((atom for atom in term.atoms if atom.key.name != name), None)
    factor = next((atom for atom in term.atoms if atom.key.name == name), None)
    if matrix is None or factor is None or len(term.atoms) != 2 or len(matrix.slots) != 2 or matrix.power != 1:
        return None
    open_axis = next(axis for axis in (0, 1) if matrix.slots[axis] in term.out)
    at = term.out.index(matrix.slots[open_axis])
    beside = _beside(value, matrix, open_axis, at, space)
    if beside is not None:
        return {name: beside}
    return {name: _inverse_times(matrix, open_axis, at, space, value)}


def _inverse_times(matrix: Atom, open_axis: int, at: int, space: Space, value: Form) -> Form:
    """The value with an axis multiplied by what undoes a matrix of full rank."""
    key, world = matrix.key, value.world
    plain = atom_form(key, key.axes, world)
    if (1 - open_axis) in key.orthonormal:
        inverse = plain.transposed((1, 0))
    else:
        axes = key.axes[::-1]
        inverse = atom_form(Key("operator", INVERSE, axes, (), (plain,)), axes, world)
    inverse = inverse if open_axis == 0 else inverse.transposed((1, 0))
    letters = "abcdefg"[: len(space.axes)]
    turned = letters.replace(letters[at], "z")
    return FormArrays(world).einsum(f"{letters[at]}z,{turned}->{letters}", inverse, value)


def _undone_inverses(form: Form) -> Form:
    """The form with `W@pinv(W)` of a wide W, and `pinv(W)@W` of a tall one, as the identity: W has full rank."""
    terms, changed = [], False
    for term in form.terms.values():
        after = _without_inverse(term, form.world)
        changed = changed or after is not None
        terms.append(after or term)
    return _undone_inverses(Form.of(form.axes, terms, form.world)) if changed else form


def _without_inverse(term: Term, world: World) -> Term | None:
    inverses = [atom for atom in term.atoms if atom.key.name == INVERSE and atom.power == 1]
    for inverse, other in itertools.product(inverses, term.atoms):
        rows, columns = inverse.key.axes[::-1]
        if _inverted(inverse) != other.key or other.power != 1:
            continue
        for inner in (0, 1):
            long, short = (columns, rows) if inner else (rows, columns)
            shared = other.slots[inner]
            if not world.at_most(short, long) or shared != inverse.slots[1 - inner] or len(shared) != 1:
                continue
            (place,) = shared
            if places_of(term, place.var) != 2 or place.var.size != long or place.offset != ZERO:
                continue
            by = unified(other.slots[1 - inner], inverse.slots[inner], world.at_most)
            if by is not None:
                rest = tuple(atom for atom in term.atoms if atom is not inverse and atom is not other)
                return Term(term.coefficient, rest, term.out).replaced(by)
    return None


def _inverted(inverse: Atom) -> Key | None:
    """The matrix that an inverse is of, where it is one of the module's or drawn."""
    (argument,) = inverse.key.arguments
    if len(argument.terms) != 1:
        return None
    (term,) = argument.terms.values()
    if len(term.atoms) != 1 or term.coefficient != ONE or term.atoms[0].slots != term.out or term.atoms[0].power != 1:
        return None
    return term.atoms[0].key


def _beside(value: Form, matrix: Atom, open_axis: int, at: int, space: Space) -> Form | None:
    """The value without a matrix that every term has at an axis."""
    terms = []
    for term in value.terms.values():
        own = next((atom for atom in term.atoms if atom.key == matrix.key and atom.power == 1
                    and atom.slots[open_axis] == term.out[at]), None)  # fmt: skip
        if own is None:
            return None
        rest = tuple(atom for atom in term.atoms if atom is not own)
        out = tuple(own.slots[1 - open_axis] if axis == at else slot for axis, slot in enumerate(term.out))
        if any(place.var in {v for atom in rest for v in atom.vars} for place in term.out[at]):
            return None
        terms.append(Term(term.coefficient, rest, out))
    return Form.of(space.axes, terms, value.world).fresh_copy()
