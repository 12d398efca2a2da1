"""The cards of a folder of specs, or of the library."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from specdsl.gallery.card import Card
from specdsl.gallery.compared import in_peft
from specdsl.library_specs import TAXONOMY, library_groups
from specdsl.spec import parse

IN_REPOSITORY = "../../library_specs"
"""Where the files of the library are, seen from docs/gallery."""


def library_cards() -> list[Card]:
    """A card for every method of the library; its links hold in docs/gallery of the repository."""
    return [
        Card(path.stem, group, parse(path), f"{IN_REPOSITORY}/{group}/{path.name}", in_peft(path.stem))
        for group, paths in library_groups()
        for path in paths
    ]


def folder_cards(paths: Iterable[Path], root: Path, target: Path) -> list[Card]:
    """A card for every file, in groups by the folders below `root`."""
    cards = []
    for path in paths:
        group = path.parent.relative_to(root).as_posix() if path.is_relative_to(root) else "."
        name = root.resolve().name if group == "." else group
        cards.append(Card(path.stem, name, parse(path), _relative(path, target)))
    return cards


def grouped(cards: Iterable[Card]) -> list[tuple[str, str, list[Card]]]:
    """The groups in their order: name, what it means (empty outside the library's taxonomy), and its cards."""
    groups: dict[str, list[Card]] = {}
    for card in cards:
        groups.setdefault(card.group, []).append(card)
    return [(name, TAXONOMY.get(name, ""), found) for name, found in groups.items()]


def _relative(path: Path, target: Path) -> str:
    return Path(os.path.relpath(path, target)).as_posix()
