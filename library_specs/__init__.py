"""The methods that come with specdsl, one `.spec` file each.

A method's name is its file's name; case, `-` and `_` do not matter when it is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

TAXONOMY = {
    "reconstruction": "The weight or bias itself changes: scaled, rotated, rebuilt from its parts, trained in places.",
    "extension": "Something of few parameters is added to the weight.",
    "combination": "Both: the weight changes, and something is added to it.",
    "activation": "What enters or leaves a layer changes, mostly through a nonlinearity or token by token.",
    "prompt": "Rows are added to the tokens.",
}
"""The groups of the library, its folders, in the order in which they are listed."""


def plain(name: str) -> str:
    """A name as it is looked up.

    >>> plain("MPC_o")
    'mpco'
    """
    return name.lower().replace("-", "").replace("_", "")


@cache
def _paths() -> dict[str, Path]:
    root = Path(str(files(__name__)))
    return {plain(path.stem): path for path in sorted(root.rglob("*.spec"))}


def library_path(name: str) -> Path | None:
    """The file of a method, or None if the library has no such method."""
    return _paths().get(plain(name.removesuffix(".spec")))


def library_names() -> list[str]:
    """The names of all methods, in alphabetical order."""
    return sorted(path.stem for path in _paths().values())


def library_groups() -> Iterator[tuple[str, list[Path]]]:
    """The methods by group (folder), in the order of `TAXONOMY`."""
    groups: dict[str, list[Path]] = {name: [] for name in TAXONOMY}
    for path in sorted(_paths().values(), key=lambda path: path.stem):
        groups[path.parent.name].append(path)
    yield from groups.items()
