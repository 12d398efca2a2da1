"""Every spec of the library against its formula, written out in numpy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from specdsl.library_specs import library_names
from tests.library import (
    formulas_activation,
    formulas_combination,
    formulas_extension,
    formulas_prompt,
    formulas_reconstruction,
)
from tests.library.literal import Literal, computed, module_values, weight

WEIGHTS: dict[str, Literal] = {
    **formulas_reconstruction.FORMULAS,
    **formulas_extension.FORMULAS,
    **formulas_combination.FORMULAS,
}
OUTPUTS: dict[str, Literal] = {
    **formulas_extension.OUTPUTS,
    **formulas_activation.FORMULAS,
    **formulas_prompt.FORMULAS,
}


def method_of(case: str) -> str:
    return case.split(",")[0]


def cases(formulas: dict[str, Literal]) -> list[Any]:
    return [
        pytest.param(method_of(case), literal, n, m, id=f"{case}, {n} x {m}")
        for case, literal in formulas.items()
        for n, m in literal.sizes
    ]


def test_every_spec_has_its_formula() -> None:
    assert sorted({method_of(case) for case in WEIGHTS | OUTPUTS}) == library_names()


@pytest.mark.parametrize(("method", "literal", "n", "m"), cases(WEIGHTS))
def test_the_weight_is_the_formula(method: str, literal: Literal, n: int, m: int) -> None:
    spec, random = literal.spec(method), np.random.default_rng(n)
    site = module_values(n, m, random)
    values = literal.values(spec, n, m, random)
    expected_W, expected_b = literal.weights(site["W"], site["b"], values)
    found_W, found_b = weight(literal, spec, site, values)
    assert abs(found_W - site["W"]).max() + abs(found_b - site["b"]).max() > 1e-3
    assert_allclose(found_W, expected_W, rtol=0, atol=1e-10)
    assert_allclose(found_b, expected_b, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("method", "literal", "n", "m"), cases(OUTPUTS))
def test_the_output_is_the_formula(method: str, literal: Literal, n: int, m: int) -> None:
    spec, random = literal.spec(method), np.random.default_rng(n)
    site = module_values(n, m, random)
    values = literal.values(spec, n, m, random)
    found = computed(literal, spec, site, values)
    assert set(found) == {"y"}
    expected = literal.formula(site["x"], site["W"], site["b"], **values)
    assert found["y"].shape != site["y"].shape or abs(found["y"] - site["y"]).max() > 1e-3
    assert_allclose(found["y"], expected, rtol=0, atol=1e-10)
