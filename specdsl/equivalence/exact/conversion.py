"""A point over other numbers: drawn as fractions, so that it can be written down, and computed in balls."""

from __future__ import annotations

from typing import Any

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.numbers import ExactSizes
from specdsl.equivalence.exact.points import Point, Side
from specdsl.starting import Starting


def converted(point: Point, xp: ExactArrays) -> Point:
    """The same point over another ring; random starts stay those of the point."""
    site = {name: _in(array, xp) for name, array in point.site.items()}
    known = {node: tuple(_in(part, xp) for part in parts) for node, parts in point.known.items()}
    made = Point(xp, point.environment, site, (), known)
    for side in point.sides:
        made.sides = (*made.sides, _side(side, made, xp))
    return made


def _side(side: Side, made: Point, xp: ExactArrays) -> Side:
    sizes = ExactSizes(xp, side.sizes.values)

    def draw(node: Any, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
        return _in(side.starting.draw(node, shape, options), xp)

    starting = Starting(side.subject.ir, xp, sizes, made.site, draw, measured=side.starting.measured)
    starting.known.update(made.known)
    for name, factor in side.subject.ir.factors.items():
        if factor.kind == "index" and factor.start is None:
            starting.factors[name] = side.starting.factors[name]
    starting.drawn.update({name: _in(value, xp) for name, value in side.given.items()})
    return Side(
        side.subject, sizes, starting, {name: _in(value, xp) for name, value in side.trained.items()},
        {name: _in(value, xp) for name, value in side.given.items()},
    )  # fmt: skip


def _in(array: Any, xp: ExactArrays) -> Any:
    return xp.array(array.value) if isinstance(array, ExactArray) else array
