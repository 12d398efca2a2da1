"""`docs/parity.md` says what the suite compares: only the digits of the deviations may differ."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from tests.parity.beyond import ELSEWHERE, TRAINING
from tests.parity.dropout_methods import DROPOUT
from tests.parity.peft_methods import Method
from tests.parity.prompt_methods import PROMPTS, PromptMethod
from tests.parity.references import all_methods, tolerances
from tests.parity.table import (
    DROPOUT_HEAD,
    FULL,
    HEAD,
    HOW,
    ROWS,
    TRAINED,
    cells,
    dropout_cells,
    headline,
    prompt_cells,
    table,
)

PAGE = (Path(__file__).parents[2] / "docs" / "parity.md").read_text(encoding="utf-8")
FOUND = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PAGE.splitlines() if line.startswith("| `")]
TRAINING_ROWS = [[cell.strip() for cell in row] for row in FOUND if len(row) == len(DROPOUT_HEAD)]
COMPARED = [[cell.strip() for cell in row] for row in FOUND if len(row) == len(HEAD)]
SINGLE, DOUBLE = HEAD.index("float32"), HEAD.index("float64")


def deviation_of(text: str) -> dict[torch.dtype, float]:
    """The deviations of the row with dropout in training whose spec is `text`."""
    (row,) = [row for row in TRAINING_ROWS if row[1] == f"`{text}`".replace("|", r"\|")]
    places = {torch.float32: DROPOUT_HEAD.index("float32"), torch.float64: DROPOUT_HEAD.index("float64")}
    return {dtype: float(row[place]) for dtype, place in places.items()}


def pairs() -> list[tuple[Method | PromptMethod, list[str]]]:
    methods = [*(method for _, method in all_methods()), *PROMPTS]
    return list(zip(methods, COMPARED, strict=True))


def test_every_method_has_its_row() -> None:
    expected = [cells(reference, method, "", "") for reference, method in all_methods()]
    expected += [prompt_cells(method, "", "") for method in PROMPTS]
    found = [[*row[:SINGLE], "", "", *row[DOUBLE + 1 :]] for row in COMPARED]
    assert found == [[cell.strip() for cell in row] for row in expected]


def test_the_deviations_of_the_page_are_allowed() -> None:
    for method, row in pairs():
        allowed = dict(tolerances(method))
        assert float(row[SINGLE]) <= allowed[torch.float32]
        assert (
            row[DOUBLE] == "not run" if torch.float64 not in allowed else float(row[DOUBLE]) <= allowed[torch.float64]
        )


def test_every_method_with_dropout_has_its_row() -> None:
    expected = [dropout_cells(dropped, "", "") for dropped in DROPOUT]
    place = DROPOUT_HEAD.index("float32")
    found = [[*row[:place], "", "", *row[place + 2 :]] for row in TRAINING_ROWS]
    assert found == [[cell.replace("|", r"\|").strip() for cell in row] for row in expected]
    for dropped in DROPOUT:
        allowed = dict(tolerances(dropped.method))
        assert all(value <= allowed[dtype] for dtype, value in deviation_of(dropped.text).items())


def test_the_first_lines_state_the_worst_of_the_rows() -> None:
    in_training = [(dropped.method, deviation_of(dropped.text)) for dropped in DROPOUT]
    single = max(*(float(row[SINGLE]) for row in COMPARED), *(one[torch.float32] for _, one in in_training))
    double = max(
        *(float(row[DOUBLE]) for method, row in pairs() if method.double == FULL),
        *(one[torch.float64] for method, one in in_training if method.double == FULL),
    )
    assert PAGE.splitlines()[2] == headline(single, double)


def test_the_rest_of_the_page_is_current() -> None:
    assert ELSEWHERE in PAGE
    assert HOW in PAGE
    assert ROWS in PAGE
    assert TRAINED in PAGE
    assert "\n".join(table(("spec", "reference", "compared", "where they differ"), TRAINING)) in PAGE
