"""Arrays that carry a directional derivative (forward-mode dual numbers over numpy), used to check the start.

Derivatives at kinks follow torch: `relu` and `abs` have derivative 0 at 0, `maximum` splits a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specdsl.arrays.numpy_arrays import NUMPY

_STEP = 1e-6
"""Step of the central difference through a decomposition."""


class Dual:
    """A float64 array `value` and its derivative `tangent`, of equal shape."""

    __array_ufunc__ = None

    def __init__(self, value: Any, tangent: Any = None) -> None:
        self.value = np.asarray(value)
        self.tangent = np.zeros_like(self.value) if tangent is None else np.asarray(tangent)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    def __add__(self, other: Any) -> Dual:
        other = dual(other)
        value = self.value + other.value
        return Dual(value, np.broadcast_to(self.tangent + other.tangent, value.shape))

    __radd__ = __add__

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.tangent)

    def __sub__(self, other: Any) -> Dual:
        return self + -dual(other)

    def __rsub__(self, other: Any) -> Dual:
        return dual(other) + -self

    def __mul__(self, other: Any) -> Dual:
        other = dual(other)
        return Dual(self.value * other.value, self.tangent * other.value + self.value * other.tangent)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Dual:
        other = dual(other)
        value = self.value / other.value
        return Dual(value, (self.tangent - value * other.tangent) / other.value)

    def __rtruediv__(self, other: Any) -> Dual:
        return dual(other) / self

    def __matmul__(self, other: Any) -> Dual:
        other = dual(other)
        return Dual(self.value @ other.value, self.tangent @ other.value + self.value @ other.tangent)

    def __rmatmul__(self, other: Any) -> Dual:
        return dual(other) @ self

    def __pow__(self, exponent: Any) -> Dual:
        if isinstance(exponent, Dual):
            return DUAL.exp(DUAL.log(self) * exponent)
        slope = exponent * self.value ** (exponent - 1) if exponent else np.zeros_like(self.value)
        return Dual(self.value**exponent, np.where(self.tangent == 0, 0.0, slope * self.tangent))

    def __getitem__(self, key: Any) -> Dual:
        return Dual(self.value[key], self.tangent[key])

    def __lt__(self, other: Any) -> Any:
        return self.value < dual(other).value

    def __gt__(self, other: Any) -> Any:
        return self.value > dual(other).value

    def __le__(self, other: Any) -> Any:
        return self.value <= dual(other).value

    def __ge__(self, other: Any) -> Any:
        return self.value >= dual(other).value


def dual(array: Any) -> Dual:
    """`array` as a dual number; a plain array is constant."""
    return array if isinstance(array, Dual) else Dual(array)


def _plain(array: Any) -> Any:
    return array.value if isinstance(array, Dual) else np.asarray(array)


def _chained(function: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Callable[..., Dual]:
    def apply(self: DualArrays, array: Any) -> Dual:
        array = dual(array)
        with np.errstate(divide="ignore", invalid="ignore"):
            change = slope(array.value) * array.tangent
        return Dual(function(array.value), np.where(array.tangent == 0, 0.0, change))

    return apply


def _linear(name: str) -> Callable[..., Dual]:
    function = getattr(NUMPY, name)

    def apply(self: DualArrays, array: Any, *arguments: Any, **options: Any) -> Dual:
        array = dual(array)
        return Dual(function(array.value, *arguments, **options), function(array.tangent, *arguments, **options))

    return apply


def _constant(name: str) -> Callable[..., Dual]:
    function = getattr(NUMPY, name)

    def apply(self: DualArrays, array: Any, *arguments: Any, **options: Any) -> Dual:
        return Dual(function(_plain(array), *arguments, **options))

    return apply


def _differenced(name: str) -> Callable[..., Any]:
    """The derivative of a smooth decomposition by a central difference."""
    function = getattr(NUMPY, name)

    def apply(self: DualArrays, array: Any) -> Any:
        array = dual(array)
        result = function(array.value)
        if not np.any(array.tangent):
            return tuple(map(Dual, result)) if isinstance(result, tuple) else Dual(result)
        after = function(array.value + _STEP * array.tangent)
        before = function(array.value - _STEP * array.tangent)
        if isinstance(result, tuple):
            parts = zip(result, after, before, strict=True)
            return tuple(Dual(r, (a - b) / (2 * _STEP)) for r, a, b in parts)
        return Dual(result, (after - before) / (2 * _STEP))

    return apply


class DualArrays:
    """The namespace `specdsl.arrays.Arrays` over `Dual`."""

    def full(self, shape: Sequence[int], value: float, like: Any = None) -> Dual:
        return Dual(NUMPY.full(shape, value))

    def eye(self, size: int, like: Any = None) -> Dual:
        return Dual(NUMPY.eye(size))

    def arange(self, stop: int, like: Any = None) -> Any:
        return np.arange(stop)

    reshape = _linear("reshape")
    permute = _linear("permute")
    broadcast = _linear("broadcast")
    slice = _linear("slice")
    fft2 = _linear("fft2")
    ifft2 = _linear("ifft2")
    real = _linear("real")
    sum = _linear("sum")

    def concat(self, arrays: Sequence[Any], axis: int) -> Dual:
        parts = [dual(array) for array in arrays]
        values, tangents = [part.value for part in parts], [part.tangent for part in parts]
        return Dual(NUMPY.concat(values, axis), NUMPY.concat(tangents, axis))

    def take(self, array: Any, index: Any, axis: int) -> Dual:
        array, index = dual(array), _plain(index)
        return Dual(NUMPY.take(array.value, index, axis), NUMPY.take(array.tangent, index, axis))

    def scatter(self, values: Any, index: Any, length: int) -> Dual:
        values, index = dual(values), _plain(index)
        return Dual(NUMPY.scatter(values.value, index, length), NUMPY.scatter(values.tangent, index, length))

    def einsum(self, pattern: str, *arrays: Any) -> Dual:
        parts = [dual(array) for array in arrays]
        values = [part.value for part in parts]
        tangent = sum(
            NUMPY.einsum(pattern, *values[:i], part.tangent, *values[i + 1 :]) for i, part in enumerate(parts)
        )
        return Dual(NUMPY.einsum(pattern, *values), tangent)

    exp = _chained(np.exp, np.exp)
    log = _chained(np.log, lambda v: 1 / v)
    sqrt = _chained(np.sqrt, lambda v: 0.5 / np.sqrt(v))
    sin = _chained(np.sin, np.cos)
    cos = _chained(np.cos, lambda v: -np.sin(v))
    tanh = _chained(np.tanh, lambda v: 1 - np.tanh(v) ** 2)
    erf = _chained(NUMPY.erf, lambda v: 2 / np.sqrt(np.pi) * np.exp(-(v**2)))
    abs = _chained(np.abs, np.sign)
    relu = _chained(NUMPY.relu, lambda v: np.where(v > 0, 1.0, 0.0))
    sigmoid = _chained(NUMPY.sigmoid, lambda v: NUMPY.sigmoid(v) * (1 - NUMPY.sigmoid(v)))
    sign = _constant("sign")
    floor = _constant("floor")
    ceil = _constant("ceil")
    top_mask = _constant("top_mask")
    dropout = _linear("dropout")
    stop = _constant("stop")

    def silu(self, array: Any) -> Dual:
        return dual(array) * self.sigmoid(array)

    def gelu(self, array: Any) -> Dual:
        return 0.5 * dual(array) * (1.0 + self.erf(dual(array) / np.sqrt(2.0)))

    def softmax(self, array: Any) -> Dual:
        shifted = self.exp(dual(array) - np.max(dual(array).value, axis=-1, keepdims=True))
        return shifted / self.sum(shifted, axis=-1, keep=True)

    def where(self, condition: Any, yes: Any, no: Any) -> Dual:
        yes, no, condition = dual(yes), dual(no), _plain(condition)
        return Dual(np.where(condition, yes.value, no.value), np.where(condition, yes.tangent, no.tangent))

    def maximum(self, left: Any, right: Any) -> Dual:
        left, right = dual(left), dual(right)
        share = 0.5 * (np.sign(left.value - right.value) + 1)
        return Dual(np.maximum(left.value, right.value), share * left.tangent + (1 - share) * right.tangent)

    def minimum(self, left: Any, right: Any) -> Dual:
        return -self.maximum(-dual(left), -dual(right))

    def max(self, array: Any, axis: int | None = None, keep: bool = False) -> Dual:
        array = dual(array)
        value = np.max(array.value, axis=axis, keepdims=True)
        reached = array.value == value
        ties = np.sum(reached, axis=axis, keepdims=True)
        tangent = np.sum(array.tangent * reached, axis=axis, keepdims=True) / ties
        if keep:
            return Dual(value, tangent)
        return Dual(np.squeeze(value, axis), np.squeeze(tangent, axis))

    def min(self, array: Any, axis: int | None = None, keep: bool = False) -> Dual:
        return -self.max(-dual(array), axis, keep)

    def norm(self, array: Any, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Dual:
        array = dual(array)
        value = NUMPY.norm(array.value, axis, keep)
        change = np.sum(np.real(np.conj(array.value) * array.tangent), axis=axis, keepdims=keep)
        return Dual(value, np.where(value == 0, 0.0, change / np.where(value == 0, 1.0, value)))

    def inverse(self, array: Any) -> Dual:
        array = dual(array)
        value = NUMPY.inverse(array.value)
        return Dual(value, -value @ array.tangent @ value)

    pinv = _differenced("pinv")
    svd = _differenced("svd")
    qr = _differenced("qr")
    lu = _differenced("lu")
    eigh = _differenced("eigh")

    def is_complex(self, array: Any) -> bool:
        return bool(np.iscomplexobj(_plain(array)))


DUAL = DualArrays()
