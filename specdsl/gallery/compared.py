"""How many lines another package needs for the methods of the library, counted once and kept as data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

PACKAGE = "PEFT"


@dataclass(frozen=True)
class Compared:
    """Where PEFT has a method, and the lines there; `is_part` where the place holds other methods too."""

    place: str
    lines: int
    is_part: bool


@cache
def peft_release() -> str:
    """The release whose lines were counted."""
    return str(_data()["release"])


def in_peft(name: str) -> Compared | None:
    """Where PEFT has a method of the library, or None."""
    methods = _data()["methods"]
    if name not in methods:
        return None
    place, lines = methods[name]["place"], methods[name]["lines"]
    others = [other for other, one in methods.items() if one["place"] == place and other != name]
    return Compared(f"peft/{place}", lines, bool(others) and not place.endswith(f"/{name}"))


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((files("specdsl.library_specs") / "peft_lines.json").read_text(encoding="utf-8"))
    return data
