"""Forms made of factors: atoms with named indices, for substitutions."""

from __future__ import annotations

from collections.abc import Sequence

from specdsl.equivalence.forms.form import Atom, Form, Term, World
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm, Place, Slot, Var, slot_of
from specdsl.equivalence.sets.image import Space
from specdsl.sizes import Size


def factor(name: str, space: Space, world: World, order: Sequence[int] | None = None) -> Form:
    """The factor itself, its axes in another order if one is given."""
    slots = tuple(slot_of(size) for size in space.axes)
    order = range(len(slots)) if order is None else order
    term = Term(ONE, (Atom(space.key(name), slots),), tuple(slots[axis] for axis in order))
    return Form.of([space.axes[axis] for axis in order], [term], world)


def ones(axes: Sequence[Size], world: World) -> Form:
    return Form.of(axes, [Term(ONE, (), tuple(slot_of(size) for size in axes))], world)


def zeros(axes: Sequence[Size], world: World) -> Form:
    return Form.of(axes, [], world)


def eye(rows: Size, columns: Size, world: World) -> Form:
    """Ones on the diagonal of a matrix that may be wide or tall."""
    if not (world.at_most(rows, columns) or world.at_most(columns, rows)):
        raise NoForm(f"an identity of {rows} x {columns}, of which neither is known to be the smaller")
    short = rows if world.at_most(rows, columns) else columns
    slot = slot_of(short)
    return Form.of((rows, columns), [Term(ONE, (), (slot, slot))], world)


def network(atoms: Sequence[Atom], axes: Sequence[Slot], sizes: Sequence[Size], world: World) -> Form:
    """Atoms as a value of its own, with these of their indices as axes; the others are summed over."""
    return Form.of(sizes, [Term(ONE, tuple(atoms), tuple(axes))], world)


def padded(name: str, space: Space, axis: int, size: Size, world: World) -> Form:
    """The factor with zeros after one of its axes, which then has another size."""
    slots = tuple(slot_of(one) for one in space.axes)
    axes = tuple(size if place == axis else one for place, one in enumerate(space.axes))
    return Form.of(axes, [Term(ONE, (Atom(space.key(name), slots),), slots)], world)


def stretch(name: str, space: Space, axis: int, start: Size, length: Size, world: World) -> Form:
    """`length` places of an axis of the factor, from `start` on; a single place is no axis."""
    slots = [slot_of(size) for size in space.axes]
    slots[axis] = () if (start, length) == (ZERO, ONE) else (Place(Var(length), start),)
    out = [slot if place != axis else (() if length == ONE else (Place(slot[0].var),))
           for place, slot in enumerate(slots)]  # fmt: skip
    kept = [place for place in range(len(slots)) if place != axis or length != ONE]
    sizes = [length if place == axis else space.axes[place] for place in kept]
    term = Term(ONE, (Atom(space.key(name), tuple(slots)),), tuple(out[place] for place in kept))
    return Form.of(sizes, [term], world)
