"""`ExactArrays`: the namespace `specdsl.arrays.Arrays` over a ring.

Index arrays stay numpy's own. What a function of the real line has at zero (where factors start) is
exact in every ring.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from specdsl.equivalence.exact.contraction import contract
from specdsl.equivalence.exact.exact_array import ComplexPair, ExactArray, rooted, spread
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.exact.ring import Ring

AT_ZERO: dict[str, tuple[Fraction, Fraction | None]] = {
    "exp": (Fraction(1), Fraction(1)),
    "sin": (Fraction(0), Fraction(1)),
    "cos": (Fraction(1), Fraction(0)),
    "tanh": (Fraction(0), Fraction(1)),
    "erf": (Fraction(0), None),
    "sigmoid": (Fraction(1, 2), Fraction(1, 4)),
    "silu": (Fraction(0), Fraction(1, 2)),
    "gelu": (Fraction(0), Fraction(1, 2)),
}
"""The value and the slope at zero; a slope that is no fraction is None."""


def _axes_of(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    chosen = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(place % ndim for place in chosen)


class ExactArrays:
    """The namespace over one ring.

    Args:
        ring: the numbers.
        stops: whether `stop` drops derivatives, as training does; a reachable set does not know it.
    """

    def __init__(self, ring: Ring, stops: bool = False) -> None:
        self.ring, self.stops = ring, stops

    def array(self, value: Any) -> ExactArray:
        """Numbers, a numpy array of them or an array of this namespace."""
        if isinstance(value, ComplexPair):
            raise NotExact("complex numbers")
        return value if isinstance(value, ExactArray) else ExactArray(self.ring, self.ring.entries(value))

    # making

    def full(self, shape: Sequence[int], value: Any, like: Any = None) -> Any:
        return self.broadcast(self.array(value), shape)

    def eye(self, size: int, like: Any = None) -> ExactArray:
        return self.array(np.eye(size, dtype=np.int64))

    def arange(self, stop: int, like: Any = None) -> Any:
        return np.arange(stop)

    # shape

    def _linear(self, array: Any, change: Callable[[Any, int], Any]) -> Any:
        """A change of places; `change` takes entries and how many axes stand before their own."""
        if isinstance(array, np.ndarray):
            return change(array, 0)
        if isinstance(array, ComplexPair):
            return array.each(lambda part: self._linear(part, change))
        array = self.array(array)
        tangent = None if array.tangent is None else change(array.tangent, 1)
        return ExactArray(self.ring, change(array.value, 0), tangent, array.is_nonnegative)

    def reshape(self, array: Any, shape: Sequence[int]) -> Any:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return self._linear(array, lambda entries, before: entries.reshape((*entries.shape[:before], *shape)))

    def permute(self, array: Any, axes: Sequence[int]) -> Any:
        def change(entries: Any, before: int) -> Any:
            own = entries.ndim - before
            return entries.transpose((*range(before), *(axis % own + before for axis in axes)))

        return self._linear(array, change)

    def broadcast(self, array: Any, shape: Sequence[int]) -> Any:
        shape = tuple(shape)
        if isinstance(array, np.ndarray):
            return np.broadcast_to(array, shape)
        if isinstance(array, ComplexPair):
            return array.each(lambda part: self.broadcast(part, shape))
        array = self.array(array)
        tangent = None if array.tangent is None else spread(array.tangent, array.ndim, shape)
        return ExactArray(self.ring, np.broadcast_to(array.value, shape), tangent, array.is_nonnegative)

    def slice(self, array: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
        axis %= len(array.shape)
        return self._linear(
            array, lambda entries, before: entries[(slice(None),) * (axis + before) + (slice(start, stop, step),)]
        )

    def take(self, array: Any, index: Any, axis: int) -> Any:
        places, axis = self._places(index), axis % len(array.shape)
        return self._linear(array, lambda entries, before: np.take(entries, places, axis + before))

    def scatter(self, values: Any, index: Any, length: int) -> Any:
        places = self._places(index)

        def change(entries: Any, before: int) -> Any:
            flat = self.ring.zeros((*entries.shape[:before], length))
            flat[..., places] = entries
            return flat

        return self._linear(values, change)

    def _places(self, index: Any) -> Any:
        if isinstance(index, ExactArray):
            index = np.vectorize(lambda entry: int(Fraction(self.ring.text(entry))), otypes=[np.int64])(index.value)
        return np.asarray(index).astype(np.int64)

    def concat(self, arrays: Sequence[Any], axis: int) -> Any:
        if any(isinstance(array, ComplexPair) for array in arrays):
            pairs = [array if isinstance(array, ComplexPair) else self._pair(array) for array in arrays]
            joined = (self.concat([getattr(pair, part) for pair in pairs], axis) for part in ("real", "imaginary"))
            return ComplexPair(*joined)
        parts = [self.array(array) for array in arrays]
        axis %= parts[0].ndim
        value = np.concatenate([part.value for part in parts], axis)
        tangents = self._all_tangents(parts)
        tangent = None if tangents is None else np.concatenate(tangents, axis + 1)
        return ExactArray(self.ring, value, tangent, all(part.is_nonnegative for part in parts))

    def _all_tangents(self, parts: Sequence[ExactArray]) -> list[Any] | None:
        count = next((len(part.tangent) for part in parts if part.tangent is not None), None)
        if count is None:
            return None
        return [self.ring.zeros((count, *p.shape)) if p.tangent is None else p.tangent for p in parts]

    def einsum(self, pattern: str, *arrays: Any) -> ExactArray:
        parts = [self.array(array) for array in arrays]
        left, output = pattern.replace(" ", "").split("->")
        inputs = left.split(",")
        values = [part.value for part in parts]
        value = contract(self.ring, inputs, output, values)
        tangents = [
            contract(
                self.ring, [*inputs[:i], "*" + inputs[i], *inputs[i + 1 :]], "*" + output,
                [*values[:i], part.tangent, *values[i + 1 :]],
            )
            for i, part in enumerate(parts)
            if part.tangent is not None
        ]  # fmt: skip
        return ExactArray(self.ring, value, reduce(self.ring.add, tangents) if tangents else None)

    # elementwise

    def _function(self, name: str, array: Any) -> ExactArray:
        array = self.array(array)
        if name in AT_ZERO and bool(np.all(self.ring.is_zero(array.value))):
            return self._at_zero(name, array)
        value = self.ring.function(name, array.value)
        if array.tangent is not None:
            raise NotExact(name, "its derivative is not exact")
        return ExactArray(self.ring, value, None, name in ("exp", "sigmoid"))

    def _at_zero(self, name: str, array: ExactArray) -> ExactArray:
        at, slope = AT_ZERO[name]
        if array.tangent is None:
            tangent = None
        elif slope is None:
            raise NotExact(name, "its derivative is not exact")
        else:
            tangent = self.ring.times(array.tangent, self.ring.entries(slope))
        value = np.broadcast_to(self.ring.entries(at), array.shape)
        return ExactArray(self.ring, value, tangent, at >= 0)

    def exp(self, array: Any) -> ExactArray:
        return self._function("exp", array)

    def log(self, array: Any) -> Any:
        array = self.array(array)
        if bool(np.all(self.ring.is_zero((array - 1).value))):
            return (array - 1) * 1
        return self._function("log", array)

    def sin(self, array: Any) -> ExactArray:
        return self._function("sin", array)

    def cos(self, array: Any) -> ExactArray:
        return self._function("cos", array)

    def tanh(self, array: Any) -> ExactArray:
        return self._function("tanh", array)

    def erf(self, array: Any) -> ExactArray:
        return self._function("erf", array)

    def sigmoid(self, array: Any) -> ExactArray:
        return self._function("sigmoid", array)

    def silu(self, array: Any) -> ExactArray:
        return self._function("silu", array)

    def gelu(self, array: Any) -> ExactArray:
        return self._function("gelu", array)

    def softmax(self, array: Any) -> Any:
        raised = self._function("exp", array)
        return raised / self.sum(raised, axis=-1, keep=True)

    def sqrt(self, array: Any) -> ExactArray:
        return rooted(self.array(array))

    def _named(self, name: str, array: Any, rule: Callable[[ExactArray], ExactArray]) -> ExactArray:
        """A rule by cases; where the cases cannot be told apart the refusal names the operator."""
        array = self.array(array)
        try:
            return rule(array)
        except NotExact as refusal:
            if refusal.operator in ("comparison", "floor"):
                raise NotExact(name, "its cases cannot be told apart") from None
            raise

    def relu(self, array: Any) -> ExactArray:
        return self._named("relu", array, lambda one: self._kept_nonnegative(self.where(one > 0, one, 0)))

    def _kept_nonnegative(self, array: ExactArray) -> ExactArray:
        return ExactArray(self.ring, array.value, array.tangent, True)

    def abs(self, array: Any) -> Any:
        if isinstance(array, ComplexPair):
            return rooted(array.real * array.real + array.imaginary * array.imaginary, flat_at_zero=True)
        array = self.array(array)
        if array.is_nonnegative:
            return array
        value = self.ring.absolute(array.value)
        if not self.ring.is_ordered:
            self.ring.count_roots(array.value)
        tangent = array.tangent
        if tangent is not None:
            same = self.ring.is_zero(self.ring.add(value, self.ring.negative(array.value)))
            tangent = np.where(same, tangent, self.ring.negative(tangent))
            tangent = np.where(self.ring.is_zero(value), self.ring.entries(0), tangent)
        return ExactArray(self.ring, value, tangent, True)

    def sign(self, array: Any) -> ExactArray:
        def rule(one: ExactArray) -> ExactArray:
            return self.array(np.asarray(one > 0, dtype=np.int64) - np.asarray(one < 0, dtype=np.int64))

        return self._named("sign", array, rule)

    def floor(self, array: Any) -> ExactArray:
        def rule(one: ExactArray) -> ExactArray:
            if np.all(self.ring.is_zero(one.value)):
                return ExactArray(self.ring, one.value)
            return ExactArray(self.ring, self.ring.floor(one.value))

        return self._named("floor", array, rule)

    def ceil(self, array: Any) -> ExactArray:
        return self._named("ceil", array, lambda one: -self.floor(-one))

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        if isinstance(yes, ComplexPair) or isinstance(no, ComplexPair):
            yes, no = self._pair(yes), self._pair(no)
            return ComplexPair(
                self.where(condition, yes.real, no.real), self.where(condition, yes.imaginary, no.imaginary)
            )
        mask = self._mask(condition)
        if isinstance(no, float) and no == -math.inf and mask.all():
            no = 0
        yes, no = self.array(yes), self.array(no)
        value = np.where(mask, yes.value, no.value)
        tangent = None
        tangents = self._all_tangents([yes, no])
        if tangents is not None:
            sides = [spread(t, part.ndim, value.shape) for t, part in zip(tangents, (yes, no), strict=True)]
            tangent = np.where(mask, *sides)
        return ExactArray(self.ring, value, tangent, yes.is_nonnegative and no.is_nonnegative)

    def _mask(self, condition: Any) -> Any:
        if isinstance(condition, ExactArray):
            return ~self.ring.is_zero(condition.value)
        return np.asarray(condition, dtype=bool)

    def maximum(self, left: Any, right: Any) -> ExactArray:
        def rule(one: ExactArray) -> Any:
            other = self.array(right)
            chosen = self.where(one > other, one, other)
            if one.tangent is None and other.tangent is None:
                return chosen
            tied = self.ring.is_zero((one - other).value)
            return self.where(tied, 0.5 * (one + other), chosen)  # as torch has it, half of each slope

        return self._named("max", left, rule)

    def minimum(self, left: Any, right: Any) -> ExactArray:
        return -self.maximum(-self.array(left), -self.array(right))

    # reductions

    def sum(self, array: Any, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Any:
        axes = _axes_of(axis, len(array.shape))

        def change(entries: Any, before: int) -> Any:
            moved = tuple(place + before for place in axes)
            return self.ring.sum(entries, moved, keep) if moved else entries

        return self._linear(self.array(array) if isinstance(array, np.ndarray) else array, change)

    def max(self, array: Any, axis: int | None = None, keep: bool = False) -> ExactArray:
        array = self.array(array)
        axes = _axes_of(axis, array.ndim)
        if axis is None:
            flat, place = self.reshape(array, (math.prod(array.shape),)), 0
        else:
            flat, place = array, axes[0]
        slices = [self.slice(flat, place, i, i + 1) for i in range(flat.shape[place])]
        if array.tangent is not None and len(slices) > 2:
            raise NotExact("max", "its derivative is not exact")
        found = reduce(self.maximum, slices)
        kept = tuple(1 if i in axes else size for i, size in enumerate(array.shape))
        left = tuple(size for i, size in enumerate(array.shape) if i not in axes)
        made: ExactArray = self.reshape(found, kept if keep else left)
        return made

    def min(self, array: Any, axis: int | None = None, keep: bool = False) -> ExactArray:
        return -self.max(-self.array(array), axis, keep)

    def norm(self, array: Any, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> ExactArray:
        if isinstance(array, ComplexPair):
            squares = array.real * array.real + array.imaginary * array.imaginary
        else:
            array = self.array(array)
            squares = array * array
        is_last = isinstance(axis, int) and axis % max(1, len(array.shape)) == len(array.shape) - 1
        return rooted(self.sum(squares, axis, keep), "rows" if is_last else "columns", flat_at_zero=True)

    def top_mask(self, array: Any, count: int, axis: int | None = None) -> Any:
        array = self.array(array)
        if not self.ring.is_ordered:
            raise NotExact("top", "a finite field has no order")
        if axis is None:
            return self.reshape(self.top_mask(self.reshape(array, (math.prod(array.shape),)), count, 0), array.shape)
        moved = np.moveaxis(array.value, axis, -1)
        mask = np.zeros(moved.shape, dtype=np.int64)
        for place in np.ndindex(*moved.shape[:-1]):
            row = moved[place]
            above = np.array(
                [self.ring.greater(row, row[i : i + 1]).sum() + self._ties(row, i) for i in range(len(row))]
            )
            mask[place] = above < count
        return self.array(np.moveaxis(mask, -1, axis))

    def _ties(self, row: Any, place: int) -> int:
        """How many earlier entries are equal."""
        return int(self.ring.is_zero(self.ring.add(row[:place], self.ring.negative(row[place : place + 1]))).sum())

    # linear algebra

    def inverse(self, array: Any) -> ExactArray:
        array = self.array(array)
        size = array.shape[-1]
        stack = array.value.reshape((-1, size, size))
        value = np.stack([self.ring.inverse(matrix) for matrix in stack]).reshape(array.shape)
        tangent = array.tangent
        if tangent is not None:
            tangent = self.ring.negative(self.ring.matmul(self.ring.matmul(value, tangent), value))
        return ExactArray(self.ring, value, tangent)

    def pinv(self, array: Any) -> Any:
        """Of full rank; where the rank is not full there is no point."""
        array = self.array(array)
        axes = tuple(range(array.ndim))
        turned = self.permute(array, (*axes[:-2], axes[-1], axes[-2]))
        if array.shape[-2] >= array.shape[-1]:
            return self.inverse(turned @ array) @ turned
        return turned @ self.inverse(array @ turned)

    def svd(self, array: Any) -> tuple[Any, Any, Any]:
        raise NotExact("svd")

    def qr(self, array: Any) -> tuple[Any, Any]:
        raise NotExact("qr")

    def lu(self, array: Any) -> tuple[Any, Any, Any]:
        raise NotExact("lu")

    def eigh(self, array: Any) -> tuple[Any, Any]:
        raise NotExact("eigh")

    def _pair(self, array: Any) -> ComplexPair:
        if isinstance(array, ComplexPair):
            return array
        array = self.array(array)
        return ComplexPair(array, array * 0)

    def _fourier(self, array: Any, inverse: bool) -> ComplexPair:
        n, m = array.shape[-2:]
        left, right = (self._fourier_matrix(size, inverse) for size in (n, m))
        return left @ self._pair(array) @ right

    def _fourier_matrix(self, size: int, inverse: bool) -> ComplexPair:
        cosines, sines = self.ring.circle(size)
        places = np.outer(np.arange(size), np.arange(size)) % size
        pair = ComplexPair(ExactArray(self.ring, cosines[places]), ExactArray(self.ring, sines[places]))
        if not inverse:
            return ComplexPair(pair.real, -pair.imaginary)
        return pair.each(lambda part: part * Fraction(1, size))

    def fft2(self, array: Any) -> ComplexPair:
        return self._fourier(array, inverse=False)

    def ifft2(self, array: Any) -> ComplexPair:
        return self._fourier(array, inverse=True)

    def real(self, array: Any) -> ExactArray:
        return array.real if isinstance(array, ComplexPair) else self.array(array)

    def dropout(self, array: Any, share: float) -> Any:
        return array

    def stop(self, array: Any) -> Any:
        if not self.stops or isinstance(array, np.ndarray):
            return array
        if isinstance(array, ComplexPair):
            return array.each(self.stop)
        array = self.array(array)
        return ExactArray(self.ring, array.value, None, array.is_nonnegative)

    def is_complex(self, array: Any) -> bool:
        return isinstance(array, ComplexPair)
