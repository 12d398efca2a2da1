"""`layers` counts blocks from 0 and says which there are."""

from __future__ import annotations

import pytest
from torch import nn

from specdsl.errors import SpecTargetError
from specdsl.runtime.items import Item, matches
from specdsl.runtime.layer_numbers import check_layers, ranges
from specdsl.runtime.roles import locate
from specdsl.source import Source, Span
from tests.runtime.tiny_models import bert


def errors(layers: list[int] | None, *items: Item) -> list[SpecTargetError]:
    rows = locate(bert())
    return check_layers(layers, rows, [(item, matches(item, bert(), rows)) for item in items])


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1], "0..1"), ([5, 2, 1, 0], "0..2, 5"), ([0, 2, 4, 4], "0, 2, 4")],
)
def test_numbers_are_written_as_in_a_spec(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_no_layers_are_no_error() -> None:
    assert errors(None, Item("embedding")) == []


def test_layers_of_the_model_are_no_error() -> None:
    assert errors([0, 1], Item("mlp")) == []


def test_a_layer_that_is_not_there_states_the_range() -> None:
    assert [str(error) for error in errors([1, 2, 3, 7], Item("mlp"))] == [
        "this model has no layer 2..3, 7\n  hint: its layers are 0..1"
    ]


def test_a_model_without_blocks_has_no_layers() -> None:
    rows = locate(nn.ModuleDict({"a": nn.Linear(2, 3)}))
    assert [str(error) for error in check_layers([0], rows, [])] == ["this model has no numbered layers"]


def test_an_item_outside_the_blocks_is_in_no_layer() -> None:
    assert [str(error) for error in errors([0], Item("mlp"), Item("embedding"))] == [
        "`embedding` names nothing in layers 0\n  hint: it is outside the numbered layers"
    ]


def test_an_item_of_another_layer_says_which() -> None:
    item = Item(r"re:.*\.1\..*", Span(Source("on x"), 3, 4))
    assert [str(error) for error in errors([0], item)] == [
        '<spec>:1:4: `".*\\.1\\..*"` names nothing in layers 0\n  on x\n     ^\n  hint: it is in layers 1'
    ]
