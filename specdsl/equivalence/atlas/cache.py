"""Decided pairs on disk, by the hashes of their specs and by the version of the checker; JSON, written whole or not.

One file holds all pairs whose first spec has one hash, so that a run that is stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import specdsl.equivalence
from specdsl.equivalence.atlas.cell import Cell
from specdsl.errors import SpecFileError

_DECIDING = ("arrays", "elaborate", "equivalence", "operators", "grammar")
"""The folders that a verdict depends on, beside the modules at the top."""


def user_cache() -> Path:
    """The folder of the user's caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "specdsl" / "equivalence"


@cache
def checker_version() -> str:
    """A fingerprint of the sources that decide; verdicts of another version are not read."""
    root = Path(specdsl.equivalence.__file__).parents[1]
    files = [*root.glob("*.py"), *(path for name in _DECIDING for path in (root / name).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(root)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class PairCache:
    """Cells by the hashes of two specs and the budget.

    Args:
        folder: of the files; made when something is kept.
        budget: seconds per pair; what was undecided under another one is asked again.
    """

    def __init__(self, folder: Path, budget: float | None) -> None:
        self.folder = folder
        self.budget = budget
        self._rows: dict[str, dict[str, dict[str, Any]]] = {}
        self._changed: set[str] = set()

    def get(self, a: str, b: str) -> Cell | None:
        """The cell of two spec hashes, if it is known; a pair is found in either order."""
        for first, second in ((a, b), (b, a)):
            entry = self._row(first).get(second)
            if entry is not None:
                try:
                    cell = Cell.read(entry["cell"])
                except (KeyError, TypeError, ValueError):
                    continue
                if cell.is_decided or entry.get("budget") == self.budget:
                    return cell if first == a else cell.mirrored()
        return None

    def put(self, a: str, b: str, cell: Cell) -> None:
        self._row(a)[b] = {"cell": cell.as_dict(), "budget": self.budget}
        self._changed.add(a)

    def save(self) -> None:
        """Write what is new.

        Raises:
            SpecFileError: the folder cannot be written.
        """
        for first in sorted(self._changed):
            self._write(first)
        self._changed.clear()

    def _row(self, first: str) -> dict[str, dict[str, Any]]:
        if first not in self._rows:
            self._rows[first] = _read(self._path(first))
        return self._rows[first]

    def _path(self, first: str) -> Path:
        return self.folder / checker_version() / f"{first}.json"

    def _write(self, first: str) -> None:
        path = self._path(first)
        content = json.dumps({"checker": checker_version(), "pairs": self._rows[first]}, ensure_ascii=False)
        write_whole(path, content)


def write_whole(path: Path, content: str) -> None:
    """Write a text file so that never half of it is there.

    Raises:
        SpecFileError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(content)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise SpecFileError(f"`{path}` cannot be written: {error.strerror or error}") from None


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The pairs of a file; a file that is missing or damaged holds none."""
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"))["pairs"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return pairs if isinstance(pairs, dict) else {}
