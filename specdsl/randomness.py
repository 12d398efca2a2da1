"""Random numbers that depend on a key alone: `Stream("seed", 0, "A", "encoder.layer.3")`.

A stream is the Philox generator in counter mode under the SHA-256 of its key, so a draw does not depend on
the order of draws, on other adapters, on a device or on any global seed. Only the generator's raw 64-bit
words are used, and only additions, multiplications, divisions and square roots are done with them, whose
results IEEE 754 fixes: values are the same bit by bit on every machine and under every numpy. (`orthonormal`
alone goes through LAPACK and is the same up to rounding.)
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class TooFewPlaces(ValueError):
    """More different numbers are asked for than there are."""


class Stream:
    """The random numbers that belong to one key.

    Args:
        key: texts and whole numbers; `1` and `"1"` are different keys.

    >>> bool(Stream("seed", 0).uniform(()) == Stream("seed", 0).uniform(()))
    True
    """

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.sha256(json.dumps(key).encode()).digest()
        self._generator = np.random.Philox(key=np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64))

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` words of 64 random bits."""
        return np.asarray(self._generator.random_raw(count), dtype=np.uint64)

    def uniform(self, shape: Sequence[int]) -> Floats:
        """Numbers in [0, 1), multiples of 2^-53; one word each."""
        words = self.words(math.prod(shape)) >> np.uint64(11)
        return words.astype(np.float64).reshape(tuple(shape)) * 2.0**-53

    def normal(self, shape: Sequence[int]) -> Floats:
        """Standard normal numbers, by the inverse distribution function; one word each."""
        words = self.words(math.prod(shape)) >> np.uint64(12)
        return normal_quantile((words.astype(np.float64).reshape(tuple(shape)) + 0.5) * 2.0**-52)

    def integers(self, stop: int, shape: Sequence[int]) -> Integers:
        """Whole numbers from 0 up to but without `stop`; one word each."""
        return (self.words(math.prod(shape)) % np.uint64(stop)).astype(np.int64).reshape(tuple(shape))

    def permutation(self, count: int) -> Integers:
        """The numbers 0 to `count - 1` in random order: that of `count` words."""
        return np.argsort(self.words(count), kind="stable").astype(np.int64)

    def choose(self, stop: int, count: int) -> Integers:
        """`count` different numbers below `stop`, in random order.

        Raises:
            TooFewPlaces: there are fewer than `count`.
        """
        if count > stop:
            raise TooFewPlaces(f"{count} different numbers cannot be chosen out of {stop}")
        if 2 * count > stop:
            return self.permutation(stop)[:count]
        chosen = self.integers(stop, (0,))
        while len(chosen) < count:
            chosen = np.concatenate([chosen, self.integers(stop, (count,))])
            chosen = chosen[np.sort(np.unique(chosen, return_index=True)[1])]
        return chosen[:count]

    def orthonormal(self, shape: Sequence[int]) -> Floats:
        """Matrices with orthonormal columns (rows, if wide), uniform among them; leading axes are a stack."""
        *leading, rows, columns = shape
        tall = self.normal((*leading, max(rows, columns), min(rows, columns)))
        Q, R = np.linalg.qr(tall)
        signs = np.where(np.diagonal(R, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
        Q = Q * signs[..., None, :]
        return Q if rows >= columns else np.swapaxes(Q, -1, -2)


# ------------------------------------------------------------------------------------ the normal quantile

# Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988): numerator and denominator, constant term
# first, of the rational functions for the centre, the flanks and the far tails; relative error about 1e-16.
_CENTRE = (
    (3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
     21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610),
)  # fmt: skip
_FLANKS = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
     1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
     0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_TAILS = (
    (6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
     0.0265321895265761230930, 1.24266094738807843860e-3, 2.71155556874348757815e-5,
     2.01033439929228813265e-7),
    (1.0, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15),
)  # fmt: skip


def normal_quantile(probability: Any) -> Floats:
    """The number below which a standard normal one falls with `probability`, above 0 and below 1.

    >>> float(normal_quantile(0.5))
    0.0
    """
    probability = np.asarray(probability, dtype=np.float64)
    offset = np.atleast_1d(probability - 0.5)
    value = offset * _rational(_CENTRE, 0.180625 - offset * offset)
    outside = np.abs(offset) > 0.425
    tail = np.atleast_1d(np.minimum(probability, 1.0 - probability))[outside]
    distance = np.sqrt(-_logarithm(tail))
    size = np.where(distance <= 5.0, _rational(_FLANKS, distance - 1.6), _rational(_TAILS, distance - 5.0))
    value[outside] = np.where(offset[outside] < 0, -size, size)
    return value.reshape(probability.shape)


def _rational(coefficients: tuple[tuple[float, ...], tuple[float, ...]], at: Floats) -> Floats:
    numerator, denominator = (_polynomial(side, at) for side in coefficients)
    return numerator / denominator


def _polynomial(coefficients: tuple[float, ...], at: Floats) -> Floats:
    total = np.full_like(at, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * at + coefficient
    return total


def _logarithm(value: Floats) -> Floats:
    """The natural logarithm by basic arithmetic: numpy's own differs between processors in the last bit."""
    fraction, exponent = np.frexp(value)
    low = fraction < math.sqrt(0.5)
    fraction = np.where(low, 2.0 * fraction, fraction)
    ratio = (fraction - 1.0) / (fraction + 1.0)
    series = _polynomial(tuple(1.0 / odd for odd in range(1, 25, 2)), ratio * ratio)
    return 2.0 * ratio * series + (exponent - low) * 0.6931471805599453
