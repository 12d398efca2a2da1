from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from specdsl.cli import conform as module
from specdsl.lowering.layer_adapter import LayerAdapter
from specdsl.operators import operator_names, remove_operator
from specdsl.runtime.conform import suite
from specdsl.runtime.conform.axes import USUAL
from specdsl.runtime.conform.layer_types import LAYER_TYPES
from specdsl.runtime.conform.suite import PROPERTIES
from tests.cli.conftest import Run


@pytest.fixture
def linear_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite in linear layers and float64 alone."""
    monkeypatch.setattr(suite, "LAYER_TYPES", LAYER_TYPES[:1])
    monkeypatch.setattr(suite, "usual_axes", lambda place: [USUAL])


@pytest.mark.usefixtures("linear_alone")
def test_a_table_has_a_row_for_every_property_and_a_column_for_the_layer(run: Run) -> None:
    result = run("conform", "W .* l")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "W .* l"
    rows = [line for line in lines if "✓" in line or "·" in line]
    assert [name for name in (one.name for one in PROPERTIES) if not any(name in row for row in rows)] == []
    assert "  · keeps its constraints: the spec has no constraint" in lines
    assert lines[-1].startswith("1 spec in 1 layer: ")


@pytest.mark.usefixtures("linear_alone")
def test_a_failure_is_shown_with_its_number_and_tolerance(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    right = LayerAdapter.output
    monkeypatch.setattr(LayerAdapter, "output", lambda *arguments: right(*arguments) + 0.5)
    result = run("conform", "W + A@B")
    assert result.exit_code == 1
    assert "✗ starts at the base, Linear 5 x 7: the output is not that of the base: " in result.stdout
    assert "> 1e-09" in result.stdout


@pytest.mark.usefixtures("linear_alone")
def test_a_refusal_has_its_reason_and_is_counted(run: Run) -> None:
    result = run("conform", "corda")
    assert result.exit_code == 0
    assert "refused by Linear 5 x 7: `cov(x, samples=256)` cannot be measured yet" in result.stdout
    assert "refused: 1 layer, 1 spec everywhere" in result.stdout


@pytest.mark.usefixtures("linear_alone")
def test_what_events_do_is_left_out_and_said(run: Run) -> None:
    result = run("conform", "frozen g : 1 ~ 1 | W' = W + g*(A@B) | at step: g = 0.5")
    assert result.exit_code == 0, result.output
    assert "without `at step: g = 0.5`" in result.stdout


@pytest.mark.usefixtures("linear_alone")
def test_json_has_every_case_and_property(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.spec").write_text("title: Mine\n\nW + A@B\n")
    result = run("conform", "mine.spec", "b + d", "--json")
    assert result.exit_code == 0
    mine, _ = json.loads(result.stdout)
    assert (mine["spec"], mine["failed"], mine["counts"]["refused cases"]) == ("Mine", False, 0)
    (case,) = mine["cases"]
    assert (case["layer"], case["sizes"]["n"], case["settings"]["r"], case["dtype"]) == ("Linear", 5, 3.0, "float64")
    assert list(case["properties"]) == [one.name for one in PROPERTIES]
    assert case["properties"]["computes the formula"]["measured"] <= 1e-9


@pytest.mark.usefixtures("linear_alone")
def test_full_tries_the_other_axes_and_a_table_has_a_row_for_each(run: Run) -> None:
    result = run("conform", "W + A@B", "--full")
    assert result.exit_code == 0, result.output
    assert {"float32,", "float16,", "bfloat16,"} & set(result.stdout.split())
    assert "1 spec in 4 layers" in result.stdout


@pytest.mark.usefixtures("linear_alone")
def test_a_matrix_says_where_a_spec_merges(run: Run) -> None:
    result = run("conform", "W + A@B", "y + relu(x@A)@B", "--matrix")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[4:8] == [
        "| spec | Linear |", "| --- | :-: |", "| W + A@B | ✓ |", "| y + relu(x@A)@B | ○1 |",
    ]  # fmt: skip


@pytest.mark.usefixtures("linear_alone")
def test_a_page_has_totals_properties_and_specs(run: Run) -> None:
    result = run("conform", "W + A@B", "--page")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[4].startswith("1 spec in 1 case: ")
    assert "**0 failed**" in lines[4]
    assert [line for line in lines if line.startswith("| computes the formula | 1 | 0 | 0 | ")]
    assert [line for line in lines if line.startswith("| W + A@B | 1 | 0 | ")]


def test_one_way_to_print_is_named(run: Run) -> None:
    result = run("conform", "lora", "--json", "--page")
    assert result.exit_code == 2
    assert "name one" in result.output


@pytest.fixture
def operators_stay() -> Iterator[None]:
    before = operator_names()
    yield
    for name in set(operator_names()) - set(before):
        remove_operator(name)


@pytest.mark.usefixtures("linear_alone", "operators_stay")
def test_settings_and_operators_reach_the_spec(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import specdsl\n"
        '@specdsl.operator("turned", "n m -> n m", facts=["linear", "keeps_zero"], replace=True)\n'
        "def turned(xp, M):\n    return -M\n"
    )
    result = run("conform", "W + turned(A@B)", "--import", "own.py", "--set", "r=2", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["cases"][0]["settings"]["r"] == 2.0


@pytest.mark.usefixtures("linear_alone")
def test_a_clause_limited_to_some_modules_is_tried_part_by_part(run: Run) -> None:
    result = run("conform", "ia3_original")
    assert result.exit_code == 0, result.output
    assert "attention.key, attention.value" in result.stdout
    assert "mlp.down" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no spec is named"),
        (("no_such_method",), "the library has no method `no_such_method`"),
        (("W + A@B", "W + alhpa*A@B"), "`alhpa` is not declared"),
        (("lora", "--set", "I=[1]"), "`I`: places of an index are chosen to fit the small layers"),
    ],
)
def test_what_cannot_be_read_is_an_error_before_anything_is_tried(
    arguments: tuple[str, ...], message: str, run: Run
) -> None:  # fmt: skip
    result = run("conform", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.usefixtures("linear_alone")
def test_all_is_the_whole_library(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "library_names", lambda: ["bitfit", "ia3"])
    result = run("conform", "--all")
    assert (result.exit_code, result.stdout.splitlines()[-1].partition(":")[0]) == (0, "2 specs in 2 layers")
