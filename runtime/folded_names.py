"""Names of modules with those of repeated blocks folded into one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from specdsl.runtime.layer_numbers import ranges

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def pattern_of(name: str) -> str:
    """The name with `*` for every number between dots: names of repeated blocks have one pattern.

    >>> pattern_of("layer.0.conv1d.2")
    'layer.*.conv1d.*'
    """
    return _NUMBER.sub("*", name)


def folded_names(names: Iterable[str]) -> list[str]:
    """The names, those of one pattern as one.

    >>> folded_names(["layer.0.norm", "layer.1.norm", "layer.3.norm", "head"])
    ['layer.{0..1, 3}.norm', 'head']
    """
    groups: dict[str, list[list[str]]] = {}
    for name in names:
        groups.setdefault(pattern_of(name), []).append(_NUMBER.findall(name))
    folded = []
    for pattern, numbers in groups.items():
        for column in zip(*numbers, strict=True):
            found = ranges(map(int, column))
            pattern = pattern.replace("*", found if found.isdigit() else f"{{{found}}}", 1)
        folded.append(pattern)
    return folded
