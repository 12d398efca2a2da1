"""Indices of tensor networks: variables that run over an axis, or over a stretch or a block of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from specdsl.sizes import Size

ZERO, ONE = Size.of(0), Size.of(1)


class NoForm(Exception):
    """The expression is no sum of tensor networks that the checker can write down; `args[0]` says what is not."""


class Var:
    """A variable that runs from 0 to its size; two variables are the same only if they are one object.

    Raises:
        NoForm: the size is no whole number.
    """

    __slots__ = ("size",)

    def __init__(self, size: Size) -> None:
        if size.constant is not None and size.constant % 1:
            raise NoForm(f"an axis of {size}")
        self.size = size

    def __repr__(self) -> str:
        return f"v{id(self) % 997}:{self.size}"


@dataclass(frozen=True, eq=True)
class Place:
    """A variable moved by an offset: `v + offset`."""

    var: Var
    offset: Size = ZERO


Slot = tuple[Place, ...]
"""The index of one axis: one place, or several that count in mixed radix, the last one fastest; `()` is index 0."""

Replacement = Mapping[Var, Slot]


@dataclass(frozen=True)
class Order:
    """What is known of sizes: `order(k, n)` is whether k is never above n; False where it is not known."""

    at_most: Callable[[Size, Size], bool]
    is_whole: Callable[[Size], bool]

    def __call__(self, left: Size, right: Size) -> bool:
        return self.at_most(left, right)


AtMost = Order


def slot_of(size: Size) -> Slot:
    """A new index over a whole axis; an axis of size 1 needs none."""
    return () if size == ONE else (Place(Var(size)),)


def length(slot: Slot) -> Size:
    """How many places a slot runs over."""
    total = ONE
    for place in slot:
        total = total * place.var.size
    return total


def replaced(slot: Slot, by: Replacement) -> Slot:
    """The slot with variables replaced."""
    if not any(place.var in by for place in slot):
        return slot
    result: list[Place] = []
    for place in slot:
        if place.var not in by:
            result.append(place)
            continue
        new = by[place.var]
        if place.offset == ZERO:
            result.extend(new)
        elif len(new) == 1:
            result.append(Place(new[0].var, new[0].offset + place.offset))
        elif not new:
            result.append(Place(Var(ONE), place.offset))
        else:
            raise NoForm("a stretch of an axis meets blocks of it")
    return tuple(result)


def unified(left: Slot, right: Slot, at_most: AtMost) -> dict[Var, Slot] | None:
    """What makes two slots of one axis the same index; None if no index is in both.

    Raises:
        NoForm: they overlap in a way that no replacement says.
    """
    if left == right:
        return {}
    if len(left) == 1 and len(right) == 1:
        return _unified_places(left[0], right[0], at_most)
    if not left or not right:
        return _unified_zero(left or right)
    for one, other in ((left, right), (right, left)):
        if len(one) == 1 and one[0].offset == ZERO:
            if one[0].var.size != length(other):
                raise NoForm("a stretch of an axis meets blocks of it")
            return {one[0].var: other}
    return _unified_blocks(list(left), list(right), at_most)


def _unified_zero(slot: Slot) -> dict[Var, Slot] | None:
    result: dict[Var, Slot] = {}
    for place in slot:
        if place.offset.constant is None:
            raise NoForm("an entry at a place that is not known")
        if place.offset.constant > 0:
            return None
        result[place.var] = ()
    return result


def _unified_places(left: Place, right: Place, at_most: AtMost) -> dict[Var, Slot] | None:
    move = left.offset - right.offset
    a, b = left.var, right.var
    if move == ZERO and a.size == b.size:
        return {b: (Place(a),)}
    if _is_above(move, b.size, at_most) or _is_above(-move, a.size, at_most):
        return None
    if at_most(ZERO, move) and at_most(move + a.size, b.size):
        return {b: (Place(a, move),)}
    if at_most(move, ZERO) and at_most(b.size - move, a.size):
        return {a: (Place(b, -move),)}
    raise NoForm(f"stretches of an axis that overlap in part ({a.size} and {b.size})")


def _is_above(move: Size, size: Size, at_most: AtMost) -> bool:
    return at_most(size, move)


def _unified_blocks(left: list[Place], right: list[Place], at_most: AtMost) -> dict[Var, Slot] | None:
    """Both count blocks: the coarser of two is cut as the finer one is."""
    result: dict[Var, Slot] = {}
    while left and right:
        one, other = left.pop(), right.pop()
        if one.offset != ZERO or other.offset != ZERO:
            raise NoForm("a stretch of an axis meets blocks of it")
        if one.var is other.var:
            continue
        if one.var.size == other.var.size:
            result = _then(result, {other.var: (one,)})
            left, right = _after(left, right, {other.var: (one,)})
            continue
        small, large, rest = (one, other, right) if at_most(one.var.size, other.var.size) else (other, one, left)
        quotient = large.var.size / small.var.size
        if not at_most.is_whole(quotient):
            raise NoForm(f"blocks of {small.var.size} in blocks of {large.var.size}")
        cut: dict[Var, Slot] = {large.var: (Place(Var(quotient)), small)}
        rest.append(cut[large.var][0])
        result = _then(result, cut)
        left, right = _after(left, right, cut)
    if any(place.var.size != ONE for place in (*left, *right)):
        raise NoForm("blocks that do not fit each other")
    return result


def _after(left: list[Place], right: list[Place], by: Replacement) -> tuple[list[Place], list[Place]]:
    return list(replaced(tuple(left), by)), list(replaced(tuple(right), by))


def _then(first: dict[Var, Slot], second: dict[Var, Slot]) -> dict[Var, Slot]:
    return {**{var: replaced(slot, second) for var, slot in first.items()}, **second}
