"""Writes a gallery: one HTML page, one Markdown page, and a drawing for each method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from specdsl.drawing.svg import drawing
from specdsl.errors import SpecFileError
from specdsl.gallery.card import Card
from specdsl.gallery.markdown import markdown
from specdsl.gallery.page import page


def gallery_files(cards: Sequence[Card], title: str) -> dict[str, str]:
    """The text of every file by its name within the folder of the gallery."""
    files = {"index.html": page(cards, title), "README.md": markdown(cards, title, ".")}
    return files | {f"{card.name}.svg": drawing(card.spec) for card in cards}


def write_gallery(cards: Sequence[Card], title: str, folder: Path) -> None:
    """Write the files; those of the same names are replaced.

    Raises:
        SpecFileError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in gallery_files(cards, title).items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecFileError(f"`{folder}` cannot be written: {error.strerror}") from None
