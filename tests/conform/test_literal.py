"""The literal formula against the mathematics, written out."""

from __future__ import annotations

from typing import Any

import torch
from torch.testing import assert_close

import specdsl
from specdsl.runtime.conform.axes import USUAL
from specdsl.runtime.conform.case import Attached, Case
from specdsl.runtime.conform.layer_types import LAYER_TYPES
from specdsl.runtime.conform.small_sizes import small


def case_of(spec: str) -> Case:
    found = small(specdsl.parse(spec), LAYER_TYPES[0], "wide")
    assert found is not None
    return Case(*found[:1], LAYER_TYPES[0], found[1], USUAL)


def values(made: Attached, layer: int) -> dict[str, Any]:
    scopes = made.scopes()[layer]
    leaves = made.leaves()
    return {name: leaves[name, scope] for name, scope in scopes.items()}


def test_an_output_is_that_of_the_written_formula() -> None:
    case = case_of("r = 2\nW' = W + A@B\nb' = b + d\nx' = x .* k")
    made = case.moved
    literal = made.literal(made.leaves()).output(case.x)[:, 0]
    for number, layer in enumerate(case.base().layers):
        v = values(made, number)
        expected = (case.x * v["k"]) @ (layer.weight.T + v["A"] @ v["B"]) + layer.bias + v["d"]
        assert_close(literal[number], expected)


def test_a_sequence_is_seen_alone() -> None:
    case = case_of("y' = y + mean(x@A, axis=tokens)@B")
    made = case.moved
    literal = made.literal(made.leaves()).output(case.x)[:, 0]
    v = values(made, 0)
    base = case.base().layers[0](case.x)
    assert_close(literal[0], base + (case.x @ v["A"]).mean(1, keepdim=True) @ v["B"])


def test_a_penalty_over_the_model_is_taken_once_and_others_are_summed() -> None:
    case = case_of("W + A@B | penalty norm(A) | penalty mean(layers(norm(B)))")
    made = case.moved
    found = list(made.literal(made.leaves()).penalties().values())
    v = [values(made, number) for number in range(2)]
    assert_close(found[0], v[0]["A"].norm() + v[1]["A"].norm())
    assert_close(found[1], (v[0]["B"].norm() + v[1]["B"].norm()) / 2)


def test_a_shared_factor_counts_once() -> None:
    case = case_of("shared A : max(layers(n)) x r ~ kaiming\nW' = W + A@B\npenalty norm(A)")
    made = case.moved
    (found,) = made.literal(made.leaves()).penalties().values()
    assert_close(found, values(made, 0)["A"].norm())
    assert torch.equal(values(made, 0)["A"], values(made, 1)["A"])
