"""The table of support in the docs adds up; that its rows are current is a test of the library."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import specdsl
from specdsl.library_specs import library_names
from specdsl.runtime.conform.matrix import Cell, cells, notes_of, page, plain
from specdsl.runtime.conform.merging import merges_to_the_same_output
from specdsl.runtime.conform.report import SpecReport
from specdsl.runtime.conform.suite import choices, conform

PAGE = (Path(__file__).parents[2] / "docs" / "support.md").read_text(encoding="utf-8")
ROWS = {cells[0]: cells[1:] for cells in re.findall(r"^\| (\w+) " + r"\| ([^ |]*) " * 17 + r"\|$", PAGE, re.MULTILINE)}

OVER_ALL = "it is a stack of matrices, and `…` wants one value of each"


def quick(spec: str) -> SpecReport:
    return conform(specdsl.parse(spec), properties=(merges_to_the_same_output,))


def test_every_spec_has_a_row_and_every_layer_type_a_column() -> None:
    assert list(ROWS) == library_names()
    header = next(line for line in PAGE.splitlines() if line.startswith("| spec |"))
    layers = dict.fromkeys(layer.name for layer, _ in choices(full=False))
    assert header == f"| spec | {' | '.join(layers)} |"


def test_what_reads_only_the_weight_and_factors_is_refused_for_sizes_alone() -> None:
    reasons = {number: reason for reason, number in notes_of(PAGE).items()}
    for name, row in ROWS.items():
        spec = specdsl.parse(name)
        if spec.parts or set(spec.ir.targets) != {"W"} or spec.facts.needs or spec.ir.given or not spec.facts.mergeable:
            continue
        refused = {reasons[int(cell[1:])] for cell in row if cell[0] == "–"}
        assert refused <= {"no such layer meets its size conditions", OVER_ALL}, name


def test_the_totals_are_those_of_the_cells() -> None:
    marks = Counter(cell[0] for row in ROWS.values() for cell in row)
    assert f"{marks['✓']:,} cells train and merge (`✓`)" in PAGE
    assert f"{marks['○']:,} train and do not merge (`○`)" in PAGE
    assert f"{marks['–']:,} are refused (`–`)" in PAGE


def test_reasons_are_counted() -> None:
    used = Counter(int(cell[1:]) for row in ROWS.values() for cell in row if cell[1:])
    for reason, number in notes_of(PAGE).items():
        assert f"| {number} | {reason} | {used[number]:,} |" in PAGE
    assert set(used) == set(notes_of(PAGE).values())


def test_a_cell_merges_trains_or_is_refused_with_the_reason() -> None:
    found = cells(quick("y + relu(x@A + a)@B"))
    assert found["Linear"] == Cell("○", "the spec is not a weight and cannot be merged")
    assert found["experts"].mark == "–"
    assert found["experts"].reason.startswith("its owner reads the parameter itself")
    assert cells(quick("W + A@B"))["Linear"] == Cell("✓")


def test_of_a_spec_in_parts_the_weakest_part_counts() -> None:
    found = cells(quick("on attention: y' = y .* l | on mlp: b' = b + d"))
    assert (found["Linear"].mark, found["Embedding"].mark) == ("✓", "○")


def test_a_page_has_every_spec() -> None:
    text = page([quick("bitfit")])
    assert "| bitfit | ✓ |" in text
    assert notes_of(text) == {reason: number for number, reason in enumerate(notes_of(text), 1)}


def test_reasons_lose_names_and_numbers() -> None:
    assert plain("`layers.0` holds the weight of `a` and cannot take the same factors: it has `b`") == "it has `…`"
    assert plain("no small layer meets its size conditions: n = c*kh*kw") == "no such layer meets its size conditions"
