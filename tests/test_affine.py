"""An output that is affine in the input is a weight and a bias, equal in value; any other says why it is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import specdsl
from specdsl.affine import NotAffine, adapted_weight
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.interpret import Sizes, evaluate
from specdsl.ir import Factor, Node, Site

N, M, TOKENS = 7, 5, 4

OUTPUTS = [
    "y + x@A@B | r = 2",
    "y' = y + x@A@B + y@C@D | r = 2",
    "y .* l",
    "y' = y .* l + d",
    "y' = 2*y - y@C@D | r = 2 | starts: elsewhere",
    "y' = y + (x .* k)@A@B | r = 2",
    "y' = y + alpha/r * dropout(x, 0.1)@A@B | r = 2",
    "y' = y ./ l",
    "y' = y + [x@A, x@C]@B | A, C : n x r | r = 2",
    "y' = (y + d) .* l",
    "y' = y + (x@A + e)@B | r = 2",
    "y' = y + x[:, :3]@A | A : 3 x m",
    "y' = y + (x@A)[:, :2]@B | A : n x 3 | B : 2 x m",
    "y' = y@(C@D + eye) | r = 2",
    "x' = x .* k",
    "x' = x + x@A@B | r = 2",
    "x' = x .* k + e",
    "x' = x@Q\nW' = W + A@B\nb' = b + d\nr = 2",
    "x' = (x + e)@Q",
]


def values(ir: Any, rng: np.random.Generator) -> tuple[dict[str, Any], Sizes]:
    sizes = Sizes({**ir.hyper_values(), "n": N, "m": M, "tokens": TOKENS, "layer": 0, "layers": 1})
    found = {name: rng.normal(size=sizes.shape(factor.shape)) for name, factor in ir.factors.items()}
    W, b, x = rng.normal(size=(N, M)), rng.normal(size=M), rng.normal(size=(TOKENS, N))
    return {**found, "W": W, "b": b, "x": x, "y": x @ W + b}, sizes


def computed(node: Node, known: dict[str, Any], sizes: Sizes) -> Any:
    def leaf(part: Node) -> Any:
        assert isinstance(part, Site | Factor)
        return known[part.name]

    return evaluate([node], NUMPY, sizes, leaf)[node]


@pytest.mark.parametrize("spec", OUTPUTS)
def test_the_weight_computes_what_the_equations_say(spec: str) -> None:
    ir = specdsl.parse(spec).ir
    known, sizes = values(ir, np.random.default_rng(0))
    found = {name: computed(node, known, sizes) for name, node in adapted_weight(ir).items()}
    weight, bias = found.get("W", known["W"]), found.get("b", known["b"])
    if "y" in ir.targets:
        wanted = computed(ir.targets["y"], known, sizes)
    else:
        inner = computed(ir.targets["x"], known, sizes)
        own = {name: computed(ir.targets[name], known, sizes) for name in ("W", "b") if name in ir.targets}
        wanted = inner @ own.get("W", known["W"]) + own.get("b", known["b"])
    np.testing.assert_allclose(known["x"] @ weight + bias, wanted, rtol=1e-12, atol=1e-12)


REASONS = {
    "y + relu(x@A)@B | r = 2": "`relu(x@A)` is not linear in the input",
    "y + (x@A .* (x@C))@B | r = 2": "`(x@A) .* (x@C)` multiplies the input by itself",
    "y' = y + softmax(y)@B | B : m x m ~ zeros": "`softmax(y)` is not linear in the input",
    "x' = x + tanh(x@A)@B | r = 2": "`tanh(x@A)` is not linear in the input",
    "y' = y + (x@A@B) ./ (1 + y@C@D) | r = 2": "`(x@A@B) ./ (1 + y@C@D)` multiplies the input by itself",
}


@pytest.mark.parametrize("spec", REASONS)
def test_what_is_not_affine_says_which_part(spec: str) -> None:
    parsed = specdsl.parse(spec)
    with pytest.raises(NotAffine) as caught:
        adapted_weight(parsed.ir)
    assert str(caught.value) == REASONS[spec]
    assert not parsed.facts.mergeable
    assert parsed.facts.why_not == REASONS[spec]


def test_what_stays_is_not_mentioned() -> None:
    assert list(adapted_weight(specdsl.parse("W + A@B").ir)) == ["W"]
    assert list(adapted_weight(specdsl.parse("b + d").ir)) == ["b"]
    assert list(adapted_weight(specdsl.parse("x' = x .* k").ir)) == ["W"]
    assert list(adapted_weight(specdsl.parse("y' = y + d").ir)) == ["b"]


def test_a_noise_of_mean_zero_takes_what_it_multiplies_with_it() -> None:
    noisy = specdsl.parse("r = 2 | noise u : tokens x r ~ normal(1) | y' = y + (x@A + u .* exp(x@C))@B")
    assert adapted_weight(noisy.ir) == adapted_weight(specdsl.parse("r = 2 | y' = y + x@A@B").ir)
