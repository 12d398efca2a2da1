"""Dropout is noise in training and nothing otherwise."""

from __future__ import annotations

import pytest
import torch

from specdsl.arrays.torch_arrays import TorchArrays
from specdsl.errors import SpecSettingError
from specdsl.operators.noise import dropout


def test_dropout_is_noise_in_training_alone() -> None:
    xp, x = TorchArrays(), torch.ones(1000)
    assert torch.equal(dropout(xp, x, 0.5), x)
    xp.training = True
    assert set(dropout(xp, x, 0.5).tolist()) == {0.0, 2.0}
    assert torch.equal(dropout(xp, x, 0.0), x)


@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0, float("nan")])
def test_a_probability_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(SpecSettingError, match="`dropout` takes a probability from 0 up to but without 1"):
        dropout(TorchArrays(), torch.ones(3), p)
