"""Where the factors of the library's methods start."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from torch import nn

from tests.library.small_layers import Array, attached, bias_of, weight_of

N, M, R = 400, 300, 16

UNIFORM_IN_N, UNIFORM_IN_R, UNIFORM_IN_M = (("uniform", 1 / np.sqrt(size)) for size in (N, R, M))
ZERO, ONE, A_TENTH = (("constant", value) for value in (0.0, 1.0, 0.1))
NORMAL = ("normal", 0.02)

STARTS = {
    "lora": {"A": UNIFORM_IN_N, "B": ZERO},
    "rslora": {"A": UNIFORM_IN_N, "B": ZERO},
    "mpc_o": {"A": UNIFORM_IN_N, "B": ZERO},
    "mpc_d": {"A": UNIFORM_IN_N, "B": ZERO},
    "mpc_n": {"A": UNIFORM_IN_N, "B": ZERO},
    "parallel_adapter": {"A": UNIFORM_IN_N, "B": ZERO},
    "flora": {"A": NORMAL, "G": ZERO, "B": NORMAL},
    "adalora": {"A": NORMAL, "e": ZERO, "B": NORMAL},
    "trilora": {"A": UNIFORM_IN_N, "d": ZERO, "B": UNIFORM_IN_R},
    "vera": {"A": UNIFORM_IN_N, "B": UNIFORM_IN_R, "d": A_TENTH, "e": ZERO},
    "houlsby": {"A": UNIFORM_IN_M, "a": ZERO, "B": ZERO, "c": ZERO},
    "pfeiffer": {"A": UNIFORM_IN_M, "a": ZERO, "B": ZERO, "c": ZERO},
    "hydra": {"A": UNIFORM_IN_N, "B": ZERO, "C": UNIFORM_IN_M, "D": ZERO},
    "spectral_adapter": {"A": ZERO, "B": ZERO},
    "svdiff": {"d": ZERO},
    "ia3": {"l": ONE},
    "ssl": {"l": ONE},
    "ssb": {"k": ONE, "l": ONE},
    "bitfit": {"d": ZERO},
}
WITHOUT_RANK = {"svdiff", "ia3", "ssl", "ssb", "bitfit"}


def start(method: str, **settings: float) -> tuple[nn.Module, dict[str, Array]]:
    """A layer of 400 x 300, and the factors of the method at their start."""
    model = nn.Sequential(nn.Linear(N, M)).double()
    adapter = attached(model, method, **settings)  # type: ignore[arg-type]
    return model[0], {name: value.detach().numpy() for _, name, value in adapter.factors()}


@pytest.mark.parametrize("method", STARTS)
def test_factors_start_as_published(method: str) -> None:
    _, factors = start(method, **({} if method in WITHOUT_RANK else {"r": R}))
    assert factors.keys() == STARTS[method].keys()
    for name, (kind, size) in STARTS[method].items():
        value = factors[name]
        if kind == "constant":
            assert (value == size).all()
        else:
            deviation = size if kind == "normal" else size / np.sqrt(3)
            assert value.std() == pytest.approx(deviation, rel=0.05)
            assert abs(value.mean()) < 0.1 * deviation
            assert (abs(value).max() <= size) == (kind == "uniform")


def test_dora_starts_with_the_norms_of_the_columns() -> None:
    layer, factors = start("dora", r=R)
    assert_allclose(factors["g"], np.sqrt(np.sum(weight_of(layer) ** 2, axis=0)), rtol=1e-12)


def test_sam_parser_starts_with_the_singular_values() -> None:
    layer, factors = start("sam_parser")
    assert_allclose(factors["s"], np.linalg.svd(weight_of(layer), compute_uv=False), rtol=1e-10)


def test_pissa_starts_with_the_largest_singular_parts_balanced() -> None:
    layer, factors = start("pissa", r=R, alpha=4 * R)
    U, S, V = np.linalg.svd(weight_of(layer), full_matrices=False)
    assert_allclose(4 * factors["A"] @ factors["B"], U[:, :R] * S[:R] @ V[:R], atol=1e-10)
    assert_allclose(factors["A"].T @ factors["A"], np.diag(S[:R] / 4), atol=1e-10)
    assert_allclose(factors["B"] @ factors["B"].T, np.diag(S[:R] / 4), atol=1e-10)


def test_full_fine_tuning_starts_with_the_weights_themselves() -> None:
    layer, factors = start("full")
    assert (factors["D"] == weight_of(layer)).all()
    assert (factors["d"] == bias_of(layer)).all()
