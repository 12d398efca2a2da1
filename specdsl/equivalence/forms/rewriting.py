"""What makes a term simpler: equal atoms collect, orthonormal ones contract, inverses meet what they invert."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from specdsl.equivalence.forms.form import Atom, Key, Term, World
from specdsl.equivalence.forms.index import ONE, ZERO, Place, Slot, Var, unified
from specdsl.sizes import Size

IDEMPOTENT = ("mask",)


def rewritten(term: Term, world: World) -> Iterator[Term]:
    """The term in its simplest form, which may be several terms, or none where it is zero."""
    waiting = [term]
    while waiting:
        now = _without_units(waiting.pop())
        now = _collected(now)
        if not now.coefficient.terms:
            continue
        step = _contracted(now, world)
        if step is not None:
            waiting.extend(step)
            continue
        inverted = _uninverted(now, world)
        if inverted is not None:
            waiting.extend(inverted)
            continue
        yield now


def _without_units(term: Term) -> Term:
    """Indices over a single place are dropped where they stand at its beginning."""
    by: dict[Var, Slot] = {}
    for slot in (*term.out, *(slot for atom in term.atoms for slot in atom.slots)):
        for place in slot:
            if place.var.size == ONE and place.offset == ZERO:
                by[place.var] = ()
    offsets = {
        place.var
        for slot in (*term.out, *(slot for atom in term.atoms for slot in atom.slots))
        for place in slot
        if place.offset != ZERO
    }
    by = {var: slot for var, slot in by.items() if var not in offsets}
    return term.replaced(by)


def _collected(term: Term) -> Term:
    """Equal atoms at one index become one with a power; `x^1 x^-1 = 1`, where x is not zero."""
    powers: dict[tuple[Key, tuple[Slot, ...]], Fraction] = {}
    for atom in term.atoms:
        place = (atom.key, atom.slots)
        powers[place] = powers.get(place, Fraction(0)) + atom.power
    if len(powers) == len(term.atoms) and all(powers.values()):
        return term
    atoms = []
    for (key, slots), power in powers.items():
        if key.kind in IDEMPOTENT and power > 0:
            power = Fraction(1)
        if (key.name == "entries" and power.denominator == 1 and power > 0) or power:
            atoms.append(Atom(key, slots, power))
    return Term(term.coefficient, tuple(atoms), term.out)


def _uses(term: Term) -> dict[Var, int]:
    count: dict[Var, int] = {}
    for slot in (*term.out, *(slot for atom in term.atoms for slot in atom.slots)):
        for place in slot:
            count[place.var] = count.get(place.var, 0) + 1
    return count


def _contracted(term: Term, world: World) -> list[Term] | None:
    """`U.T @ U = I`: two orthonormal atoms that meet over a whole axis become an identity."""
    uses: dict[Var, int] | None = None
    for first, one in enumerate(term.atoms):
        if not one.key.orthonormal or len(one.slots) != 2:
            continue
        for second in range(first + 1, len(term.atoms)):
            other = term.atoms[second]
            if other.key != one.key or one.power != 1 or other.power != 1:
                continue
            uses = uses or _uses(term)
            for axis in one.key.orthonormal:
                if one.slots[axis] != other.slots[axis] or not _is_bound(
                    one.slots[axis], one.key.axes[axis], uses, term
                ):
                    continue
                by = unified(one.slots[1 - axis], other.slots[1 - axis], world.at_most)
                if by is None:
                    return []
                rest = tuple(a for place, a in enumerate(term.atoms) if place not in (first, second))
                lone = {place.var for atom in (one, other) for place in atom.slots[1 - axis]}
                left = Term(term.coefficient, rest, term.out).replaced(by)
                coefficient = left.coefficient
                alive = left.vars
                for var in {p.var for v in lone for p in by.get(v, (Place(v),))}:
                    if var not in alive:
                        coefficient = coefficient * var.size
                return [Term(coefficient, left.atoms, left.out)]
    return None


def _is_bound(slot: Slot, size: Size, uses: dict[Var, int], term: Term) -> bool:
    """Whether an index runs over the whole axis and stands at these two atoms alone."""
    product = ONE
    for place in slot:
        if place.offset != ZERO or uses[place.var] != 2:
            return False
        product = product * place.var.size
    return product == size


def _uninverted(term: Term, world: World) -> list[Term] | None:
    """`K inverse(K) = I`, said of the leading atom of K: it becomes what is left of K, moved to the other side."""
    for place, atom in enumerate(term.atoms):
        if atom.key.name != "inverse" or atom.power != 1 or len(atom.slots) != 2:
            continue
        lead = leading(atom.key)
        if lead is None:
            continue
        text, key, flipped = lead
        for other, candidate in enumerate(term.atoms):
            if other == place or candidate.key != key or candidate.power != 1:
                continue
            found = _beside(term, place, other, text, flipped, world)
            if found is not None:
                return found
    return None


def leading(key: Key) -> tuple[str, Key, bool] | None:
    """Of an inverse: the term of its matrix that is one atom alone, the last by its text; whether it is transposed."""
    (inner,) = key.arguments
    if len(inner.terms) < 1 or len(inner.axes) != 2:
        return None
    found = None
    for text, term in inner.terms.items():
        if len(term.atoms) == 1 and term.atoms[0].power == 1 and len(term.atoms[0].slots) == 2:
            slots = term.atoms[0].slots
            if slots == term.out and slots[0] != slots[1]:
                found = (text, term.atoms[0].key, False)
            elif slots == term.out[::-1] and slots[0] != slots[1]:
                found = (text, term.atoms[0].key, True)
    return found


def _beside(term: Term, place: int, other: int, text: str, flipped: bool, world: World) -> list[Term] | None:
    """The term with `lead @ inverse` or `inverse @ lead` written out, where they stand side by side."""
    inverse, lead = term.atoms[place], term.atoms[other]
    rows, columns = lead.slots if not flipped else lead.slots[::-1]
    uses = _uses(term)
    size = inverse.key.axes[0]
    (inner,) = inverse.key.arguments
    number = inner.terms[text].coefficient
    rest = [atom for at, atom in enumerate(term.atoms) if at not in (place, other)]
    if columns == inverse.slots[0] and _is_bound(columns, size, uses, term):
        outer_left, outer_right, after = rows, inverse.slots[1], True
    elif rows == inverse.slots[1] and _is_bound(rows, size, uses, term):
        outer_left, outer_right, after = inverse.slots[0], columns, False
    else:
        return None
    by = unified(outer_left, outer_right, world.at_most)
    made: list[Term] = []
    base = term.coefficient / number
    if by is not None:
        unit = Term(base, tuple(rest), term.out).replaced(by)
        lone = {p.var for slot in (outer_left, outer_right) for p in slot}
        coefficient, alive = unit.coefficient, unit.vars
        for var in {p.var for v in lone for p in by.get(v, (Place(v),))} - alive:
            coefficient = coefficient * var.size
        made.append(Term(coefficient, unit.atoms, unit.out))
    for name, piece in inner.terms.items():
        if name == text:
            continue
        new = piece.fresh()
        middle_slot = new.out[1] if after else new.out[0]
        tail = Atom(inverse.key, (middle_slot, outer_right) if after else (outer_left, middle_slot))
        wide = Term(
            -base * new.coefficient, (*rest, *new.atoms, tail), (*term.out, new.out[0] if after else new.out[1])
        )
        at = unified(outer_left if after else outer_right, wide.out[-1], world.at_most)
        if at is None:
            continue
        moved = wide.replaced(at)
        made.append(Term(moved.coefficient, moved.atoms, moved.out[:-1]))
    return made
