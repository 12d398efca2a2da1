from __future__ import annotations

import pytest

import specdsl
from specdsl.runtime.conform.layer_types import LAYER_TYPES
from specdsl.runtime.conform.small_sizes import small

LAYERS = {layer.name: layer for layer in LAYER_TYPES}


@pytest.mark.parametrize(("order", "sizes"), [("wide", (5, 7)), ("tall", (7, 5)), ("square", (5, 5))])
def test_layers_are_of_small_odd_sizes(order: str, sizes: tuple[int, int]) -> None:
    found = small(specdsl.parse("W + A@B"), LAYERS["Linear"], order)
    assert found is not None
    assert (found[1]["n"], found[1]["m"]) == sizes
    assert found[0].hyperparameters["r"] == 3


def test_sizes_meet_the_conditions_of_the_spec() -> None:
    text = "k = 64\nq : n/k x k*(k - 1)/2 ~ zeros\nW' = blockdiag(cayley(skew_from(q))) @ W"
    found = small(specdsl.parse(text), LAYERS["Linear"], "wide")
    assert found is not None
    spec, sizes = found
    assert sizes["n"] % spec.hyperparameters["k"] == 0
    assert spec.hyperparameters["k"] < 5


def test_what_is_set_from_outside_stays() -> None:
    found = small(specdsl.parse("W + A@B", r=9), LAYERS["Linear"], "wide")
    assert found is not None
    assert found[0].hyperparameters["r"] == 9


def test_a_kernel_that_the_spec_reads_is_found_on_convolutions_alone() -> None:
    spec = specdsl.parse("flora_conv")
    found = small(spec, LAYERS["Conv2d"], "wide")
    assert found is not None
    assert found[1]["n"] == found[1]["c"] * found[1]["kh"] * found[1]["kw"]
    assert small(spec, LAYERS["Linear"], "wide") is None
