"""Every method of the library against its formula, written out in numpy in float64."""

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
from specdsl.library_specs import library_names
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

R, ALPHA, STRENGTH = 3, 5, 0.75


def svd(W: Array) -> tuple[Array, Array, Array]:
    """`W = U diag(S) V`; in every column of U the entry of largest magnitude is positive."""
    U, S, V = np.linalg.svd(W, full_matrices=False)
    signs = np.sign([column[np.argmax(abs(column))] for column in U.T])
    return U * signs, S, V * signs[:, None]


# ------------------------------------------------------------------------------------ W' and b' from W, b


def lora(W: Array, b: Array, A: Array, B: Array) -> tuple[Array, Array]:
    return W + ALPHA / R * (A @ B), b


def rslora(W: Array, b: Array, A: Array, B: Array) -> tuple[Array, Array]:
    return W + ALPHA / np.sqrt(R) * (A @ B), b


def flora(W: Array, b: Array, A: Array, G: Array, B: Array) -> tuple[Array, Array]:
    return W + ALPHA / (R + 1e-5) * (A @ G @ B), b


def trilora(W: Array, b: Array, A: Array, d: Array, B: Array) -> tuple[Array, Array]:
    return W + A @ np.diag(d) @ B, b


def adalora(W: Array, b: Array, A: Array, e: Array, B: Array) -> tuple[Array, Array]:
    return W + ALPHA / (R + 1e-5) * (A @ np.diag(e) @ B), b


def vera(W: Array, b: Array, A: Array, d: Array, B: Array, e: Array) -> tuple[Array, Array]:
    return W + A @ np.diag(d) @ B @ np.diag(e), b


def ia3(W: Array, b: Array, l: Array) -> tuple[Array, Array]:  # noqa: E741
    return W * l, b * l


def ssl(W: Array, b: Array, l: Array) -> tuple[Array, Array]:  # noqa: E741
    return W * l[:, None], b


def ssb(W: Array, b: Array, k: Array, l: Array) -> tuple[Array, Array]:  # noqa: E741
    return W * np.outer(k, l), b


def bitfit(W: Array, b: Array, d: Array) -> tuple[Array, Array]:
    return W, b + d


def full(W: Array, b: Array, D: Array, d: Array) -> tuple[Array, Array]:
    return D, d


def sam_parser(W: Array, b: Array, s: Array) -> tuple[Array, Array]:
    U, _, V = svd(W)
    return U @ np.diag(s) @ V, b


def svdiff(W: Array, b: Array, d: Array) -> tuple[Array, Array]:
    U, S, V = svd(W)
    return U @ np.diag(np.maximum(S + STRENGTH * d, 0)) @ V, b


def pissa(W: Array, b: Array, A: Array, B: Array) -> tuple[Array, Array]:
    U, S, V = svd(W)
    return U[:, R:] @ np.diag(S[R:]) @ V[R:] + ALPHA / R * (A @ B), b


def spectral_adapter(W: Array, b: Array, A: Array, B: Array) -> tuple[Array, Array]:
    U, S, V = svd(W)
    U[:, :R] += A
    V[:R] += B
    return U @ np.diag(S) @ V, b


def dora(W: Array, b: Array, A: Array, B: Array, g: Array) -> tuple[Array, Array]:
    V = W + ALPHA / R * (A @ B)
    return g * V / np.sqrt(np.sum(V**2, axis=0)), b


def hydra(W: Array, b: Array, A: Array, B: Array, C: Array, D: Array) -> tuple[Array, Array]:
    s = ALPHA / R
    return W + s * (A @ B) + s * (W @ C @ D), b + s * (b @ C @ D)


# ---------------------------------------------------------------------------------------- y' from x, W, b


def parallel_adapter(x: Array, W: Array, b: Array, A: Array, B: Array) -> Array:
    y: Array = x @ W + b + np.maximum(x @ A, 0) @ B
    return y


def houlsby(x: Array, W: Array, b: Array, A: Array, a: Array, B: Array, c: Array) -> Array:
    y: Array = x @ W + b
    h = y @ A + a
    y = y + h / (1 + np.exp(-h)) @ B + c
    return y


def pfeiffer(x: Array, W: Array, b: Array, A: Array, a: Array, B: Array, c: Array) -> Array:
    y: Array = x @ W + b
    y = y + np.maximum(y @ A + a, 0) @ B + c
    return y


WEIGHTS: dict[str, tuple[Callable[..., tuple[Array, Array]], dict[str, Any]]] = {
    "lora": (lora, {"r": R, "alpha": ALPHA}),
    "rslora": (rslora, {"r": R, "alpha": ALPHA}),
    "flora": (flora, {"r": R, "alpha": ALPHA}),
    "trilora": (trilora, {"r": R}),
    "adalora": (adalora, {"r": R, "alpha": ALPHA}),
    "mpc_o": (lora, {"r": R, "alpha": ALPHA}),
    "mpc_d": (lora, {"r": R, "alpha": ALPHA}),
    "vera": (vera, {"r": R}),
    "ia3": (ia3, {}),
    "ssl": (ssl, {}),
    "ssb": (ssb, {}),
    "bitfit": (bitfit, {}),
    "full": (full, {}),
    "sam_parser": (sam_parser, {}),
    "svdiff": (svdiff, {"s": STRENGTH}),
    "pissa": (pissa, {"r": R, "alpha": ALPHA}),
    "spectral_adapter": (spectral_adapter, {"r": R}),
    "dora": (dora, {"r": R, "alpha": ALPHA}),
    "hydra": (hydra, {"r": R, "alpha": ALPHA}),
}
OUTPUTS: dict[str, tuple[Callable[..., Array], dict[str, Any]]] = {
    "mpc_n": (parallel_adapter, {"r": R}),
    "parallel_adapter": (parallel_adapter, {"r": R}),
    "houlsby": (houlsby, {"r": R}),
    "pfeiffer": (pfeiffer, {"r": R}),
}

NOT_DIAGONAL = set(WEIGHTS) - {"ia3", "ssl", "ssb", "bitfit"}
"""Methods whose W' is a full matrix, which a norm's weight cannot be."""
NEW_BIAS = {"bitfit", "full"}
"""Methods that make a bias where there was none, for which an embedding has no place."""


def supported(method: str, layer: str) -> bool:
    return layer != "LayerNorm" or method not in NOT_DIAGONAL


CASES = [(method, layer) for method in WEIGHTS | OUTPUTS for layer in LAYERS if supported(method, layer)]


def test_every_method_has_its_formula() -> None:
    assert sorted(WEIGHTS | OUTPUTS) == library_names()


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("method", WEIGHTS)
def test_weight_is_the_formula(method: str, has_bias: bool) -> None:
    formula, settings = WEIGHTS[method]
    model = small("tall" if has_bias else "wide without bias")
    W, b = weight_of(model[0]), bias_of(model[0])
    factors = randomise(attached(model, method, **settings))
    new_W, new_b = specdsl.weight(checked(method, **settings), W, b if has_bias else None, factors)
    expected_W, expected_b = formula(W, b, **factors)
    assert_allclose(new_W, expected_W, rtol=0, atol=1e-10)
    assert_allclose(0 if new_b is None else new_b, expected_b, rtol=0, atol=1e-10)


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
        output, settings = OUTPUTS[method]
        expected = output(rows, W, b, **randomise(attached(model, method, **settings)))
    else:
        formula, settings = WEIGHTS[method]
        new_W, new_b = formula(W, b, **randomise(attached(model, method, **settings)))
        expected = rows @ new_W + new_b
    assert_allclose(output_rows(model[0], model(x)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("method", "layer"), [case for case in CASES if case[0] in WEIGHTS])
@pytest.mark.filterwarnings("ignore:.* had no bias and has one now")
def test_a_merged_layer_holds_the_formula(method: str, layer: str) -> None:
    formula, settings = WEIGHTS[method]
    model = small(layer)
    W, b = weight_of(model[0]), bias_of(model[0])
    adapter = attached(model, method, **settings)
    new_W, new_b = formula(W, b, **randomise(adapter))
    if layer == "Embedding" and method in NEW_BIAS:
        with pytest.raises(SpecMergeError, match="is an embedding and has no bias"):
            adapter.merge()
        return
    adapter.merge_and_unload()
    assert_allclose(weight_of(model[0]), new_W, rtol=0, atol=1e-10)
    assert_allclose(bias_of(model[0]), new_b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", sorted(NOT_DIAGONAL))
def test_a_full_matrix_does_not_merge_into_a_norm(method: str) -> None:
    adapter = attached(small("LayerNorm"), method, **WEIGHTS[method][1])
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
        new_W, new_b = vera(W, b, A[:n], values[f"{place}.d"], B[:, :m], values[f"{place}.e"])
        expected = expected @ new_W + new_b
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


def test_the_other_methods_have_no_penalty() -> None:
    assert {name for name in library_names() if checked(name).ir.penalties} == set(PENALTIES)
