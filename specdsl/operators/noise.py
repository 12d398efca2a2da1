"""Operators that are random in training and certain otherwise."""

from __future__ import annotations

from specdsl.arrays import Array, Arrays
from specdsl.errors import SpecSettingError
from specdsl.operators.registry import Option, operator


@operator(
    "dropout", "... -> ...", form="value",
    facts=["elementwise", "linear", "keeps_zero"], options=[Option("p", "number")],
    samples=lambda random: ([random.normal(size=random.integers(1, 5, size=2))], {"p": 0.25}),
    torch="F.dropout({0}, {p}, training=self.training)",
)  # fmt: skip
def dropout(xp: Arrays, A: Array, p: float) -> Array:
    """`A .* noise`: in training an entry is 0 with probability p and else divided by `1 - p`; otherwise A."""
    if not 0 <= p < 1:
        raise SpecSettingError(f"`dropout` takes a probability from 0 up to but without 1, not {p:g}")
    return xp.dropout(A, float(p))
