"""Methods of PEFT, with its factors in the row convention: what its layer computes is `specdsl.weight`, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

import specdsl
from tests.library.small_layers import checked

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT, on its own defaults

NAME = "default"
Factors = Callable[[Any], dict[str, Tensor]]


@dataclass(frozen=True)
class Case:
    """A configuration of PEFT and the factors of its layer as the spec has them.

    `tolerance` is wider where PEFT computes in float32.
    """

    spec: str
    config: str
    options: dict[str, Any]
    n: int
    m: int
    factors: Factors
    settings: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-10


def oft(layer: Any) -> dict[str, Tensor]:
    return {"q": layer.oft_R[NAME].weight}


def loha(layer: Any) -> dict[str, Tensor]:
    A, B = layer.hada_w1_b[NAME].T, layer.hada_w1_a[NAME].T
    return {"A": A, "B": B, "C": layer.hada_w2_b[NAME].T, "D": layer.hada_w2_a[NAME].T}


def low(layer: Any) -> dict[str, Tensor]:
    return {"C": layer.lokr_w1[NAME].T, "D": layer.lokr_w2_b[NAME].T, "E": layer.lokr_w2_a[NAME].T}


def fourier(layer: Any) -> dict[str, Tensor]:
    row, column = layer.indices[NAME]
    return {"c": layer.fourierft_spectrum[NAME], "I": row * layer.in_features + column}


def vblora(layer: Any) -> dict[str, Tensor]:
    P, Q = layer.vblora_logits_A[NAME], layer.vblora_logits_B[NAME].transpose(0, 1)
    return {"V": layer.vblora_vector_bank[NAME], "P": P, "Q": Q}


def pvera(layer: Any) -> dict[str, Tensor]:
    A, B = layer.pvera_A[NAME].T, layer.pvera_B[NAME].T
    return {"A": A, "B": B, "d": layer.pvera_lambda_d[NAME], "e": layer.pvera_lambda_b[NAME]}


def with_bias(layer: Any) -> dict[str, Tensor]:
    A, B = layer.lora_A[NAME], layer.lora_B[NAME]
    return {"A": A.weight.T, "B": B.weight.T, "d": B.bias}


EXACT = {"r": 0, "oft_block_size": 3, "use_cayley_neumann": False}
CASES = {
    "OFT": Case("oft", "OFTConfig", EXACT, 6, 5, oft, {"k": 3}),
    "OFT, shared": Case(
        "oft_shared", "OFTConfig", EXACT | {"block_share": True}, 6, 5, lambda layer: {"q": oft(layer)["q"][0]},
        {"k": 3},
    ),
    "OFT, series, turned": Case(
        "oftv2", "OFTConfig", EXACT | {"use_cayley_neumann": True}, 6, 5, lambda layer: {"q": -oft(layer)["q"]},
        {"k": 3},
    ),
    "BOFT": Case(
        "boft", "BOFTConfig", {"boft_block_size": 2}, 8, 5,
        lambda layer: {"G": layer.boft_R[NAME], "g": layer.boft_s[NAME].flatten()}, {"k": 4, "f": 1},
    ),
    "HRA": Case("hra", "HRAConfig", {"r": 4}, 7, 5, lambda layer: {"U": layer.hra_u[NAME]}, {"r": 4}),
    "HRA, orthogonal": Case(
        "hra_gs", "HRAConfig", {"r": 4, "apply_GS": True}, 7, 5, lambda layer: {"U": layer.hra_u[NAME]}, {"r": 4}
    ),
    "FourierFT": Case("fourierft", "FourierFTConfig", {"n_frequency": 6}, 7, 5, fourier, {"k": 6}, tolerance=1e-5),
    "LoHa": Case("loha", "LoHaConfig", {"r": 2, "alpha": 5}, 7, 5, loha, {"r": 2, "alpha": 5}),
    "LoKr": Case(
        "lokr", "LoKrConfig", {"r": 20, "alpha": 20}, 6, 8,
        lambda layer: {"C": layer.lokr_w1[NAME].T, "D": layer.lokr_w2[NAME].T},
    ),
    "LoKr, low": Case("lokr_lowrank", "LoKrConfig", {"r": 1, "alpha": 5}, 12, 15, low, {"r": 1, "alpha": 5}),
    "MiSS": Case("miss", "MissConfig", {"r": 3}, 7, 5, lambda layer: {"D": layer.miss_block[NAME]}, {"r": 3}),
    "MiSS, mini": Case(
        "miss_mini", "MissConfig", {"r": 3, "mini_r": 2, "init_weights": "mini"}, 6, 4,
        lambda layer: {"D": layer.miss_block[NAME]}, {"r": 3, "k": 2},
    ),
    "Bone, block-affine": Case(
        "bone_affine", "MissConfig", {"r": 2, "init_weights": "bat"}, 6, 4,
        lambda layer: {"D": layer.miss_block[NAME].transpose(1, 2)}, {"r": 2},
    ),
    "C3A": Case(
        "c3a", "C3AConfig", {"block_size": 2}, 6, 8, lambda layer: {"v": layer.c3a_kernel[NAME].transpose(0, 1)},
        {"k": 2}, tolerance=1e-6,
    ),
    "VB-LoRA": Case(
        "vblora", "VBLoRAConfig", {"r": 2, "num_vectors": 5, "vector_length": 3}, 6, 9, vblora, {"r": 2, "v": 5, "h": 3}
    ),
    "PVeRA": Case("pvera", "PveraConfig", {"r": 3}, 7, 5, pvera, {"r": 3}),
    "LoRA with a bias": Case(
        "lora_bias", "LoraConfig", {"r": 2, "lora_alpha": 5, "lora_bias": True}, 7, 5, with_bias, {"r": 2, "alpha": 5}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_weight_is_that_of_peft(name: str) -> None:
    case = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        base = nn.Sequential(nn.Linear(case.n, case.m)).double()
        W, b = (value.detach().numpy().copy() for value in (base[0].weight.T, base[0].bias))
        theirs = peft.get_peft_model(base, getattr(peft, case.config)(target_modules=["0"], **case.options)).double()
        with torch.no_grad():
            for parameter in theirs.parameters():
                if parameter.requires_grad:
                    parameter.copy_(0.5 * torch.randn_like(parameter))
        x = torch.randn(3, case.n, dtype=torch.float64)
    layer = theirs.base_model.model[0]
    factors = {name: value.detach().numpy() for name, value in case.factors(layer).items()}
    new_W, new_b = specdsl.weight(checked(case.spec, **case.settings), W, b, factors)
    assert new_b is not None
    expected = theirs.eval()(x).detach().numpy()
    assert abs(expected - (x.numpy() @ W + b)).max() > 1e-2
    assert_allclose(x.numpy() @ new_W + new_b, expected, rtol=0, atol=case.tolerance * np.abs(expected).max())
