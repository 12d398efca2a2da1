"""Layers may be given as a number, a range, a list, or as a spec writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from specdsl.errors import SpecSettingError
from specdsl.layer_ranges import layer_numbers


@pytest.mark.parametrize(
    ("layers", "numbers"),
    [
        (2, [2]),
        (np.int64(2), [2]),
        (range(1, 4), [1, 2, 3]),
        ([3, 0], [3, 0]),
        ({5}, [5]),
        (np.arange(3), [0, 1, 2]),
        ("4", [4]),
        ("0..2, 7,9..9", [0, 1, 2, 7, 9]),
        (["0..1", 5], [0, 1, 5]),
    ],
)
def test_layers_have_many_forms(layers: Any, numbers: list[int]) -> None:
    assert layer_numbers(layers) == numbers


@pytest.mark.parametrize("text", ["", "a", "1..", "-1", "1.5", "0..99999999999"])
def test_a_text_that_names_no_layer_is_refused(text: str) -> None:
    with pytest.raises(SpecSettingError) as caught:
        layer_numbers(text)
    assert caught.value.message == f"`{text}` is no layer's number"
    assert caught.value.hint == "layers are written `0..5, 11`"


@pytest.mark.parametrize(
    ("layers", "shown"), [(1.5, "1.5"), ([0, 1.0], "1.0"), (True, "True"), ([None], "None"), ([[0]], "[0]")]
)
def test_a_value_that_is_no_layer_is_refused(layers: Any, shown: str) -> None:
    with pytest.raises(SpecSettingError) as caught:
        layer_numbers(layers)
    assert caught.value.message == f"`{shown}` is no layer's number"


@pytest.mark.parametrize("layers", [[], range(0), ()])
def test_no_layer_at_all_is_refused(layers: Any) -> None:
    with pytest.raises(SpecSettingError, match=r"^`layers` names no layer"):
        layer_numbers(layers)


def test_layers_do_not_run_backwards() -> None:
    with pytest.raises(SpecSettingError, match=r"^the layers 2\.\.1 run backwards$"):
        layer_numbers("2..1")
