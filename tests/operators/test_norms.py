"""Norms and the orthogonality penalty where they are zero, and in their published variants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.arrays.torch_arrays import TorchArrays
from specdsl.operators.norms import colnorm, max_, norm, orth, rownorm

TORCH = TorchArrays()


@pytest.mark.parametrize("function", [norm, rownorm, colnorm])
def test_a_norm_at_zero_has_no_gradient_rather_than_nan(function: object) -> None:
    A = torch.zeros(2, 3, requires_grad=True)
    function(TORCH, A).sum().backward()  # type: ignore[operator]
    assert A.grad is not None
    assert not A.grad.any()


@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (4, 4)])
def test_the_orthogonality_penalty_is_zero_on_the_smaller_side(shape: tuple[int, int]) -> None:
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(max(shape), min(shape))))
    A = Q if shape[0] >= shape[1] else Q.T
    assert orth(NUMPY, A) == pytest.approx(0.0, abs=1e-28)
    assert orth(NUMPY, 2 * A) == pytest.approx(9 * min(shape))


def test_the_variants_of_the_penalty_are_root_and_hinge() -> None:
    A = 2 * np.eye(4)[:, :3]
    assert orth(NUMPY, A, squared=False) == pytest.approx(27**0.5)
    assert orth(NUMPY, A, tol=20.0) == pytest.approx(7.0)
    assert orth(NUMPY, A, tol=30.0) == 0.0
    assert orth(NUMPY, A, squared=False, tol=5.0) == pytest.approx(27**0.5 - 5)


def test_the_root_of_the_penalty_can_be_trained_from_an_orthonormal_start() -> None:
    A = torch.eye(4)[:, :3].requires_grad_()
    orth(TORCH, A, squared=False).backward()
    assert A.grad is not None
    assert torch.isfinite(A.grad).all()


def test_a_number_is_compared_with_every_entry() -> None:
    assert_allclose(max_(TORCH, torch.tensor(1.0), torch.tensor([0.5, 2.0])), [1.0, 2.0])
    assert max_(TORCH, torch.tensor([0.5, 2.0])).item() == 2.0
