"""Whether two trained adapters compute the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from specdsl.errors import SpecCheckpointError
from specdsl.runtime.adapter_updates import updates_of

TOLERANCE = 1e-6
"""Relative differences up to this are those of float32, in which values derived from the base are computed."""


@dataclass(frozen=True)
class ModuleDifference:
    """How far two updates of one module are apart.

    Attributes:
        name: of the module; of its bias, with `, bias`.
        shape: of the update, `n x m`.
        largest: the largest entry of either update.
        difference: the largest difference of two entries, as a part of `largest`.
        missing: `a` or `b`, where that adapter leaves the module as it is.
    """

    name: str
    shape: str
    largest: float
    difference: float
    missing: str | None = None

    @property
    def is_same(self) -> bool:
        return self.difference <= TOLERANCE


def compare_updates(a: Path, b: Path, model: nn.Module | None = None) -> list[ModuleDifference]:
    """Compare what two adapters add to their base, module by module; an adapter leaves other modules as they are.

    Args:
        a, b: folders, each of an adapter of ours or of PEFT's.
        model: the base; None where neither update reads it.

    Raises:
        SpecError: an adapter cannot be read, or an update is no weight or needs the base.
        SpecCheckpointError: a module has different sizes in the two.
    """
    ours, theirs = updates_of(a, model), updates_of(b, model)
    found = []
    for name in dict.fromkeys([*ours, *theirs]):
        left, right = ours.get(name), theirs.get(name)
        shape = (left if left is not None else theirs[name]).shape
        if left is not None and right is not None and left.shape != right.shape:
            raise SpecCheckpointError(
                f"`{name}` is {_by(left.shape)} in one adapter and {_by(right.shape)} in the other"
            )
        zeros = np.zeros(shape)
        one, other = (zeros if value is None else value for value in (left, right))
        largest = max(float(np.abs(one).max(initial=0)), float(np.abs(other).max(initial=0)))
        apart = float(np.abs(one - other).max(initial=0))
        missing = "a" if left is None else "b" if right is None else None
        found.append(ModuleDifference(name, _by(shape), largest, apart / largest if largest else apart, missing))
    return found


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "1"
