from __future__ import annotations

import pytest

import specdsl
from specdsl.drawing.sketch import sketches
from specdsl.drawing.tree_text import tree_lines
from specdsl.library_specs import library_names


def shown(text: str) -> list[str]:
    return tree_lines(sketches(specdsl.parse(text)))


def test_shapes_stand_on_the_edges() -> None:
    assert shown("W + alpha/r * A@B") == [
        "W′ = sum",
        "├─ n × m ─ W  frozen",
        "└─ n × m ─ α/r · product",
        "   ├─ n × r ─ A  trained",
        "   └─ r × m ─ B  trained",
    ]


def test_what_is_taken_away_has_a_minus() -> None:
    assert shown("W' = W - A@B")[2] == "└─ n × m ─ − product"


def test_a_value_that_is_only_numbers_times_one_is_that_one() -> None:
    assert shown("y' = 2*y - y + x@A@B | A ~ zeros")[1] == "├─ tokens × m ─ 2 · y"


def test_parts_stand_under_their_place() -> None:
    assert shown("ia3_original")[::4] == ["on attention.key, attention.value:", "on mlp.down:"]


@pytest.mark.parametrize("name", library_names())
def test_every_line_hangs_on_the_tree(name: str) -> None:
    for line in shown(name):
        indent = line[: len(line) - len(line.lstrip("│├└─ "))]
        assert line.endswith(":") or not indent or ("├─" in line or "└─" in line)
        assert line == line.rstrip()
