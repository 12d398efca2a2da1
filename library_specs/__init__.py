"""The methods that come with specdsl, one `.spec` file each.

A method's name is its file's name; case, `-` and `_` do not matter when it is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path


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
    """The methods by group (folder), as `specdsl ls` lists them."""
    groups: dict[str, list[Path]] = {}
    for path in _paths().values():
        groups.setdefault(path.parent.name, []).append(path)
    yield from sorted(groups.items())
