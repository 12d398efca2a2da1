"""The map of the library: one line for every spec, in the groups of the taxonomy."""

from __future__ import annotations

from collections.abc import Sequence

from specdsl.gallery.card import Card
from specdsl.gallery.cards import grouped


def folder_map(cards: Sequence[Card]) -> str:
    """The README of `library_specs/`, written with the gallery of the library."""
    groups = grouped(cards)
    counts = ", ".join(f"{len(found)} {name}" for name, _, found in groups)
    introduction = (
        f"{len(cards)} specs, one method or variant each: {counts}. `specdsl ls` lists and searches them, "
        "`specdsl show` prints one with a drawing, [docs/gallery](../docs/gallery/README.md) shows them all."
    )
    names = "A name is a file's name; case, `-` and `_` do not matter. Copy a file to change it."
    sections = (_section(name, meaning, found) for name, meaning, found in groups)
    return "\n\n".join(["# The library", introduction, names, *sections]) + "\n"


def _section(name: str, meaning: str, cards: Sequence[Card]) -> str:
    head = f"## {name.capitalize()}\n\n{meaning}\n\n| spec | method | adapts |\n|---|---|---|"
    rows = [f"| [{card.name}]({name}/{card.name}.spec) | {card.title} | {_formula(card)} |" for card in cards]
    return "\n".join([head, *rows])


def _formula(card: Card) -> str:
    """The equations of what is adapted, as code."""
    written = (rows for part in card.spec.parts or (card.spec,) for rows in part.explain().sections[0].rows)
    return "<br>".join(f"`{name} = {value}`".replace("|", "\\|") for name, value in dict.fromkeys(written))
