"""Operators that round to few values, as a quantised base does."""

from __future__ import annotations

from typing import Any

from specdsl.arrays import Array, Arrays
from specdsl.errors import SpecSettingError
from specdsl.operators.registry import Option, operator


def _quantise_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    return [random.normal(size=random.integers(1, 6, size=2))], {"bits": int(random.integers(2, 6))}


@operator("quantise", "... n m -> ... n m", facts=["constant", "idempotent"], samples=_quantise_samples,
          options=[Option("bits", "size")], torch="quantise({0}, {bits})")  # fmt: skip
def quantise(xp: Arrays, M: Array, bits: int) -> Array:
    """Every entry rounded to the nearest of `2^bits - 1` even levels, from -a to a with a the largest of its column.

    The levels are the same below and above zero, which is one of them; a value half way goes up. The derivative is
    taken as zero.
    """
    if bits < 2:
        raise SpecSettingError(f"`quantise` takes at least 2 bits, not {bits}")
    M = xp.stop(M)
    step = xp.max(xp.abs(M), axis=-2, keep=True) / (2 ** (bits - 1) - 1)
    step = xp.where(step > 0, step, 1.0)
    return step * xp.floor(M / step + 0.5)
