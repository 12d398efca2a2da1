"""Functions of every entry."""

from __future__ import annotations

from typing import Any

from specdsl.arrays import Array, Arrays
from specdsl.operators.registry import Option, Samples, operator


def _size(random: Any) -> tuple[int, ...]:
    return tuple(random.integers(1, 6, size=random.integers(0, 4)))


def _positive(random: Any) -> tuple[list[Any], dict[str, Any]]:
    return [0.1 + random.random(size=_size(random))], {}


def _away_from_zero(random: Any) -> tuple[list[Any], dict[str, Any]]:
    size = _size(random)
    return [random.choice([-1.0, 1.0], size=size) * (0.1 + random.random(size=size))], {}


@operator("relu", "... -> ...", facts=["elementwise", "keeps_zero", "nonnegative", "idempotent"],
          samples=_away_from_zero, torch="torch.relu({0})")  # fmt: skip
def relu(xp: Arrays, A: Array) -> Array:
    """`max(A, 0)`."""
    return xp.relu(A)


@operator("gelu", "... -> ...", facts=["elementwise", "keeps_zero"], torch="F.gelu({0})")
def gelu(xp: Arrays, A: Array) -> Array:
    """`A .* Phi(A)` with the normal distribution function, exact."""
    return xp.gelu(A)


@operator("silu", "... -> ...", facts=["elementwise", "keeps_zero"], torch="F.silu({0})")
def silu(xp: Arrays, A: Array) -> Array:
    """`A .* sigmoid(A)`, also called swish."""
    return xp.silu(A)


@operator("tanh", "... -> ...", facts=["elementwise", "keeps_zero"], latex=r"\tanh({0})", torch="torch.tanh({0})")
def tanh(xp: Arrays, A: Array) -> Array:
    """The hyperbolic tangent."""
    return xp.tanh(A)


@operator("sigmoid", "... -> ...", facts=["elementwise", "nonnegative"], latex=r"\sigma({0})",
          torch="torch.sigmoid({0})")  # fmt: skip
def sigmoid(xp: Arrays, A: Array) -> Array:
    """`1 / (1 + exp(-A))`."""
    return xp.sigmoid(A)


@operator("softmax", "... n -> ... n", facts=["nonnegative"], torch="torch.softmax({0}, dim=-1)")
def softmax(xp: Arrays, A: Array) -> Array:
    """`exp(A) / sum(exp(A))` over the last axis."""
    return xp.softmax(A)


@operator("exp", "... -> ...", facts=["elementwise", "nonnegative", "identity_at_zero"], latex=r"\exp({0})",
          torch="torch.exp({0})")  # fmt: skip
def exp(xp: Arrays, A: Array) -> Array:
    """The exponential of every entry."""
    return xp.exp(A)


@operator("log", "... -> ...", facts=["elementwise"], samples=_positive, latex=r"\log({0})", torch="torch.log({0})")
def log(xp: Arrays, A: Array) -> Array:
    """The natural logarithm of every entry."""
    return xp.log(A)


@operator("sin", "... -> ...", facts=["elementwise", "keeps_zero"], latex=r"\sin({0})", torch="torch.sin({0})")
def sin(xp: Arrays, A: Array) -> Array:
    """The sine of every entry."""
    return xp.sin(A)


@operator("cos", "... -> ...", facts=["elementwise", "identity_at_zero"], latex=r"\cos({0})",
          samples=lambda random: ([random.normal(size=_size(random))], {}), torch="torch.cos({0})")  # fmt: skip
def cos(xp: Arrays, A: Array) -> Array:
    """The cosine of every entry."""
    return xp.cos(A)


@operator("sqrt", "... -> ...", form="value", facts=["elementwise", "keeps_zero", "nonnegative"], samples=_positive,
          latex=r"\sqrt{{{0}}}", torch="torch.sqrt({0})")  # fmt: skip
def sqrt(xp: Arrays, A: Array) -> Array:
    """The square root of every entry."""
    return xp.sqrt(A)


@operator("abs", "... -> ...", facts=["elementwise", "keeps_zero", "nonnegative", "idempotent"],
          samples=_away_from_zero, latex=r"\left|{0}\right|", torch="torch.abs({0})")  # fmt: skip
def absolute(xp: Arrays, A: Array) -> Array:
    """The magnitude of every entry."""
    return xp.abs(A)


@operator("sign", "... -> ...", facts=["elementwise", "keeps_zero", "constant"], samples=_away_from_zero,
          torch="torch.sign({0})")  # fmt: skip
def sign(xp: Arrays, A: Array) -> Array:
    """-1, 0 or 1 for every entry; its derivative is taken as zero."""
    return xp.sign(A)


@operator("floor", "... -> ...", facts=["elementwise", "constant", "idempotent"], samples=_positive,
          latex=r"\lfloor {0} \rfloor", torch="torch.floor({0})")  # fmt: skip
def floor(xp: Arrays, A: Array) -> Array:
    """Every entry rounded down; its derivative is taken as zero."""
    return xp.floor(A)


@operator("ceil", "... -> ...", facts=["elementwise", "constant", "idempotent"], samples=_positive,
          latex=r"\lceil {0} \rceil", torch="torch.ceil({0})")  # fmt: skip
def ceil(xp: Arrays, A: Array) -> Array:
    """Every entry rounded up; its derivative is taken as zero."""
    return xp.ceil(A)


_clamp_samples: Samples = lambda random: ([random.normal(size=_size(random))], {"low": -0.5, "high": 0.7})  # noqa: E731


@operator("clamp", "... -> ...", facts=["elementwise", "idempotent"], samples=_clamp_samples,
          options=[Option("low", "number"), Option("high", "number")], torch="clamp({0}, {low}, {high})")  # fmt: skip
def clamp(xp: Arrays, A: Array, low: float, high: float) -> Array:
    """Every entry kept between `low` and `high`."""
    return xp.minimum(xp.maximum(A, low), high)
