"""Dimensions of reachable sets, from below by ranks of Jacobians and from above by counting."""

from __future__ import annotations

from dataclasses import dataclass

from specdsl.equivalence.exact.jacobian import dimension_lower_bound
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.forms.index import NoForm
from specdsl.equivalence.sets.dimension import lower_bound, upper_bound
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.subject import Subject
from specdsl.sizes import Environment

LARGEST = 16
"""The most rows or columns of a weight whose dimension is computed."""


@dataclass(frozen=True)
class Bounds:
    """What is known of a dimension at one shape; `is_rigorous`: whether the lower bound holds without doubt."""

    low: int
    high: int | None
    is_rigorous: bool

    @property
    def is_known(self) -> bool:
        return self.is_rigorous and self.low == self.high


def bounds_of(subject: Subject, image: Image | None, sizes: Environment) -> Bounds | None:
    """What can be told of a spec's dimension; None where nothing can."""
    high: int | None = None
    if image is not None:
        try:
            high = upper_bound(image, sizes)
        except (NotExact, NoPoint, NoForm, ValueError):
            high = None
    if image is not None:
        try:
            return Bounds(lower_bound(image, sizes), high, True)
        except (NotExact, NoPoint, NoForm):
            pass
    try:
        low = dimension_lower_bound(subject, sizes, tries=1)
    except (NotExact, NoPoint):
        return None if high is None else Bounds(0, high, True)
    return Bounds(low.dimension, high, low.is_rigorous)


def order_of(one: Bounds, other: Bounds) -> str:
    """Which of two dimensions is the larger, as far as is known."""
    if one.is_rigorous and other.high is not None and one.low > other.high:
        return ">"
    if other.is_rigorous and one.high is not None and other.low > one.high:
        return "<"
    return "=" if one.is_known and other.is_known and one.low == other.low else "?"


def can_derive(a: Subject, b: Subject, sizes: Environment) -> bool:
    """Whether sizes are small enough for ranks of Jacobians."""
    return max(sizes["n"], sizes["m"]) <= 2 * LARGEST and a.is_small(sizes) and b.is_small(sizes)
