"""Rules by which what stands beside a factor, or is added to it, goes into it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

from specdsl.equivalence.forms.canonical import canonical
from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World, atom_form
from specdsl.equivalence.forms.index import ONE, ZERO
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.image import Image, Space, Use, keys_of
from specdsl.equivalence.sets.patterns import (
    common_companions,
    free_factors,
    linear_factors,
    multiplied,
    numbered,
    over_axes,
    places_of,
    scaled_factors,
    shared_axes,
)
from specdsl.equivalence.sets.proposals import Proposal
from specdsl.sizes import Size


def unit_coefficient(image: Image) -> Iterator[Proposal]:
    """`c*A@B` is `A@B`: a number beside a free factor goes into it."""
    for name, space, uses, is_positive in scaled_factors(image):
        numbers = {use.term.coefficient for use in uses}
        if len(numbers) == 1 and numbers != {ONE}:
            (number,) = numbers
            if not is_never_zero(number, image.world) or (is_positive and not image.world.at_most(ZERO, number)):
                continue
            new = image.fresh_name(name)
            own, old = (values.factor(one, space, image.world) for one in (new, name))
            yield Proposal(
                "a number goes into a free factor", (name,), {new: space},
                {name: own.scaled(ONE / number)}, {new: old.scaled(number)},
            )  # fmt: skip


def is_never_zero(number: Size, world: World) -> bool:
    """Whether a number made of sizes is not zero for any of them: a product of sizes is not, a difference may be."""
    return len(number.terms) == 1 or world.at_most(ONE, number) or world.at_most(number, -ONE)


def companion(image: Image) -> Iterator[Proposal]:
    """`d .* S` is `t` where no entry of S is zero: what always stands beside a free factor goes into it."""
    for name, space, uses, needs_positive in scaled_factors(image):
        for pattern in common_companions(uses):
            key, _, power = pattern
            if (space.rank is not None and len(key.axes) > 1) or (needs_positive and not is_positive(key, power)):
                continue
            condition = never_zero(key, power)
            if condition is None or name in key.trained or "x" in key.reads:
                continue
            new = image.fresh_name(name)
            own, old = (values.factor(one, space, image.world) for one in (new, name))
            beside = over_axes(pattern, space, image.world, Fraction(1))
            against = over_axes(pattern, space, image.world, Fraction(-1))
            yield Proposal(
                "what stands beside a free factor goes into it", (name,), {new: space},
                {name: own * against}, {new: old * beside}, condition=condition,
            )  # fmt: skip


CONTINUOUS = ("kaiming", "xavier", "normal", "uniform", "orthogonal")


def is_continuous(key: Key) -> bool:
    """Whether it is a random value that hits no given number, and no given rank."""
    return key.kind in ("frozen", "start", "draw") and key.options[:1] != () and key.options[0] in CONTINUOUS


def never_zero(key: Key, power: Fraction) -> str | None:
    """What has to hold so that an atom has no entry zero or infinite; None where that is not to be expected."""
    from specdsl.equivalence.forms.roots import nonzero_text
    from specdsl.equivalence.forms.text import key_text

    if key.kind == "part" and key.name == "S":
        return "no singular value of W is zero"
    if key.kind == "site" and key.name in ("W", "b"):
        return f"no entry of {key.name} is zero"
    if is_continuous(key):
        return f"no entry of {key_text(key)} is zero"
    if key.name == "entries" and power.denominator == 2 and (power < 0 or not key.trained):
        return nonzero_text(key.arguments[0])
    if key.kind == "operator" and key.name == "exp":
        return ""
    return None


def is_positive(key: Key, power: Fraction) -> bool:
    """Whether no entry of an atom is negative, as of singular values and of norms."""
    return (
        (key.kind == "part" and key.name == "S")
        or (key.kind == "operator" and key.name == "exp")
        or (key.name == "entries" and power.denominator == 2)
    )


def shift(image: Image) -> Iterator[Proposal]:
    """`S + d` is `s`: what is added to a free factor goes into it."""
    for name, space in image.factors.items():
        if not space.is_free:
            continue
        for constant in itertools.chain(_addends(image, name, space), _networks(image, name, space)):
            new = image.fresh_name(name)
            own, old = (values.factor(one, space, image.world) for one in (new, name))
            yield Proposal(
                "what is added to a free factor goes into it", (name,), {new: space},
                {name: own - constant}, {new: old + constant},
            )  # fmt: skip


def _addends(image: Image, name: str, space: Space) -> Iterator[Form]:
    numbers = _coefficients(image, name)
    seen: set[str] = set()
    for key in keys_of(image.forms):
        if key.token in seen or key.axes != space.axes or name in key.trained or "x" in key.reads:
            continue
        seen.add(key.token)
        orders = [(0, 1), (1, 0)] if len(space.axes) == 2 and space.axes[0] == space.axes[1] else [None]
        for order in orders:
            value = atom_form(key, space.axes, image.world)
            value = value if order in (None, (0, 1)) else value.transposed(order)
            for number in numbers:
                yield value.scaled(number)
    for number in numbers:
        yield values.ones(space.axes, image.world).scaled(number)
        if len(space.axes) == 2 and space.axes[0] == space.axes[1]:
            yield values.eye(*space.axes, image.world).scaled(number)


MOST_PARTS = 6


def _networks(image: Image, name: str, space: Space) -> Iterator[Form]:
    """What stands in another term in the factor's place, beside the same rest: `C` for `A@X + C@X`."""
    for use in image.uses(name):
        numbers = None if use.atom is None else numbered(use.atom)
        if use.atom is None or numbers is None:
            continue
        rest = Term(ONE, tuple(use.rest), (*use.term.out, *use.atom.slots))
        wanted = canonical(rest)[0]
        for target, term in image.terms():
            if target != use.target or name in term.trained or not len(use.rest) < len(term.atoms) <= MOST_PARTS:
                continue
            for value in parts_in_place(term, len(use.rest), wanted, space, image.world):
                yield value.scaled(term.coefficient / use.term.coefficient)


def parts_in_place(term: Term, beside: int, wanted: str, space: Space, world: World) -> Iterator[Form]:
    """Parts of a term that leave a rest with the wanted text, with their open indices as axes."""
    for kept in itertools.combinations(range(len(term.atoms)), beside):
        rest = [term.atoms[place] for place in kept]
        part = [atom for place, atom in enumerate(term.atoms) if place not in kept]
        outside = {var for atom in rest for var in atom.vars} | term.open_vars
        open_slots = list(dict.fromkeys(
            slot for atom in part for slot in atom.slots if any(place.var in outside for place in slot)))  # fmt: skip
        if len(open_slots) != len(space.axes) or any(len(slot) != 1 or slot[0].offset != ZERO for slot in open_slots):
            continue
        for slots in itertools.permutations(open_slots):
            if tuple(slot[0].var.size for slot in slots) != space.axes:
                continue
            if canonical(Term(ONE, tuple(rest), (*term.out, *slots)))[0] == wanted:
                yield Form.of(space.axes, [Term(ONE, tuple(part), slots)], world).fresh_copy()


def _coefficients(image: Image, name: str) -> list[Size]:
    """Ratios of the coefficients that occur, for what is added to a factor."""
    own = {term.coefficient for _, term in image.terms() if name in term.trained}
    others = {term.coefficient for _, term in image.terms()}
    for key in keys_of(image.forms):
        for argument in key.arguments:
            own |= {term.coefficient for term in argument.terms.values() if name in term.trained}
            others |= {term.coefficient for term in argument.terms.values()}
    found = {ONE, -ONE}
    for a in own:
        for b in others:
            if len(a.terms) == 1:
                found.add(b / a)
    return sorted(found, key=str)[:12]


def merged_beside(image: Image) -> Iterator[Proposal]:
    """`A@diag(d)` is `A`: a factor whose indices all belong to a free one goes into it, whatever numbers it holds."""
    for name, space, uses in linear_factors(image):
        for pattern in common_companions(uses):
            key, _, power = pattern
            other = key.name
            if space.rank is not None and len(key.axes) > 1:
                continue
            if key.kind != "trained" or power != 1 or other == name or other not in image.factors:
                continue
            theirs = image.uses_everywhere(other)
            number = SOME_VALUES.get(image.factors[other].range)
            if number is None or image.factors[other].rank is not None or image.factors[other].orthonormal:
                continue
            if any(use.atom is None for use in theirs) or len(theirs) != len(uses):
                continue
            new = image.fresh_name(name)
            own, old = (values.factor(one, space, image.world) for one in (new, name))
            beside = over_axes(pattern, space, image.world, Fraction(1))
            one = values.ones(image.factors[other].axes, image.world)
            yield Proposal(
                "a factor beside a free one goes into it", (name, other), {new: space},
                {name: own.scaled(ONE / number), other: one.scaled(number)}, {new: old * beside},
            )  # fmt: skip


SOME_VALUES = {"real": ONE, "nonnegative": ONE, "nonzero": ONE, "positive": ONE, "at most one": ONE, "unit": ONE / 2,
               "within one": ONE / 2}  # fmt: skip
"""A number of each range of entries, not zero."""


def merged_product(image: Image) -> Iterator[Proposal]:
    """`A@G` is `A` where the inner size is no bottleneck: one of two free factors becomes an identity."""
    free = list(free_factors(image, image.uses_everywhere))
    for name, space, uses in free:
        for other, their_space, theirs in free:
            if other == name or len(uses) != len(theirs):
                continue
            axes = shared_axes(uses, theirs)
            if axes is None or len(axes[0]) != 1:
                continue
            (mine,), (their,) = axes
            inner, outer = space.axes[mine], their_space.axes[1 - their]
            if len(their_space.axes) != 2 or not image.world.at_most(outer, inner):
                continue
            new = image.fresh_name(name)
            made = Space(tuple(outer if axis == mine else size for axis, size in enumerate(space.axes)))
            own = values.factor(new, made, image.world)
            own = own if inner == outer else values.padded(new, made, mine, inner, image.world)
            sizes = (inner, outer) if their == 0 else (outer, inner)
            unit = values.eye(*sizes, image.world)
            up = multiplied(name, space, mine, other, their_space, their, image.world)
            yield Proposal(
                "a product of free factors with room inside is free", (name, other), {new: made},
                {name: own, other: unit}, {new: up},
                condition="" if inner == outer else f"{outer} <= {inner}",
            )  # fmt: skip


def surjective(image: Image) -> Iterator[Proposal]:
    """`W@C` is free where W has full row rank: a fixed matrix in front of a free one goes into it."""
    for name, space in image.factors.items():
        uses = image.uses(name)
        if space.range != "real" or space.orthonormal or any(use.atom is None for use in uses):
            continue
        if space.rank is not None and len(space.axes) != 2:
            continue
        for axis in range(len(space.axes)):
            found = _matrix_at(uses, axis, image)
            if found is None:
                continue
            key, open_axis, condition = found
            size = key.axes[open_axis]
            new = image.fresh_name(name)
            made = Space(tuple(size if a == axis else s for a, s in enumerate(space.axes)), rank=space.rank)
            forms = {target: _absorbed(form, name, axis, key, open_axis, new, made)
                     for target, form in image.forms.items()}  # fmt: skip
            letters = "abcdefg"[: len(space.axes)]
            matrix = "z" + letters[axis] if open_axis == 0 else letters[axis] + "z"
            from specdsl.equivalence.forms.arrays import FormArrays
            from specdsl.equivalence.forms.text import key_text

            up = FormArrays(image.world).einsum(
                f"{matrix},{letters}->{letters.replace(letters[axis], 'z')}",
                atom_form(key, key.axes, image.world), values.factor(name, space, image.world),
            )  # fmt: skip
            yield Proposal(
                "a fixed matrix of full rank in front of a factor goes into it", (name,), {new: made}, None, {new: up},
                forms, condition=condition, down_text={name: f"pinv({key_text(key)}) times {new}"},
            )  # fmt: skip


def _matrix_at(uses: list[Use], axis: int, image: Image) -> tuple[Key, int, str] | None:
    """The fixed matrix that always multiplies an axis of a factor and can be undone, and its other axis."""
    found: set[tuple[Key, int]] = set()
    for use in uses:
        assert use.atom is not None
        numbers = numbered(use.atom)
        if numbers is None:
            return None
        var = next(var for var, place in numbers.items() if place == axis)
        if places_of(use.term, var) != 2:
            return None
        partner = next((a for a in use.rest if any(p.var is var for s in a.slots for p in s)), None)
        if partner is None or partner.power != 1 or len(partner.slots) != 2 or partner.key.trained:
            return None
        both = numbered(partner)
        if both is None:
            return None
        found.add((partner.key, 1 - both[var]))
    if len(found) != 1:
        return None
    key, open_axis = found.pop()
    condition = full_rank_over(key, open_axis, image.world)
    return None if condition is None else (key, open_axis, condition)


def full_rank_over(key: Key, open_axis: int, world: World) -> str | None:
    """What has to hold so that a fixed matrix reaches everything along an axis; None where it does not."""
    from specdsl.equivalence.forms.text import key_text

    size, inner = key.axes[open_axis], key.axes[1 - open_axis]
    if "x" in key.reads or key.trained or not world.at_most(size, inner):
        return None
    if key.orthonormal or key.name == "inverse":
        return "" if (1 - open_axis) in key.orthonormal or key.name == "inverse" or size == inner else None
    if key.kind == "site" or is_continuous(key):
        return f"{key_text(key)} has full {'row' if open_axis == 0 else 'column'} rank"
    return None


def _absorbed(form: Form, name: str, axis: int, key: Key, open_axis: int, new: str, space: Space) -> Form:
    terms = []
    for term in form.terms.values():
        own = next((a for a in term.atoms if a.key.kind == "trained" and a.key.name == name), None)
        if own is None:
            terms.append(term)
            continue
        var = own.slots[axis][0].var
        partner = next(a for a in term.atoms if a is not own and a.key == key and any(
            place.var is var for slot in a.slots for place in slot))  # fmt: skip
        slots = tuple(partner.slots[open_axis] if place == axis else slot for place, slot in enumerate(own.slots))
        rest = tuple(a for a in term.atoms if a is not own and a is not partner)
        terms.append(Term(term.coefficient, (*rest, Atom(space.key(new), slots)), term.out))
    return Form.of(form.axes, terms, form.world)
