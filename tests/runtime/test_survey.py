"""What a spec would do to a model: modules, sizes, plans and counts, on the meta device too, changing nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import specdsl
from specdsl.errors import SpecErrors, SpecNotBuiltError, SpecSettingError, SpecTargetError
from specdsl.runtime.report import AdapterReport, report_of
from specdsl.runtime.survey import Survey, survey
from tests.runtime.tiny_models import bert, gpt2, t5

LORA = "W + A@B | r = 2"


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False))


def surveyed(model: nn.Module, spec: str, **options: Any) -> Survey:
    return survey(model, specdsl.parse(spec), **options)


def report(model: nn.Module, spec: str, **options: Any) -> AdapterReport:
    return report_of(surveyed(model, spec, **options))


# --------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("model", "spec", "wanted"),
    [
        (bert, LORA, 2 * 2 * (4 * 64 + 2 * 96)),
        (bert, "W + A@G@B | r = 2", 2 * (2 * (4 * 64 + 2 * 96) + 6 * 4)),
        (bert, "b + d", 2 * (4 * 32 + 64 + 32)),
        (bert, "y .* l", 2 * (4 * 32 + 64 + 32)),
        (gpt2, LORA, 2 * 2 * (128 + 64 + 160 + 160)),
        (t5, LORA, 2 * 2 * (4 * 64 + 2 * 96) + 2 * 2 * (8 * 64 + 2 * 96)),
    ],
)
def test_counts_are_those_of_the_formula_on_meta_weights(model: Any, spec: str, wanted: int) -> None:
    found = surveyed(model(), spec)
    assert next(model().parameters()).is_meta
    assert found.trainable_parameters == wanted
    assert found.base_parameters == sum(parameter.numel() for parameter in model().parameters())


def test_a_shared_factor_counts_in_its_first_module() -> None:
    found = surveyed(bert(), "shared(n, m) A : n x r ~ normal(1)\nr = 2\nW' = W + A@B")
    square, up, down = 2 * 32 + 2 * 32, 2 * 32 + 2 * 64, 2 * 64 + 2 * 32
    counts = [module.trainable for module in found.modules]
    assert counts[:6] == [square, 64, 64, 64, up, down]
    assert counts[6:] == [64, 64, 64, 64, 128, 64]


def test_heads_count_apart() -> None:
    found = surveyed(mlp(), LORA, on="re:0", train="re:2")
    assert (found.trainable_parameters, found.head_parameters) == (22, 20)


def test_a_second_adapter_counts_the_base_alone() -> None:
    model = mlp()
    before = surveyed(model, LORA).base_parameters
    specdsl.attach(model, LORA)
    assert surveyed(model, LORA).base_parameters == before


def test_nothing_changes() -> None:
    model = mlp()
    before = [(type(module), module.training, sorted(vars(module))) for module in model.modules()]
    surveyed(model, "W + A@B | orth(A)", train=None)
    assert before == [(type(module), module.training, sorted(vars(module))) for module in model.modules()]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_equal_modules_share_one_plan() -> None:
    found = surveyed(bert(), LORA)
    assert len({id(module.lowered) for module in found.modules}) == 3  # square, up, down


def test_modules_with_a_plan_of_their_layer_do_not() -> None:
    found = surveyed(bert(), "W' = W + (A@B if layer < 6 else 2*A@B)\nr = 2")
    orders = [module.lowered.plan.order for module in found.modules]
    assert len({id(module.lowered) for module in found.modules}) == 12
    assert [("2 * " in order) for order in orders] == [False] * 6 + [True] * 6


def test_a_large_model_needs_no_weights() -> None:
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(8192, 28672, bias=False) for _ in range(3)))
    found = surveyed(model, "U, S, V = svd(W)\nW' = U@diag(S + d)@V")
    assert found.trainable_parameters == 3 * 8192


# ------------------------------------------------------------------------------------------- reports


def test_repeated_blocks_are_one_row() -> None:
    found = report(bert(), "W + A@G@B | orth(A) | r = 2", on=["attention.query", "mlp"])
    rows = [(row.pattern, row.count, row.trainable) for row in found.folded()]
    assert rows == [
        ("encoder.layer.{0..1}.attention.self.query", 2, 2 * 132),
        ("encoder.layer.{0..1}.intermediate.dense", 2, 2 * 196),
        ("encoder.layer.{0..1}.output.dense", 2, 2 * 196),
    ]
    assert found.penalties == (("orth(A)", 6),)


def test_a_report_is_data_too() -> None:
    found = report(mlp(), "W + A@B | r = 2 | orth(A)", on="re:0", train="re:2").as_dict()
    assert found["trainable_parameters"] == 22
    assert found["head_parameters"] == 20
    assert found["penalties"] == [{"text": "orth(A)", "modules": 1}]
    (row,) = found["modules"]
    assert (row["name"], row["n"], row["m"], row["trainable"]) == ("0", 6, 5, 22)
    assert found["facts"]["mergeable"] is True
    assert {entry["name"] for entry in found["not_adapted"]} == {"2"}


def test_the_last_line_has_the_totals() -> None:
    text = str(report(mlp(), LORA, on="re:0", train="re:2"))
    assert text.splitlines()[-1] == "22 trainable parameters, 40.0 % of 55, and 20 in modules trained whole"


# ------------------------------------------------------------------------------------------ refusals


def test_a_size_condition_names_the_module_and_its_sizes() -> None:
    with pytest.raises(SpecTargetError) as caught:
        surveyed(mlp(), "A : n/3 x 2\nW' = W + tile(A, n, m)")
    assert caught.value.message == "`2` does not meet the size condition n/3 is a whole number (n = 5)"
    assert caught.value.hint == "leave such modules out with `except`, or change a hyper-parameter"
    assert caught.value.line == 1


def test_several_size_conditions_are_reported_together() -> None:
    with pytest.raises(SpecErrors) as caught:
        surveyed(mlp(), "A : n/3 x 2\nB : 3 x m/5\nW' = W + tile(A, n, m) + tile(B, n, m)")
    assert [error.message for error in caught.value.errors] == [
        "`2` does not meet the size condition n/3 is a whole number (n = 5)",
        "`2` does not meet the size condition m/5 is a whole number (m = 4)",
    ]


def test_a_square_method_needs_square_modules() -> None:
    with pytest.raises(SpecTargetError, match=r"`0` does not meet the size condition m = n \(m = 5, n = 6\)"):
        surveyed(mlp(), "W' = W + sym(D)")


def test_a_factor_has_at_most_2_to_the_31_entries() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(70_000, 70_000, bias=False))
    with pytest.raises(SpecTargetError, match=r"`D` would have 4.9e\+09 entries in `0`"):
        surveyed(model, "W + D", on="re:0")


def test_a_shared_factor_has_one_shape() -> None:
    with pytest.raises(SpecTargetError, match="the shared factor `A` would be 6 x 2 and, for `2`, 5 x 2"):
        surveyed(mlp(), "shared(role) A : n x r ~ normal(1)\nr = 2\nW' = W + A@B", on="re:.*")


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ({}, "the index `I` has no value"),
        ({"J": [1]}, "the spec has no index `J`"),
    ],
)
def test_indices_are_named_and_given(indices: dict[str, Any], message: str) -> None:
    spec = "index I : r\nr = 2\nfrozen P ~ W[I, :]\nW' = W + A@P"
    with pytest.raises(SpecSettingError) as caught:
        surveyed(mlp(), spec, indices=indices)
    assert caught.value.message == message


def test_the_length_of_an_index_sets_its_size() -> None:
    found = surveyed(mlp(), "index I : r\nfrozen P ~ W[I, :]\nW' = W + A@P", indices={"I": [0, 3, 4]})
    assert found.trainable_parameters == 3 * 6 + 3 * 5


def test_a_module_adapted_and_trained_whole_is_refused() -> None:
    with pytest.raises(SpecTargetError, match="`0` would be adapted and trained whole"):
        surveyed(mlp(), LORA, train="re:0")


def test_a_list_of_a_trained_factor_is_not_built_outside_of_penalties() -> None:
    surveyed(mlp(), "W + A@B | r = 2 | penalty mean(layers(norm(A)))")
    surveyed(mlp(), "frozen g : 1 ~ norm(W)/max(layers(norm(W)))\nr = 2\nW' = W + g*(A@B)")
    with pytest.raises(SpecNotBuiltError, match=r"W' reads `layers\(norm\(A\)\)`"):
        surveyed(mlp(), "W + mean(layers(norm(A))) * A@B | r = 2")
