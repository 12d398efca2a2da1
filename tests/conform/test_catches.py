"""Something made wrong on purpose is caught by the property that is about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import specdsl
from specdsl.facts import facts_of
from specdsl.lowering import layer_adapter
from specdsl.lowering.layer_adapter import LayerAdapter, Orthonormal
from specdsl.lowering.module_adapters import Merged, ModuleAdapters
from specdsl.operators.registry import remove_operator
from specdsl.runtime import mergeable, penalty_ledger
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.conform.axes import Axes
from specdsl.runtime.conform.layer_types import LAYER_TYPES
from specdsl.runtime.conform.report import CaseReport
from specdsl.runtime.conform.suite import conform_in
from specdsl.sizes import Size

LINEAR = LAYER_TYPES[0]


def report_of(spec: str) -> CaseReport:
    return conform_in(specdsl.parse(spec), LINEAR)


def failures(spec: str) -> set[str]:
    return set(report_of(spec).failures)


@pytest.fixture
def crooked() -> Iterator[None]:
    """An operator whose gradient in torch is not its derivative."""

    @specdsl.operator("crooked", "n m -> n m", facts=["keeps_zero"])
    def crooked(xp: Any, M: Any) -> Any:
        "The entries and their squares."
        return M + xp.stop(M) * M

    yield
    remove_operator("crooked")


def test_what_is_right_passes() -> None:
    assert failures("W + A@B | orth(A)") == set()


@pytest.mark.usefixtures("crooked")
def test_a_gradient_that_is_no_derivative_is_caught_by_differences() -> None:
    found = report_of("W + crooked(A@B)").failures
    assert {name: outcome.reason for name, outcome in found.items()} == {
        "agrees with differences": "the gradient of `A` is not the slope of the outputs"
    }


def test_a_wrong_output_is_caught_by_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LayerAdapter.output
    monkeypatch.setattr(LayerAdapter, "output", lambda *arguments: right(*arguments) * 1.0001)
    assert {"starts at the base", "computes the formula", "has the formulas gradients"} <= failures("W + A@B")


def test_a_wrong_merge_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ModuleAdapters.merged_tensors

    def merged_tensors(*arguments: Any) -> tuple[Tensor, Tensor | None]:
        weight, bias = right(*arguments)
        return weight * 1.0001, bias

    monkeypatch.setattr(ModuleAdapters, "merged_tensors", merged_tensors)
    found = failures("W + A@B")
    assert {"merges to the same output", "merges to the reference", "unloads as a plain model"} <= found
    assert "computes the formula" not in found


def test_a_base_that_is_computed_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ModuleAdapters.put

    def put(state: ModuleAdapters, merged: Merged) -> None:
        kept = state.kept_weight
        right(state, merged)
        if kept is not None and not merged.names:  # off by as little as a sum and a difference would be
            state.site[0].weight.data = kept * (1 + 3e-16)

    monkeypatch.setattr(ModuleAdapters, "put", put)
    assert {"unmerging restores the base", "detaching restores the base"} <= failures("W + A@B")


def test_a_merge_of_what_is_not_finite_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mergeable, "is_finite", lambda tensor: True)
    monkeypatch.setattr(Merged, "is_finite", True)
    assert failures("W + A@B") == {"refuses to merge what is not finite"}


def test_a_base_that_is_trained_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdsl.runtime.adapter.freeze", lambda *arguments: None)
    assert "moves the factors and nothing else" in failures("W + A@B")


def test_a_constraint_that_is_not_kept_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Orthonormal, "forward", lambda module, free: free)
    assert "keeps its constraints" in failures("A : n x r ~ orthogonal, orthonormal\nW' = W + A@B")


def test_a_penalty_that_is_added_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = penalty_ledger.penalty_sum
    monkeypatch.setattr(penalty_ledger, "penalty_sum", lambda values: 2 * right(values))
    assert failures("W + A@B | orth(A)") == {"penalties enter a step once"}


def test_a_wrong_penalty_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LayerAdapter.penalty
    monkeypatch.setattr(LayerAdapter, "penalty", lambda *arguments: right(*arguments) / 2)
    assert failures("W + A@B | orth(A)") == {"penalises by the formula", "penalties enter a step once"}


def test_sequences_that_meet_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LayerAdapter.output

    def output(*arguments: Any) -> Tensor:
        y = right(*arguments)
        return y * (1 + 1e-3 * y.mean())

    monkeypatch.setattr(LayerAdapter, "output", output)
    assert {"sequences do not meet", "tokens meet only if said"} <= failures("W + A@B")


def test_noise_in_evaluation_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_adapter, "at_rest", layer_adapter.drawn)
    assert "noise is drawn in training only" in failures("noise u : tokens x r ~ normal(1)\ny' = y + (x@A + u)@B")


def test_a_factor_that_is_not_saved_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdsl.runtime.load._fill", lambda adapter, tensors: None)
    assert failures("W + A@B") == {"comes back as it was saved"}


def test_a_disabled_adapter_that_still_runs_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adapter, "disabled", lambda adapter: nullcontext())
    assert {"disabling restores the base", "each of two can be switched off"} <= failures("W + A@B")


def test_a_tensor_on_another_device_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LayerAdapter.output

    def output(*arguments: Any) -> Tensor:
        torch.zeros(3, device="cpu")
        return right(*arguments)

    monkeypatch.setattr(LayerAdapter, "output", output)
    assert failures("W + A@B") == {"stays on its device"}


@pytest.mark.parametrize(
    ("fact", "value", "caught"),
    [
        ("rank_bound", Size.symbol("r") - 1, "changes the weight by its rank"),
        ("trained", Size.symbol("r"), "trains as many parameters as it says"),
        ("starts_at_base", False, "starts at the base"),
        ("exactly_lora", True, "is a lora if it says so"),
        ("creates_bias", True, "makes a bias if it says so"),
    ],
)
def test_a_fact_that_is_not_true_is_caught(
    fact: str, value: Any, caught: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("specdsl.spec.facts_of", lambda ir: replace(facts_of(ir), **{fact: value}))
    report = conform_in(specdsl.parse(f"W + A@B + C@D | note: {fact}"), LINEAR, Axes(has_bias=False))
    assert set(report.failures) == {caught}
