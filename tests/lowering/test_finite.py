from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from specdsl.lowering.finite import is_finite


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_value_is_enough(value: float, dtype: torch.dtype) -> None:
    tensor = torch.ones(3, 2, dtype=dtype)
    assert is_finite(tensor)
    tensor[1, 1] = value
    assert not is_finite(tensor)


def test_whole_numbers_and_tensors_without_values_are_finite() -> None:
    assert is_finite(torch.arange(3))
    assert is_finite(torch.empty(2, device="meta"))
    assert is_finite(torch.empty(0))
    with FakeTensorMode():
        assert is_finite(torch.empty(2))
