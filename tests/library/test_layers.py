"""Methods on every type of layer: what the layer computes, and what it holds once merged, is the formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

import specdsl
from specdsl.errors import SpecMergeError
from tests.library import formulas_activation, formulas_combination, formulas_extension, formulas_reconstruction
from tests.library.literal import Literal, R
from tests.library.small_layers import (
    LAYERS,
    Array,
    an_input,
    attached,
    bias_of,
    checked,
    input_rows,
    output_rows,
    randomise,
    small,
    weight_of,
)

KNOWN = {**formulas_extension.FORMULAS, **formulas_combination.FORMULAS, **formulas_reconstruction.FORMULAS}
WEIGHTS: dict[str, Literal] = {
    name: KNOWN[name]
    for name in (
        "lora", "rslora", "flora", "trilora", "adalora", "mpc_o", "mpc_d", "vera", "ia3", "ssl", "ssb", "bitfit",
        "full", "sam_parser", "svdiff", "pissa", "spectral_adapter", "dora", "hydra",
    )
}  # fmt: skip
OUTPUTS: dict[str, Literal] = {
    name: formulas_activation.FORMULAS[name] for name in ("mpc_n", "parallel_adapter", "houlsby", "pfeiffer")
}

NOT_DIAGONAL = set(WEIGHTS) - {"ia3", "ssl", "ssb", "bitfit"}
"""Methods whose W' is a full matrix, which a norm's weight cannot be."""
NEW_BIAS = {"bitfit", "full"}
"""Methods that make a bias where there was none, for which an embedding has no place."""


def supported(method: str, layer: str) -> bool:
    return layer != "LayerNorm" or method not in NOT_DIAGONAL


CASES = [(method, layer) for method in WEIGHTS | OUTPUTS for layer in LAYERS if supported(method, layer)]


@pytest.mark.parametrize("method", OUTPUTS)
def test_an_adapter_with_a_nonlinearity_is_no_weight(method: str) -> None:
    with pytest.raises(SpecMergeError, match="is not linear in the input"):
        specdsl.weight(checked(method), np.eye(3))


@pytest.mark.parametrize(("method", "layer"), CASES)
def test_an_adapted_layer_computes_the_formula(method: str, layer: str) -> None:
    model = small(layer)
    x = an_input(model)
    rows, W, b = input_rows(model[0], x), weight_of(model[0]), bias_of(model[0])
    if method in OUTPUTS:
        output = OUTPUTS[method]
        expected = output.formula(rows, W, b, **randomise(attached(model, method, **output.settings)))
    else:
        literal = WEIGHTS[method]
        new_W, new_b = literal.weights(W, b, randomise(attached(model, method, **literal.settings)))
        expected = rows @ new_W + new_b
    assert_allclose(output_rows(model[0], model(x)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("method", "layer"), [case for case in CASES if case[0] in WEIGHTS])
@pytest.mark.filterwarnings("ignore:.* had no bias and has one now")
def test_a_merged_layer_holds_the_formula(method: str, layer: str) -> None:
    literal = WEIGHTS[method]
    model = small(layer)
    W, b = weight_of(model[0]), bias_of(model[0])
    adapter = attached(model, method, **literal.settings)
    new_W, new_b = literal.weights(W, b, randomise(adapter))
    if layer == "Embedding" and method in NEW_BIAS:
        with pytest.raises(SpecMergeError, match="is an embedding and has no bias"):
            adapter.merge()
        return
    adapter.merge_and_unload()
    assert_allclose(weight_of(model[0]), new_W, rtol=0, atol=1e-10)
    assert_allclose(bias_of(model[0]), new_b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", sorted(NOT_DIAGONAL))
def test_a_full_matrix_does_not_merge_into_a_norm(method: str) -> None:
    adapter = attached(small("LayerNorm"), method, **WEIGHTS[method].settings)
    with pytest.raises(SpecMergeError, match="is not diagonal"):
        adapter.merge()


def test_vera_cuts_its_shared_matrices_to_each_layer() -> None:
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 6)).double()
    adapter = attached(model, "vera", r=R)
    randomise(adapter)
    values = {f"{place}.{name}": value.detach().numpy() for place, name, value in adapter.factors()}
    A, B = values["0.A"], values["0.B"]
    assert (A.shape, B.shape) == ((7, R), (R, 6))
    x = np.random.default_rng(0).normal(size=(4, 7))
    expected = x
    for place, layer in enumerate(model):
        W, b = weight_of(layer), bias_of(layer)
        n, m = W.shape
        new_W = formulas_extension.vera(W, b, A[:n], values[f"{place}.d"], B[:, :m], values[f"{place}.e"])
        expected = expected @ new_W + b
    assert_allclose(model(torch.from_numpy(x)).detach().numpy(), expected, rtol=0, atol=1e-10)


# ---------------------------------------------------------------------------------------------- penalties


def gram_error(M: Array) -> Array:
    return M.T @ M - np.eye(M.shape[1])


def adalora_penalty(layers: list[tuple[Array, Array]]) -> float:
    norms = [np.sqrt(np.sum(gram_error(M) ** 2)) for A, B in layers for M in (A, B.T)]
    return float(0.1 * np.mean(norms))


def mpc_o_penalty(layers: list[tuple[Array, Array]]) -> float:
    return float(sum(np.sum(gram_error(A) ** 2) + np.sum(gram_error(B.T) ** 2) for A, B in layers))


def mpc_d_penalty(layers: list[tuple[Array, Array]]) -> float:
    total = 0.0
    for A, B in layers:
        off_diagonal = B @ B.T - np.diag(np.diag(B @ B.T))
        total += np.sum(gram_error(A) ** 2) + np.sum(off_diagonal**2)
    return float(total)


PENALTIES: dict[str, Callable[[list[tuple[Array, Array]]], float]] = {
    "adalora": adalora_penalty,
    "mpc_o": mpc_o_penalty,
    "mpc_d": mpc_d_penalty,
}


@pytest.mark.parametrize("method", PENALTIES)
def test_a_penalty_is_its_formula(method: str) -> None:
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)).double()
    adapter = attached(model, method, r=R)
    randomise(adapter)
    values: dict[str, Any] = {f"{place}.{name}": value.detach().numpy() for place, name, value in adapter.factors()}
    layers = [(values[f"{place}.A"], values[f"{place}.B"]) for place in ("0", "1")]
    assert adapter.penalty().item() == pytest.approx(PENALTIES[method](layers), rel=1e-10)
