"""What makes a term simpler: equal atoms collect, orthonormal ones contract, inverses meet what they invert."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from specdsl.equivalence.forms.form import Atom, Key, Term, World
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm, Place, Slot, Var, unified
from specdsl.operators import find_operator
from specdsl.sizes import Size

IDEMPOTENT = ("mask",)
MOST_STEPS = 3000


def rewritten(term: Term, world: World) -> Iterator[Term]:
    """The term in its simplest form, which may be several terms, or none where it is zero."""
    waiting = [term]
    for done in itertools.count():
        if not waiting:
            return
        if done > MOST_STEPS:
            raise NoForm("a term that does not become simpler")
        now = _without_units(waiting.pop())
        now = _collected(_together(now))
        if not now.coefficient.terms:
            continue
        step = _contracted(now, world)
        if step is not None:
            waiting.extend(step)
            continue
        opened = _opened_entries(now, world)
        if opened is not None:
            waiting.extend(opened)
            continue
        narrow = _narrowed(now, world)
        if narrow is not None:
            waiting.append(narrow)
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


def _together(term: Term) -> Term:
    """Two indices that always stand side by side, as blocks and what is inside of them, are one."""
    slots = [*term.out, *(slot for atom in term.atoms for slot in atom.slots)]
    pairs = {(one.var, two.var) for slot in slots for one, two in pairwise(slot)}
    for first, second in sorted(pairs, key=lambda pair: [id(var) for var in pair]) if pairs else ():
        if all(_stand_together(slot, first, second) for slot in slots):
            one = Var(first.size * second.size)
            return _together(_joined(term, first, second, one))
    return term


def _stand_together(slot: Slot, first: Var, second: Var) -> bool:
    """Whether neither index stands in a slot without the other right beside it."""
    places = [place.var for place in slot]
    if first not in places and second not in places:
        return True
    if places.count(first) != 1 or places.count(second) != 1 or any(place.offset != ZERO for place in slot):
        return False
    return places.index(second) == places.index(first) + 1


def _joined(term: Term, first: Var, second: Var, one: Var) -> Term:
    def slot(old: Slot) -> Slot:
        return tuple(Place(one) if place.var is first else place for place in old if place.var is not second)

    atoms = tuple(Atom(atom.key, tuple(map(slot, atom.slots)), atom.power) for atom in term.atoms)
    return Term(term.coefficient, atoms, tuple(map(slot, term.out)))


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


def _opened_entries(term: Term, world: World) -> list[Term] | None:
    """`sqrt(x)^2 = x`: what stands under a root and has lost it is written out again."""
    for place, atom in enumerate(term.atoms):
        if atom.key.name != "entries" or atom.power.denominator != 1 or atom.power < 1:
            continue
        (inner,) = atom.key.arguments
        rest = [other for at, other in enumerate(term.atoms) if at != place]
        if atom.power > 1:
            rest.append(Atom(atom.key, atom.slots, atom.power - 1))
        made = []
        for piece in inner.fresh():
            own = [slot for slot, size in zip(piece.out, inner.axes, strict=True) if size != ONE]
            whole = Term(term.coefficient * piece.coefficient, (*rest, *piece.atoms), term.out)
            met = _with_equal(whole, list(zip(atom.slots, own, strict=True)), world)
            if met is not None:
                made.append(met)
        return made
    return None


def _narrowed(term: Term, world: World) -> Term | None:
    """`f(M)[:k]` is `f(M[:k])` where f acts on every entry by itself."""
    from specdsl.equivalence.forms.arrays import FormArrays

    for at, atom in enumerate(term.atoms):
        if not _is_entrywise(atom.key):
            continue
        for axis, slot in enumerate(atom.slots):
            size = atom.key.axes[axis]
            if len(slot) != 1 or slot[0].var.size == size:
                continue
            (inner,) = atom.key.arguments
            start = slot[0].offset
            cut = FormArrays(world).stretch(inner, axis, start, start + slot[0].var.size)
            key = Key(atom.key.kind, atom.key.name, cut.axes, atom.key.options, (cut,))
            slots = (*atom.slots[:axis], (Place(slot[0].var),), *atom.slots[axis + 1 :])
            atoms = (*term.atoms[:at], Atom(key, slots, atom.power), *term.atoms[at + 1 :])
            return Term(term.coefficient, atoms, term.out)
    return None


def _is_entrywise(key: Key) -> bool:
    """Whether it is an operator that acts on every entry of one argument by itself."""
    if key.kind != "operator" or len(key.arguments) != 1 or key.arguments[0].axes != key.axes or ONE in key.axes:
        return False
    operator = find_operator(key.name)
    return operator is not None and "elementwise" in operator.facts


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
        if atom.key.name != "inverse" or atom.power != 1 or len(atom.slots) < 2:
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
    """Of an inverse: the term of its matrix that is one atom alone, the last by its text; whether it is transposed.

    An atom that other terms multiply by something is none: it would be written out again and again.
    """
    (inner,) = key.arguments
    found = None
    multiplied = {atom.key for term in inner.terms.values() if len(term.atoms) > 1 for atom in term.atoms}
    for text, term in inner.terms.items():
        if len(term.atoms) != 1 or term.atoms[0].power != 1 or len(term.atoms[0].slots) != len(inner.axes):
            continue
        slots, out = term.atoms[0].slots, term.out
        if slots[:-2] != out[:-2] or slots[-2] == slots[-1] or term.atoms[0].key in multiplied:
            continue
        if slots[-2:] == out[-2:]:
            found = (text, term.atoms[0].key, False)
        elif slots[-2:] == (out[-1], out[-2]):
            found = (text, term.atoms[0].key, True)
    return found


def _beside(term: Term, place: int, other: int, text: str, flipped: bool, world: World) -> list[Term] | None:
    """The term with `lead @ inverse` or `inverse @ lead` written out, where they stand side by side."""
    inverse, lead = term.atoms[place], term.atoms[other]
    stack = inverse.slots[:-2]
    if lead.slots[:-2] != stack:
        return None
    rows, columns = lead.slots[-2:] if not flipped else (lead.slots[-1], lead.slots[-2])
    uses = _uses(term)
    size = inverse.key.axes[-1]
    (inner,) = inverse.key.arguments
    number = inner.terms[text].coefficient
    rest = [atom for at, atom in enumerate(term.atoms) if at not in (place, other)]
    if columns == inverse.slots[-2] and _is_bound(columns, size, uses, term):
        outer_left, outer_right, after = rows, inverse.slots[-1], True
    elif rows == inverse.slots[-1] and _is_bound(rows, size, uses, term):
        outer_left, outer_right, after = inverse.slots[-2], columns, False
    else:
        return None
    base = term.coefficient / number
    made: list[Term] = []
    unit = _with_equal(Term(base, tuple(rest), term.out), [(outer_left, outer_right)], world, kept=(*stack,))
    if unit is not None:
        made.append(unit)
    for name, piece in inner.terms.items():
        if name == text:
            continue
        new = piece.fresh()
        middle, end = (new.out[-1], new.out[-2]) if after else (new.out[-2], new.out[-1])
        tail = Atom(inverse.key, (*stack, middle, outer_right) if after else (*stack, outer_left, middle))
        wide = Term(-base * new.coefficient, (*rest, *new.atoms, tail), term.out)
        pairs = [*zip(stack, new.out[:-2], strict=True), (outer_left if after else outer_right, end)]
        moved = _with_equal(wide, pairs, world)
        if moved is not None:
            made.append(moved)
    return made


def _with_equal(term: Term, pairs: list[tuple[Slot, Slot]], world: World, kept: tuple[Slot, ...] = ()) -> Term | None:
    """The term with slots made equal, pair by pair; indices that nothing reads any more are summed over."""
    slots = [slot for pair in pairs for slot in pair]
    wide = Term(term.coefficient, term.atoms, (*term.out, *kept, *slots))
    count = len(term.out) + len(kept)
    for place in range(len(pairs)):
        by = unified(wide.out[count + 2 * place], wide.out[count + 2 * place + 1], world.at_most)
        if by is None:
            return None
        wide = wide.replaced(by)
    closed = Term(wide.coefficient, wide.atoms, wide.out[: len(term.out)])
    coefficient = closed.coefficient
    for var in wide.vars - closed.vars:
        coefficient = coefficient * var.size
    return Term(coefficient, closed.atoms, closed.out)
