"""Arrays over a ring: arithmetic, and derivatives in many directions at once.

A tangent has one leading axis more than its value, over all directions, so a Jacobian is one evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any, Literal

import numpy as np

from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.exact.ring import Ring


class ExactArray:
    """Entries of a ring, and their derivatives.

    Attributes:
        value: a numpy array of entries.
        tangent: of the shape `(directions, *value.shape)`, or None where all derivatives are zero.
        is_nonnegative: whether no entry is negative, by how it was computed.
    """

    __slots__ = ("is_nonnegative", "ring", "tangent", "value")
    __array_ufunc__ = None

    def __init__(self, ring: Ring, value: Any, tangent: Any = None, is_nonnegative: bool = False) -> None:
        self.ring, self.value, self.tangent, self.is_nonnegative = ring, value, tangent, is_nonnegative

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        return int(self.value.ndim)

    def lifted(self, other: Any) -> ExactArray:
        """Anything as an array over the same ring."""
        return other if isinstance(other, ExactArray) else ExactArray(self.ring, self.ring.entries(other))

    def __add__(self, other: Any) -> ExactArray:
        if isinstance(other, ComplexPair):
            return NotImplemented
        other = self.lifted(other)
        value = self.ring.add(self.value, other.value)
        parts = [spread(part.tangent, part.ndim, value.shape) for part in (self, other) if part.tangent is not None]
        return ExactArray(
            self.ring, value, reduce(self.ring.add, parts) if parts else None,
            self.is_nonnegative and (other.is_nonnegative or bool(np.all(self.ring.is_zero(other.value)))),
        )  # fmt: skip

    __radd__ = __add__

    def __neg__(self) -> ExactArray:
        tangent = None if self.tangent is None else self.ring.negative(self.tangent)
        return ExactArray(self.ring, self.ring.negative(self.value), tangent)

    def __sub__(self, other: Any) -> ExactArray:
        return NotImplemented if isinstance(other, ComplexPair) else self + -self.lifted(other)

    def __rsub__(self, other: Any) -> ExactArray:
        return self.lifted(other) + -self

    def __mul__(self, other: Any) -> ExactArray:
        if isinstance(other, ComplexPair):
            return NotImplemented
        is_square = other is self
        other = self.lifted(other)
        value = self.ring.times(self.value, other.value)
        parts = []
        for part, partner in ((self, other), (other, self)):
            if part.tangent is not None:
                parts.append(self.ring.times(spread(part.tangent, part.ndim, value.shape), partner.value))
        return ExactArray(
            self.ring, value, reduce(self.ring.add, parts) if parts else None,
            is_square or (self.is_nonnegative and other.is_nonnegative),
        )  # fmt: skip

    __rmul__ = __mul__

    def reciprocal(self) -> ExactArray:
        value = self.ring.reciprocal(self.value)
        tangent = self.tangent
        if tangent is not None:
            tangent = self.ring.negative(self.ring.times(tangent, self.ring.times(value, value)))
        return ExactArray(self.ring, value, tangent, self.is_nonnegative)

    def __truediv__(self, other: Any) -> ExactArray:
        return NotImplemented if isinstance(other, ComplexPair) else self * self.lifted(other).reciprocal()

    def __rtruediv__(self, other: Any) -> ExactArray:
        return self.lifted(other) * self.reciprocal()

    def __matmul__(self, other: Any) -> ExactArray:
        if isinstance(other, ComplexPair):
            return NotImplemented
        return _matmul(self, self.lifted(other))

    def __rmatmul__(self, other: Any) -> ExactArray:
        return _matmul(self.lifted(other), self)

    def __pow__(self, exponent: Any) -> ExactArray:
        if isinstance(exponent, ExactArray):
            raise NotExact("elpower", "the exponent is an array")
        twice = Fraction(exponent) * 2
        if twice.denominator != 1:
            raise NotExact("elpower", f"the exponent is {exponent}")
        if twice % 2:
            return rooted(self) ** int(twice)
        power = int(twice) // 2
        if power < 0:
            return self.reciprocal() ** -power
        if power == 0:
            return ExactArray(self.ring, self.ring.entries(np.ones(self.shape, dtype=np.int64)), None, True)
        if power == 1:
            return self
        half = self ** (power // 2)
        return half * half * self if power % 2 else half * half

    def __getitem__(self, key: Any) -> ExactArray:
        keys = key if isinstance(key, tuple) else (key,)
        tangent = None if self.tangent is None else self.tangent[(slice(None), *keys)]
        return ExactArray(self.ring, np.asarray(self.value[key]), tangent, self.is_nonnegative)

    def __gt__(self, other: Any) -> Any:
        return self.ring.greater(self.value, self.lifted(other).value, self.is_nonnegative)

    def __lt__(self, other: Any) -> Any:
        other = self.lifted(other)
        return self.ring.greater(other.value, self.value, other.is_nonnegative)

    def __ge__(self, other: Any) -> Any:
        return ~(self < other)

    def __le__(self, other: Any) -> Any:
        return ~(self > other)

    def __float__(self) -> float:
        if not self.ring.is_ordered or self.shape:
            raise NotExact("number", "it is no plain number")
        return float(Fraction(self.ring.text(self.value[()])))


class ComplexPair:
    """A real and an imaginary part, as Fourier transforms have them."""

    __array_ufunc__ = None

    def __init__(self, real: ExactArray, imaginary: ExactArray) -> None:
        self.real, self.imaginary = real, imaginary

    @property
    def shape(self) -> tuple[int, ...]:
        return self.real.shape

    @property
    def ndim(self) -> int:
        return self.real.ndim

    def lifted(self, other: Any) -> ComplexPair:
        if isinstance(other, ComplexPair):
            return other
        other = self.real.lifted(other)
        return ComplexPair(other, other * 0)

    def each(self, function: Callable[[ExactArray], Any]) -> ComplexPair:
        """A linear function of both parts."""
        return ComplexPair(function(self.real), function(self.imaginary))

    def __neg__(self) -> ComplexPair:
        return ComplexPair(-self.real, -self.imaginary)

    def __add__(self, other: Any) -> ComplexPair:
        other = self.lifted(other)
        return ComplexPair(self.real + other.real, self.imaginary + other.imaginary)

    __radd__ = __add__

    def __sub__(self, other: Any) -> ComplexPair:
        return self + -self.lifted(other)

    def __rsub__(self, other: Any) -> ComplexPair:
        return self.lifted(other) + -self

    def __mul__(self, other: Any) -> ComplexPair:
        other = self.lifted(other)
        return ComplexPair(
            self.real * other.real - self.imaginary * other.imaginary,
            self.real * other.imaginary + self.imaginary * other.real,
        )

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> ComplexPair:
        other = self.lifted(other)
        return ComplexPair(
            self.real @ other.real - self.imaginary @ other.imaginary,
            self.real @ other.imaginary + self.imaginary @ other.real,
        )

    def __rmatmul__(self, other: Any) -> ComplexPair:
        return self.lifted(other) @ self

    def __truediv__(self, other: Any) -> ComplexPair:
        other = self.lifted(other)
        size = other.real * other.real + other.imaginary * other.imaginary
        upside = ComplexPair(other.real / size, -(other.imaginary / size))
        return self * upside

    def __rtruediv__(self, other: Any) -> ComplexPair:
        return self.lifted(other) / self


def spread(tangent: Any, ndim: int, shape: tuple[int, ...]) -> Any:
    """A tangent of an array with `ndim` axes, broadcast as the array is to `shape`."""
    wanted = tangent.reshape((len(tangent), *(1,) * (len(shape) - ndim), *tangent.shape[1:]))
    return np.broadcast_to(wanted, (len(tangent), *shape))


def _matmul(left: ExactArray, right: ExactArray) -> ExactArray:
    ring = left.ring
    a = left.value[None] if left.ndim == 1 else left.value
    b = right.value[:, None] if right.ndim == 1 else right.value
    value = ring.matmul(a, b)
    axes = max(a.ndim, b.ndim)
    parts = []
    if left.tangent is not None:
        moved = left.tangent[:, None] if left.ndim == 1 else left.tangent
        parts.append(ring.matmul(_padded(moved, axes), b))
    if right.tangent is not None:
        moved = right.tangent[..., None] if right.ndim == 1 else right.tangent
        parts.append(ring.matmul(a, _padded(moved, axes)))
    tangent = reduce(ring.add, parts) if parts else None
    gone = (*((-2,) if left.ndim == 1 else ()), *((-1,) if right.ndim == 1 else ()))
    if not gone:
        return ExactArray(ring, value, tangent)
    return ExactArray(ring, np.squeeze(value, gone), None if tangent is None else np.squeeze(tangent, gone))


def _padded(tangent: Any, axes: int) -> Any:
    return tangent.reshape((len(tangent), *(1,) * (axes + 1 - tangent.ndim), *tangent.shape[1:]))


def rooted(
    array: ExactArray, along: Literal["columns", "rows"] = "columns", *, flat_at_zero: bool = False
) -> ExactArray:
    """The square root of every entry.

    Args:
        along: what the entries belong to, for `NoPoint`.
        flat_at_zero: whether the slope at zero is taken as zero, as that of a norm is.

    Raises:
        NoPoint, NotExact: there is none.
    """
    ring = array.ring
    try:
        value = ring.sqrt(array.value)
    except NoPoint as missing:
        raise NoPoint(str(missing), missing.failing, along) from None
    except NotExact as refusal:
        raise NotExact(refusal.operator, refusal.why, refusal.failing, along) from None
    ring.count_roots(array.value)
    tangent = array.tangent
    if tangent is not None:
        is_zero = ring.is_zero(value)
        if np.any(is_zero) and not flat_at_zero and not np.all(ring.is_zero(tangent[:, is_zero])):
            raise NotExact("sqrt", "it has no slope at zero")
        safe = np.where(is_zero, ring.entries(1), value)
        slope = ring.reciprocal(ring.times(ring.entries(2), safe))
        tangent = ring.times(tangent, np.where(is_zero, ring.entries(0), slope))
    return ExactArray(ring, value, tangent, True)
