from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from specdsl.cli.set_option import Settings
from specdsl.errors import SpecLimitError, SpecSettingError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16", 16),
        (" 16 ", 16),
        ("-2", -2),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("2.", 2),
        ("1e-4", Fraction(1, 10_000)),
        ("3/4", Fraction(3, 4)),
        ("1_000", 1000),
        ("big", "big"),
        ("inf", "inf"),
    ],
)
def test_a_number_is_exact(text: str, value: Any) -> None:
    assert Settings.of([f"r={text}"]).numbers == {"r": value}


def test_a_list_is_the_value_of_an_index() -> None:
    assert Settings.of(["I=[3, 17]", "r=2"]) == Settings({"r": 2}, {"I": [3, 17]})


@pytest.mark.parametrize("text", ["r", "=3", "r=", "2=3", "I=[", "I=[]", "I=[1,]", "I=[-1]", "I=[1.5]"])
def test_what_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(SpecSettingError):
        Settings.of([text])


@pytest.mark.parametrize("text", ["r=1e41", "r=1e-41", "r=" + "1" * 41])
def test_numbers_have_bounds(text: str) -> None:
    with pytest.raises(SpecLimitError):
        Settings.of([text])
