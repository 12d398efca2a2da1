"""How long the side of a matrix is drawn: by a power of its size, so that r beside n is small but seen."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from specdsl.operators.registry import Shape
from specdsl.sizes import Size, UnknownSize

EXAMPLE = {"n": 768, "m": 1100, "tokens": 300, "c": 256, "kh": 3, "kw": 3, "layer": 0}
"""The sizes of a module that stands for all."""

_LONGEST, _SHORTEST, _UNKNOWN = 128.0, 15.0, 40.0
_POWER = 0.42
_UNIT = 92 / 768**_POWER
_KERNEL = frozenset({"kh", "kw"})


class Lengths:
    """Lengths in pixels under the hyper-parameters of a spec."""

    def __init__(self, hyperparameters: Mapping[str, Any]) -> None:
        self._sizes = {**EXAMPLE, **hyperparameters}
        self._known: dict[Size, float] = {}

    def length(self, size: Size) -> float:
        """The length of one side; a middling one where a size is only known at run time.

        >>> lengths = Lengths({"r": 8})
        >>> lengths.length(Size.symbol("n")) > lengths.length(Size.symbol("r")) > 0
        True
        """
        if size not in self._known:
            self._known[size] = self._measured(size)
        return self._known[size]

    def _measured(self, size: Size) -> float:
        counters = {name: Fraction(0) for name in size.symbols - self._sizes.keys()}  # of folds: the first one
        try:
            value = float(size.value({**counters, **self._sizes}, [self._sizes]))
        except (UnknownSize, ValueError, ArithmeticError):
            return _UNKNOWN
        return float(min(max(_UNIT * max(value, 0.0) ** _POWER, _SHORTEST), _LONGEST))

    def sides(self, shape: Shape) -> tuple[float, float]:
        """Width and height of a matrix; of a stack those of its matrices, of a kernel its channels."""
        if not shape:
            return 20.0, 20.0
        if len(shape) == 1:
            return self.length(shape[0]), _SHORTEST
        plane = [size for size in shape if not size.symbols & _KERNEL]
        height, width = (plane if len(plane) >= 2 else shape)[-2:]
        return self.length(width), self.length(height)
