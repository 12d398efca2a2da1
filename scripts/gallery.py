"""Writes the pages of docs/ and library_specs/ that are made from the library.

python scripts/gallery.py
"""

from __future__ import annotations

from pathlib import Path

from specdsl.gallery.cards import library_cards
from specdsl.gallery.folder_map import folder_map
from specdsl.gallery.write import gallery_files

ROOT = Path(__file__).parents[1]
TITLE = "The library"


def pages() -> dict[str, str]:
    """The text of every page by its path in the repository."""
    cards = library_cards()
    files = {f"docs/gallery/{name}": text for name, text in gallery_files(cards, TITLE).items()}
    return {**files, "library_specs/README.md": folder_map(cards)}


if __name__ == "__main__":
    (ROOT / "docs" / "gallery").mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in (ROOT / "docs" / "gallery").glob("*.svg"):
        if f"docs/gallery/{old.name}" not in made:
            old.unlink()
    for name, text in made.items():
        (ROOT / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} files")
