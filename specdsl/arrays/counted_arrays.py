"""The array namespace over arrays without values: what an operator costs, told by its own definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from specdsl.arrays.counted import (
    Counted,
    Kind,
    Ledger,
    broadcast_shape,
    changed_linearly,
    keeping_itself,
    keeping_result,
    without_gradient,
)

_DECOMPOSITION = 30
"""Operations of a decomposition of a k x k matrix, forward and backward, in units of k^3: an estimate."""


def _reading_itself(self: CountedArrays, array: Counted) -> Counted:
    return keeping_itself(array)


def _reading_result(self: CountedArrays, array: Counted) -> Counted:
    return keeping_result(array)


def _in_steps(self: CountedArrays, array: Counted) -> Counted:
    return changed_linearly(array, array.shape)  # torch passes on a gradient of zero


def _transform(self: CountedArrays, array: Counted) -> Counted:
    return changed_linearly(array, array.shape, "complex")


class CountedArrays:
    """The namespace `specdsl.arrays.Arrays` over `Counted`.

    Args:
        ledger: where everything is entered.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def _new(self, shape: Sequence[int], kind: Kind = "float") -> Counted:
        return Counted(self.ledger, shape, kind=kind)

    # making

    def full(self, shape: Sequence[int], value: float, like: Any = None) -> Counted:
        return self._new(tuple(shape))

    def eye(self, size: int, like: Any = None) -> Counted:
        return self._new((size, size))

    def arange(self, stop: int, like: Any = None) -> Counted:
        return self._new((stop,), "int")

    # shape

    def reshape(self, array: Counted, shape: Sequence[int]) -> Counted:
        if array.is_dense or tuple(s for s in shape if s != 1) == tuple(s for s in array.shape if s != 1):
            return array.view(shape)
        return changed_linearly(array, shape)

    def permute(self, array: Counted, axes: Sequence[int]) -> Counted:
        moved = [axis % array.ndim for axis in axes if array.shape[axis] != 1]
        return array.view([array.shape[axis] for axis in axes], array.is_dense and moved == sorted(moved))

    def concat(self, arrays: Sequence[Counted], axis: int) -> Counted:
        parts = list(arrays)
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        joined = Counted(self.ledger, shape, any(part.flows for part in parts), kind=parts[0].kind)
        self.ledger.others += joined.entries * (1 + joined.flows)
        return joined

    def broadcast(self, array: Counted, shape: Sequence[int]) -> Counted:
        return array.view(shape, is_dense=tuple(shape) == array.shape)

    def take(self, array: Counted, index: Counted, axis: int) -> Counted:
        axis %= array.ndim
        if array.flows:
            index.keep()
        return changed_linearly(array, (*array.shape[:axis], *index.shape, *array.shape[axis + 1 :]))

    def slice(self, array: Counted, axis: int, start: int, stop: int, step: int = 1) -> Counted:
        axis %= array.ndim
        count = len(range(*slice(start, stop, step).indices(array.shape[axis])))
        is_dense = array.is_dense and (count == array.shape[axis] or (step == 1 and math.prod(array.shape[:axis]) == 1))
        return array.view((*array.shape[:axis], count, *array.shape[axis + 1 :]), is_dense)

    def scatter(self, values: Counted, index: Counted, length: int) -> Counted:
        if values.flows:
            index.keep()
        return changed_linearly(values, (length,))

    def einsum(self, pattern: str, *arrays: Counted) -> Counted:
        """Two arrays at a time from left to right, as torch does it; axes of one array alone are summed before."""
        left, output = pattern.replace(" ", "").split("->")
        inputs = left.split(",")
        sizes = {
            axis: size
            for axes, array in zip(inputs, arrays, strict=True)
            for axis, size in zip(axes, array.shape, strict=True)
        }
        value, axes = self._summed(arrays[0], inputs[0], set(output).union(*inputs[1:]), sizes)
        for place, array in enumerate(arrays[1:], 1):
            later = set(output).union(*inputs[place + 1 :])
            other, other_axes = self._summed(array, inputs[place], later | set(axes), sizes)
            value, axes = self._contracted(value, other, "".join(dict.fromkeys(axes + other_axes)), later, sizes)
        value, _ = self._summed(value, axes, set(output), sizes)
        return value.view([sizes[axis] for axis in output], is_dense=axes == output)

    def _summed(self, array: Counted, axes: str, wanted: set[str], sizes: dict[str, int]) -> tuple[Counted, str]:
        kept = "".join(axis for axis in dict.fromkeys(axes) if axis in wanted)
        shape = [sizes[axis] for axis in kept]
        is_gone = any(sizes[axis] > 1 for axis in set(axes) - wanted)
        return changed_linearly(array, shape) if is_gone else array.view(shape), kept

    def _contracted(
        self, left: Counted, right: Counted, joined: str, later: set[str], sizes: dict[str, int]
    ) -> tuple[Counted, str]:
        learns = left.flows + right.flows
        kept = "".join(axis for axis in joined if axis in later)
        work, shape = math.prod(sizes[axis] for axis in joined), [sizes[axis] for axis in kept]
        if left.flows:
            right.keep()
        if right.flows:
            left.keep()
        if work == math.prod(shape):  # nothing is summed, so torch multiplies entry by entry
            self.ledger.others += work * (1 + (learns > 0))
        else:
            self.ledger.products += 2 * work * (1 + learns)
        return Counted(self.ledger, shape, learns > 0), kept

    # elementwise

    exp = sqrt = tanh = relu = sigmoid = softmax = _reading_result
    log = sin = cos = erf = silu = gelu = _reading_itself
    sign = floor = ceil = _in_steps

    def abs(self, array: Counted) -> Counted:
        return keeping_itself(array, "float" if array.kind == "complex" else None)

    def where(self, condition: Counted, yes: Any, no: Any) -> Counted:
        sides = [side for side in (yes, no) if isinstance(side, Counted)]
        learns = any(side.flows for side in sides)
        if learns:
            condition.keep()
        shape = broadcast_shape(condition.shape, *(side.shape for side in sides))
        chosen = Counted(self.ledger, shape, learns, kind=sides[0].kind if sides else "float")
        self.ledger.others += chosen.entries * (1 + chosen.flows)
        return chosen

    def maximum(self, left: Any, right: Any) -> Any:
        if not isinstance(left, Counted) and not isinstance(right, Counted):
            return max(left, right)
        one, other = (left, right) if isinstance(left, Counted) else (right, left)
        other = other if isinstance(other, Counted) else self._new(one.shape)
        if one.flows or other.flows:
            one.keep()
            other.keep()
        return one + other

    def minimum(self, left: Any, right: Any) -> Any:
        return -self.maximum(-left, -right)

    # reductions

    def sum(self, array: Counted, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Counted:
        return changed_linearly(array, _reduced(array.shape, axis, keep))

    def _extreme(self, array: Counted, axis: int | None = None, keep: bool = False) -> Counted:
        return self._keeping_both(array, _reduced(array.shape, axis, keep))

    max = min = _extreme

    def norm(self, array: Counted, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Counted:
        return self._keeping_both(array, _reduced(array.shape, axis, keep))

    def _keeping_both(self, array: Counted, shape: Sequence[int]) -> Counted:
        result = changed_linearly(array, shape, "float")
        if result.flows:
            array.keep()
            result.keep()
        return result

    def top_mask(self, array: Counted, count: int, axis: int | None = None) -> Counted:
        return without_gradient(array)

    # linear algebra

    def inverse(self, array: Counted) -> Counted:
        k = array.shape[-1]
        self.ledger.products += 4 * array.entries * k * array.flows  # its gradient is two products
        (inverse,) = self._decomposed(array, array.shape)
        if array.flows:
            self._new(array.shape[:-2], "bool").keep()  # which of the matrices are singular
        return changed_linearly(inverse, inverse.shape)

    def pinv(self, array: Counted) -> Counted:
        return self._decomposed(array, (*array.shape[:-2], *array.shape[-2:][::-1]))[0]

    def svd(self, array: Counted) -> tuple[Counted, Counted, Counted]:
        *leading, n, m = array.shape
        k = min(n, m)
        U, S, V = self._decomposed(array, (*leading, n, k), (*leading, k), (*leading, k, m))
        return U * self._new((*leading, 1, k)), S, V * self._new((*leading, k, 1))

    def qr(self, array: Counted) -> tuple[Counted, Counted]:
        *leading, n, m = array.shape
        k = min(n, m)
        Q, R = self._decomposed(array, (*leading, n, k), (*leading, k, m))
        return Q * self._new((*leading, 1, k)), R * self._new((*leading, k, 1))

    def lu(self, array: Counted) -> tuple[Counted, Counted, Counted]:
        *leading, n, m = array.shape
        k = min(n, m)
        P, L, U = self._decomposed(array, (*leading, n, n), (*leading, n, k), (*leading, k, m))
        return self.stop(P), L, U

    def eigh(self, array: Counted) -> tuple[Counted, Counted]:
        *leading, _, k = array.shape
        values, vectors = self._decomposed(array, (*leading, k), array.shape)
        return values, vectors * self._new((*leading, 1, k))

    def _decomposed(self, array: Counted, *shapes: Sequence[int]) -> list[Counted]:
        """Decompositions keep their parts, from which the gradient is computed."""
        *leading, n, m = array.shape
        self.ledger.others += _DECOMPOSITION * math.prod(leading) * max(n, m) * min(n, m) ** 2
        parts = [Counted(self.ledger, shape, array.flows) for shape in shapes]
        for part in parts:
            if part.flows:
                part.keep()
        return parts

    fft2 = ifft2 = _transform

    def real(self, array: Counted) -> Counted:
        if array.kind != "complex":
            return array
        return Counted(self.ledger, array.shape, array.flows, array.memory, "float", is_dense=False)

    def dropout(self, array: Counted, share: float) -> Counted:
        dropped = changed_linearly(array, array.shape)
        if dropped.flows and share:
            self._new(array.shape, "bool").keep()
        return dropped

    def stop(self, array: Counted) -> Counted:
        return Counted(self.ledger, array.shape, False, array.memory, array.kind, array.is_dense)

    def is_complex(self, array: Counted) -> bool:
        return array.kind == "complex"


def _reduced(shape: Sequence[int], axis: int | tuple[int, ...] | None, keep: bool) -> tuple[int, ...]:
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    gone = {place % len(shape) for place in axes}
    if keep:
        return tuple(1 if place in gone else size for place, size in enumerate(shape))
    return tuple(size for place, size in enumerate(shape) if place not in gone)
