from __future__ import annotations

import math
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from specdsl.errors import SpecDataError
from specdsl.runtime.label_columns import (
    class_ids,
    classes_in,
    full_column,
    is_missing,
    label_kind,
    list_column,
    numbers,
    tag_ids,
)

DECLARED = ClassLabel(names=["n", "p"])


def column(values: list[Any], feature: Any = None) -> Dataset:
    features = Features({"label": feature}) if feature is not None else None
    return Dataset.from_dict({"label": values}, features=features)


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        (DECLARED, "class"),
        (Value("int8"), "whole"),
        (Value("uint64"), "whole"),
        (Value("bool"), "whole"),
        (Value("float32"), "fraction"),
        (Value("large_string"), "name"),
        (List(Value("string")), "list"),
        (Value("date32"), "other"),
        (Value("binary"), "other"),
        ({"a": Value("string")}, "other"),
    ],
)
def test_a_column_is_of_one_kind(feature: Any, kind: str) -> None:
    assert label_kind(feature) == kind


@pytest.mark.parametrize(
    ("value", "missing"),
    [(None, True), (math.nan, True), (" ", True), (0, False), (False, False), ("NA", False)],
)
def test_only_what_holds_nothing_is_missing(value: object, missing: bool) -> None:
    assert is_missing(value) == missing


def test_a_declared_class_of_minus_one_is_missing() -> None:
    with pytest.raises(SpecDataError, match="`label` has no value in row 2"):
        full_column(column([0, -1], DECLARED), "label")
    assert full_column(column([0, -1]), "label") == [0, -1]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([10, 2, -1], ("-1", "2", "10")),
        (["b", "a", "b"], ("a", "b")),
        ([True, False], ("False", "True")),
        ([2.0, 1.0], ("1", "2")),
    ],
)
def test_classes_stand_in_the_order_of_their_values(values: list[Any], classes: tuple[str, ...]) -> None:
    assert classes_in(column(values), "label") == classes
    assert class_ids(column(values), "label", classes) == [
        classes.index(str(int(v) if isinstance(v, float) else v)) for v in values
    ]


def test_tags_are_gathered_from_all_lists() -> None:
    rows = column([["O", "B"], ["I"]])
    assert classes_in(rows, "label", lists=True) == ("B", "I", "O")
    assert tag_ids(rows, "label", ("B", "I", "O")) == [[2, 0], [1]]


def test_lists_of_json_that_mix_names_and_numbers_are_refused() -> None:
    with pytest.raises(SpecDataError, match="`label` mixes names and numbers"):
        classes_in(column(['["O", 1]']), "label", lists=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([["a"], []], "`label` in row 2 has an empty entry"),
        ([["a", None]], "`label` in row 1 has an empty entry"),
        (['["a"]', "[a"], "`label` in row 2 is no JSON list"),
        (['["a"]', "[" * 5000], "`label` in row 2 is no JSON list"),
        (["a", None], "`label` has no value in row 2"),
    ],
)
def test_a_list_that_is_none_is_named(values: list[Any], message: str) -> None:
    with pytest.raises(SpecDataError, match=message):
        list_column(column(values), "label")


def test_a_number_beyond_the_classes_is_no_index() -> None:
    assert class_ids(column([1]), "label", ("n", "p")) == [1]
    for value in (2, -1):
        with pytest.raises(SpecDataError, match="does not occur in training"):
            class_ids(column([value]), "label", ("n", "p"))


def test_whole_numbers_serve_as_fractions_but_infinity_does_not() -> None:
    assert numbers(column([1, 2]), "label") == [1.0, 2.0]
    with pytest.raises(SpecDataError, match="`label` is infinite in row 1"):
        numbers(column([math.inf]), "label")
