"""Rings whose entries are Python objects with arithmetic of their own, in object arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from specdsl.equivalence.exact.refusals import NoPoint
from specdsl.equivalence.exact.ring import Entries, Ring


def each(function: Any, values: Entries, dtype: Any = object) -> Any:
    """`function` of every entry."""
    made = np.empty(values.shape, dtype=dtype)
    for place in np.ndindex(*values.shape):
        made[place] = function(values[place])
    return made


def as_array(value: Any) -> Entries:
    """A result of numpy's, which for no axes is the bare object."""
    if isinstance(value, np.ndarray):
        return value
    made = np.empty((), dtype=object)
    made[()] = value
    return made


class ObjectRing(Ring):
    """A ring over objects."""

    dtype = object

    def is_zero(self, values: Entries) -> Any:
        return each(lambda entry: entry == 0, values, bool)

    def add(self, left: Entries, right: Entries) -> Entries:
        return as_array(left + right)

    def negative(self, values: Entries) -> Entries:
        return as_array(-values)

    def times(self, left: Entries, right: Entries) -> Entries:
        return as_array(left * right)

    def matmul(self, left: Entries, right: Entries) -> Entries:
        return as_array(left @ right)

    def sum(self, values: Entries, axes: tuple[int, ...], keep: bool = False) -> Entries:
        total = as_array(np.sum(values, axis=axes, keepdims=keep))
        return total if values.size else self.entries(np.zeros(total.shape, dtype=np.int64))

    def reciprocal(self, values: Entries) -> Entries:
        if np.any(self.is_zero(values)):
            raise NoPoint("a divisor is zero")
        return each(lambda entry: 1 / entry, values)
