"""How factors stand in a form: alone or once in every term, beside what, multiplied over which axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World
from specdsl.equivalence.forms.index import ONE, ZERO, Slot, Var
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.image import Image, Space, Use, keys_of
from specdsl.sizes import Size

Uses = Callable[[str], list[Use]]


def free_factors(image: Image, uses_of: Uses | None = None) -> Iterator[tuple[str, Space, list[Use]]]:
    """Free factors that every term reads once at most, and never inside an operator.

    Args:
        uses_of: `image.uses_everywhere` takes the terms inside operators too, each for itself.
    """
    for name, space in image.factors.items():
        uses = (uses_of or image.uses)(name)
        if space.is_free and uses and all(use.atom is not None for use in uses):
            yield name, space, uses


def linear_factors(image: Image) -> Iterator[tuple[str, Space, list[Use]]]:
    """Factors, free or of bounded rank, that every term, also inside operators, reads once at most."""
    for name, space in image.factors.items():
        uses = image.uses_everywhere(name)
        if space.range == "real" and not space.orthonormal and uses and all(use.atom is not None for use in uses):
            yield name, space, uses


def scaled_factors(image: Image) -> Iterator[tuple[str, Space, list[Use], bool]]:
    """Factors whose multiples run over the same, and whether of positive numbers only."""
    for name, space, uses in linear_factors(image):
        yield name, space, uses, False
    for name, space in image.factors.items():
        uses = image.uses_everywhere(name)
        if space.range in ("nonnegative", "positive") and uses and all(use.atom is not None for use in uses):
            yield name, space, uses, True


Pattern = tuple[Key, tuple[tuple[int, ...], ...], Fraction]


def _slot_numbers(slots: tuple[Slot, ...], of: Mapping[Var, int]) -> tuple[tuple[int, ...], ...] | None:
    """Slots in terms of numbered variables; None where one is not numbered or moved."""
    result = []
    for slot in slots:
        if any(place.var not in of or place.offset != ZERO for place in slot):
            return None
        result.append(tuple(of[place.var] for place in slot))
    return tuple(result)


def numbered(atom: Atom) -> dict[Var, int] | None:
    """The variables of an atom by axis; None unless every axis is one whole variable of its own."""
    numbers: dict[Var, int] = {}
    for axis, slot in enumerate(atom.slots):
        if (
            len(slot) != 1
            or slot[0].offset != ZERO
            or slot[0].var in numbers
            or slot[0].var.size != atom.key.axes[axis]
        ):
            return None
        numbers[slot[0].var] = axis
    return numbers


def _companions(use: Use) -> dict[Pattern, Atom]:
    """Atoms of a term whose indices are all among those of the factor's atom."""
    assert use.atom is not None
    numbers = numbered(use.atom)
    if numbers is None:
        return {}
    found: dict[Pattern, Atom] = {}
    for atom in use.rest:
        slots = _slot_numbers(atom.slots, numbers)
        if slots is not None:
            found[(atom.key, slots, atom.power)] = atom
    return found


def common_companions(uses: list[Use]) -> dict[Pattern, Atom]:
    shared = _companions(uses[0])
    for use in uses[1:]:
        other = _companions(use)
        shared = {pattern: atom for pattern, atom in shared.items() if pattern in other}
    return shared


def over_axes(pattern: Pattern, space: Space, world: World, power: Fraction) -> Form:
    """A companion as a value with the factor's axes."""
    key, slots, own = pattern
    from specdsl.equivalence.forms.index import slot_of

    whole = [slot_of(size) for size in space.axes]
    atom = Atom(key, tuple(tuple(place for axis in slot for place in whole[axis]) for slot in slots), own * power)
    return Form.of(space.axes, [Term(ONE, (atom,), tuple(whole))], world)


def places_of(term: Term, var: Var) -> int:
    slots = (*term.out, *(slot for atom in term.atoms for slot in atom.slots))
    return sum(place.var is var for slot in slots for place in slot)


Axes = tuple[int, ...]


def shared_axes(uses: list[Use], theirs: list[Use]) -> tuple[Axes, Axes] | None:
    """The axes over which two factors are always multiplied, and over which nothing else runs."""
    found: set[tuple[Axes, Axes]] = set()
    by_term = {id(use.term): use for use in theirs}
    for use in uses:
        partner = by_term.get(id(use.term))
        if partner is None or use.atom is None or partner.atom is None:
            return None
        mine, their = numbered(use.atom), numbered(partner.atom)
        if mine is None or their is None:
            return None
        shared = [var for var in mine if var in their]
        if any(places_of(use.term, var) != 2 for var in shared):
            return None
        found.add((tuple(mine[var] for var in shared), tuple(their[var] for var in shared)))
    return found.pop() if len(found) == 1 else None


def multiplied(name: str, space: Space, mine: int, other: str, their_space: Space, their: int, world: World) -> Form:
    """The factor with one axis multiplied by a matrix."""
    from specdsl.equivalence.forms.arrays import FormArrays

    letters = "abcdefg"[: len(space.axes)]
    matrix = letters[mine] + "z" if their == 0 else "z" + letters[mine]
    out = letters.replace(letters[mine], "z")
    return FormArrays(world).einsum(
        f"{letters},{matrix}->{out}", values.factor(name, space, world), values.factor(other, their_space, world)
    )


def with_renamed(form: Form, name: str, new: str, space: Space) -> Form:
    return form.mapped(lambda key: space.key(new) if key.kind == "trained" and key.name == name else key)


def operator_keys(image: Image, operator: str) -> list[Key]:
    found = {key for key in keys_of(image.forms) if key.kind == "operator" and key.name == operator}
    return sorted((key for key in found if len(key.arguments) == 1), key=lambda key: key.token)


def lone_factor(image: Image, form: Form) -> str | None:
    """The free factor that a form is, each entry once and with any number in front."""
    if len(form.terms) != 1:
        return None
    (term,) = form.terms.values()
    if len(term.atoms) != 1 or term.atoms[0].power != 1 or term.coefficient.constant is None:
        return None
    atom = term.atoms[0]
    slots = tuple(slot for slot in term.out if slot)
    if atom.key.kind != "trained" or sorted(map(repr, atom.slots)) != sorted(map(repr, slots)):
        return None
    return atom.key.name if image.factors[atom.key.name].is_free and len(set(slots)) == len(slots) else None


def unit_matrices(axes: tuple[Size, ...], world: World) -> Form:
    """The identity; for a stack one for every matrix."""
    unit = values.eye(axes[-1], axes[-1], world)
    return unit if len(axes) == 2 else values.ones(axes[:-2], world).outer(unit)


def substituted(image: Image, key: Key, value: Form) -> dict[str, Form]:
    """Every form with an operator's atom replaced by a value with the same axes."""
    stand_in = "\0"
    plain = Key("trained", stand_in, key.axes)
    found = {}
    for target, form in image.forms.items():
        marked = form.mapped(lambda one: plain if one == key else one)
        found[target] = marked.put({stand_in: value})
    return found
