"""Whether a tensor's values are finite."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is infinite or NaN. Fake and meta tensors have no values, and integers only finite ones."""
    if isinstance(tensor, FakeTensor) or tensor.is_meta or not tensor.is_floating_point():
        return True
    return bool(torch.isfinite(tensor).all())
