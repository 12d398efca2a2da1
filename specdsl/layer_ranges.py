"""The numbers of blocks that `layers` names, however they are given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from operator import index
from typing import SupportsIndex, TypeAlias

from specdsl.errors import SpecSettingError

Layers: TypeAlias = SupportsIndex | str | Iterable[SupportsIndex | str]
"""A number, a text as in a spec (`"0..5, 11"`), a range, or a list of these."""

HINT = "layers are written `0..5, 11`"

_SPAN = re.compile(r"(\d{1,4})(?:\.\.(\d{1,4}))?")


def layer_numbers(layers: Layers) -> list[int]:
    """The numbers that `layers` names, in its order.

    Raises:
        SpecSettingError: it names none, or something that is no layer's number.

    >>> layer_numbers("0..2, 7"), layer_numbers(3), layer_numbers(range(2)), layer_numbers([0, "4..5"])
    ([0, 1, 2, 7], [3], [0, 1], [0, 4, 5])
    """
    if isinstance(layers, str):
        return [number for part in layers.split(",") for number in _span(part.strip())]
    if not isinstance(layers, Iterable):
        return [_number(layers)]
    numbers: list[int] = []
    for part in layers:
        numbers += layer_numbers(part) if isinstance(part, str) else [_number(part)]
    if not numbers:
        raise SpecSettingError("`layers` names no layer", hint="leave it out to adapt all")
    return numbers


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise _refused(value)
    return index(value)


def _span(part: str) -> range:
    found = _SPAN.fullmatch(part)
    if found is None:
        raise _refused(part)
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise SpecSettingError(f"the layers {part} run backwards")
    return range(first, last + 1)


def _refused(value: object) -> SpecSettingError:
    shown = value if isinstance(value, str) else repr(value)
    return SpecSettingError(f"`{shown}` is no layer's number", hint=HINT)
