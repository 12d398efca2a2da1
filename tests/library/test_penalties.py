"""The penalties of the library's specs, written out in numpy, in a model of one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from specdsl.library_specs import library_names
from tests.library.literal import Array, Literal, evaluated, module_values, relu, sigmoid, svd
from tests.library.small_layers import checked
from tests.library.test_formulas import WEIGHTS

LOW_HIGH = 0.0
"""`log(-low/high)` of Diff Pruning, whose stretch is symmetric."""


def error(M: Array) -> Array:
    return M.T @ M - np.eye(M.shape[1])


def length(M: Array) -> float:
    return float(np.sqrt(np.sum(M**2)))


def of_adalora(W: Array, A: Array, B: Array) -> float:
    return 0.1 * (length(error(A)) + length(error(B.T))) / 2


def of_mpc_o(W: Array, A: Array, B: Array) -> float:
    return length(error(A)) ** 2 + length(error(B.T)) ** 2


def of_mpc_d(W: Array, A: Array, B: Array) -> float:
    gram = B @ B.T
    return length(error(A)) ** 2 + length(gram - np.diag(np.diag(gram))) ** 2


def of_salt(W: Array, a: Array, d: Array, X: Array, Y: Array) -> float:
    S = svd(W)[1][: len(a)]
    return length(a * S + d - S) + length(X @ Y)


def of_lambda_orthogonality(W: Array, B: Array) -> float:
    return float(relu(length(error(B)) - 0.1))


def of_diff_pruning(W: Array, a: Array) -> float:
    return float(1.25e-7 * np.sum(sigmoid(a - LOW_HIGH)))


def of_bayesian_lora(W: Array, l: Array) -> float:  # noqa: E741
    return float(0.1 * np.sum(sigmoid(l - np.log(0.1 / 1.1))))


def of_sora(W: Array, g: Array) -> float:
    return float(0.001 * np.sum(abs(g)))


def of_watermark_lora(W: Array, bits: Array) -> float:
    return float(3 * bits)


PENALTIES: dict[str, Callable[..., float]] = {
    "adalora": of_adalora,
    "increlora": of_adalora,
    "triadaptlora": of_adalora,
    "mpc_o": of_mpc_o,
    "mpc_d": of_mpc_d,
    "salt": of_salt,
    "lambda_orthogonality": of_lambda_orthogonality,
    "diff_pruning": of_diff_pruning,
    "bayesian_lora": of_bayesian_lora,
    "sora": of_sora,
    "watermark_lora": of_watermark_lora,
}
SETTINGS: dict[str, dict[str, Any]] = {"watermark_lora": {"weight": 3}}


def test_no_other_spec_has_a_penalty() -> None:
    assert {name for name in library_names() if checked(name).ir.penalties} == set(PENALTIES)


@pytest.mark.parametrize("method", PENALTIES)
def test_a_penalty_is_its_formula(method: str) -> None:
    literal = WEIGHTS[method]
    formula = Literal(PENALTIES[method], {**literal.settings, **SETTINGS.get(method, {})})
    n, m = literal.sizes[0]
    spec, random = formula.spec(method), np.random.default_rng(5)
    site = module_values(n, m, random)
    values = formula.values(spec, n, m, random)
    penalties = [penalty.value for penalty in spec.ir.penalties]
    found = sum(float(value) for value in evaluated(formula, spec, penalties, site, values))
    assert found == pytest.approx(formula.formula(site["W"], **values), rel=1e-10)
    assert found > 0 or method == "watermark_lora"


@pytest.mark.parametrize("method", ["adalora", "increlora", "triadaptlora", "watermark_lora"])
def test_a_mean_over_the_model_is_added_once(method: str) -> None:
    assert all(penalty.once for penalty in checked(method).ir.penalties)
