"""In which scale an optimiser step expects gradients, where a `torch.amp.GradScaler` makes it.

A scaler multiplies the loss, so that all gradients of a pass are too large by one number, and divides them before the
step. It tells nobody, so the step looks for it among its callers: reading the stack changes nothing of torch's, and a
step has few callers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

CALLERS = 24
"""Between a scaler and the hook of an optimiser lie torch's wrappers, those of schedulers, and accelerate's."""


@dataclass(frozen=True)
class StepScale:
    """What became of a gradient that was added to the others during the pass, and what it should be now.

    Attributes:
        held: the factor that it has been multiplied by since: one over the scale, once gradients are divided.
        wanted: the factor that it needs: the scale, where the optimiser itself divides (fused ones do), else one.
    """

    held: Tensor
    wanted: Tensor

    @classmethod
    def of(cls, optimizer: Any) -> Self | None:
        """The scales of the step that `optimizer` is making, or None where no scaler makes it. Does not wait for a
        device.
        """
        pending = getattr(optimizer, "grad_scale", None)
        if pending is not None:
            return cls(torch.ones_like(pending), pending)
        scaler = _calling_scaler()
        if scaler is None:
            return None
        scale = scaler._get_scale_async()
        return None if scale is None else cls(scale.reciprocal(), torch.ones_like(scale))


def _calling_scaler() -> torch.amp.GradScaler | None:
    frame = sys._getframe(2)
    for _ in range(CALLERS):
        found = frame.f_locals.get("self")
        if isinstance(found, torch.amp.GradScaler) and found.is_enabled():
            return found
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None
