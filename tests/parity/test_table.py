"""`docs/parity.md` says what the suite compares: only the digits of the deviations may differ."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from tests.parity.beyond import ELSEWHERE, TRAINING
from tests.parity.peft_methods import Method
from tests.parity.references import all_methods, tolerances
from tests.parity.table import FULL, HEAD, HOW, cells, headline, table

PAGE = (Path(__file__).parents[2] / "docs" / "parity.md").read_text(encoding="utf-8")
ROWS = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PAGE.splitlines() if line.startswith("| `")]
LAYERS = [[cell.strip() for cell in row] for row in ROWS if len(row) == len(HEAD)]
SINGLE, DOUBLE = HEAD.index("float32"), HEAD.index("float64")


def pairs() -> list[tuple[Method, list[str]]]:
    return [(method, row) for (_, method), row in zip(all_methods(), LAYERS, strict=True)]


def test_every_method_has_its_row() -> None:
    expected = [cells(reference, method, "", "") for reference, method in all_methods()]
    found = [[*row[:SINGLE], "", "", *row[DOUBLE + 1 :]] for row in LAYERS]
    assert found == [[cell.strip() for cell in row] for row in expected]


def test_the_deviations_of_the_page_are_allowed() -> None:
    for method, row in pairs():
        allowed = dict(tolerances(method))
        assert float(row[SINGLE]) <= allowed[torch.float32]
        assert (
            row[DOUBLE] == "not run" if torch.float64 not in allowed else float(row[DOUBLE]) <= allowed[torch.float64]
        )


def test_the_first_lines_state_the_worst_of_the_rows() -> None:
    single = max(float(row[SINGLE]) for row in LAYERS)
    double = max(float(row[DOUBLE]) for method, row in pairs() if method.double == FULL)
    count = sum(len(method.configurations) for _, method in all_methods())
    assert PAGE.splitlines()[2] == headline(single, double, len(LAYERS), count)


def test_the_rest_of_the_page_is_current() -> None:
    assert ELSEWHERE in PAGE
    assert HOW in PAGE
    assert "\n".join(table(("spec", "reference", "compared", "where they differ"), TRAINING)) in PAGE
