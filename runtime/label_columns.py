"""Columns of labels: what they hold, which classes are in them, and the number that each row trains on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from datasets import ClassLabel, Dataset, LargeList, List, Value

from specdsl.errors import SpecDataError

LabelKind = Literal["class", "whole", "fraction", "name", "list", "other"]


REPAIR = "remove such rows first"


def label_kind(feature: Any) -> LabelKind:
    """What a column holds: declared classes, whole numbers, fractions, names (or text), lists, or else."""
    if isinstance(feature, ClassLabel):
        return "class"
    if isinstance(feature, (List, LargeList)):
        return "list"
    if not isinstance(feature, Value):
        return "other"
    if feature.dtype.startswith(("int", "uint", "bool")):
        return "whole"
    if feature.dtype.startswith("float"):
        return "fraction"
    return "name" if feature.dtype in ("string", "large_string", "string_view") else "other"


def is_missing(value: object) -> bool:
    """Whether a cell holds nothing: null, NaN, or blanks only."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def full_column(rows: Dataset, name: str) -> list[Any]:
    """The values of a column.

    Raises:
        SpecDataError: a value is missing.
    """
    values = list(rows[name])
    hidden = -1 if isinstance(rows.features[name], ClassLabel) else None
    gaps = [number for number, value in enumerate(values, start=1) if is_missing(value) or value == hidden]
    if gaps:
        more = f" and in {len(gaps) - 1} more" if len(gaps) > 1 else ""
        raise SpecDataError(f"`{name}` has no value in row {gaps[0]}{more}", hint=REPAIR)
    return values


def list_column(rows: Dataset, name: str) -> list[list[Any]]:
    """The values of a column of lists; in a text file JSON lists, or words with blanks between.

    Raises:
        SpecDataError: a value is missing, empty or no list.
    """
    values = full_column(rows, name)
    if label_kind(rows.features[name]) == "name":
        values = _parsed_lists(name, values)
    for number, value in enumerate(values, start=1):
        if not value or any(entry is None for entry in value):
            raise SpecDataError(f"`{name}` in row {number} has an empty entry", hint=REPAIR)
    return values


def _parsed_lists(name: str, values: Sequence[str]) -> list[list[Any]]:
    if all(value.lstrip().startswith("[") for value in values):
        return [_json_list(name, number, value) for number, value in enumerate(values, start=1)]
    return [value.split() for value in values]


def _json_list(name: str, number: int, text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, list):
        hint = 'write ["a", "b"], or the words with blanks between'
        raise SpecDataError(f"`{name}` in row {number} is no JSON list", hint=hint)
    return value


def classes_in(rows: Dataset, name: str, *, lists: bool = False) -> tuple[str, ...]:
    """The classes of a column: those that it declares, else the values in it, in their order.

    Raises:
        SpecDataError: a value is missing, or is no class.
    """
    inner = _inner(rows, name)
    if isinstance(inner, ClassLabel):
        return tuple(inner.names)
    cells = list_column(rows, name) if lists else full_column(rows, name)
    values = {value for cell in cells for value in cell} if lists else set(cells)
    called = _namer(name, inner)
    try:
        ordered = sorted(values)
    except TypeError as error:
        raise SpecDataError(f"`{name}` mixes names and numbers") from error
    return tuple(called(value) for value in ordered)


def class_ids(rows: Dataset, name: str, classes: Sequence[str]) -> list[int]:
    """The number of each row's class in `classes`.

    Raises:
        SpecDataError: a value is missing, or is none of `classes`.
    """
    number = _numbering(name, _inner(rows, name), classes)
    return [number(value) for value in full_column(rows, name)]


def tag_ids(rows: Dataset, name: str, classes: Sequence[str]) -> list[list[int]]:
    """The numbers of each row's tags in `classes`; errors as for `class_ids`."""
    number = _numbering(name, _inner(rows, name), classes)
    return [[number(value) for value in cell] for cell in list_column(rows, name)]


def numbers(rows: Dataset, name: str) -> list[float]:
    """A column of numbers.

    Raises:
        SpecDataError: a value is missing or infinite.
    """
    values = [float(value) for value in full_column(rows, name)]
    for number, value in enumerate(values, start=1):
        if math.isinf(value):
            raise SpecDataError(f"`{name}` is infinite in row {number}")
    return values


def _inner(rows: Dataset, name: str) -> Any:
    feature: Any = rows.features[name]
    return feature.feature if isinstance(feature, (List, LargeList)) else feature


def _namer(name: str, feature: Any) -> Callable[[Any], str]:
    """How a value of the column is called as a class."""

    def called(value: Any) -> str:
        if isinstance(feature, ClassLabel):
            return str(feature.int2str(value))
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        if not isinstance(value, (str, int)):
            raise SpecDataError(f"`{name}` has the value {value!r}, which names no class")
        return str(value)

    return called


def _numbering(name: str, feature: Any, classes: Sequence[str]) -> Callable[[Any], int]:
    called = _namer(name, feature)
    known = {label: number for number, label in enumerate(classes)}
    # Classes with names that are given by their numbers: a column that declared them, now from a text file.
    by_number = label_kind(feature) == "whole" and not any(label.lstrip("-").isdigit() for label in classes)

    def number(value: Any) -> int:
        label = called(value)
        if label in known:
            return known[label]
        if by_number and not isinstance(value, bool) and 0 <= value < len(classes):
            return int(value)
        among = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "")
        raise SpecDataError(f"the class {label!r} of `{name}` does not occur in training (there: {among})")

    return number
