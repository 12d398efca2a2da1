"""The gallery as Markdown with formulas and drawings, as repositories show it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from specdsl.gallery.card import Card
from specdsl.gallery.cards import grouped
from specdsl.gallery.compared import PACKAGE, peft_release
from specdsl.printing.counted import counted
from specdsl.printing.formula import formula_blocks


def markdown(cards: Sequence[Card], title: str, drawings: str) -> str:
    """The page; `drawings` is the folder of the SVG files as the page names it."""
    parts = [f"# {title}", _introduction(cards)]
    for name, meaning, found in grouped(cards):
        parts.append(f"## {name.capitalize()}")
        parts += [meaning] if meaning else []
        parts.append(_table(found, any(card.compared for card in cards)))
        parts += [_card(card, drawings) for card in found]
    return "\n\n".join(parts) + "\n"


def _introduction(cards: Sequence[Card]) -> str:
    text = (
        f"{counted(len(cards), 'spec')}; [index.html](index.html) is the same as a page with a "
        "search box. `W` is n x m, `y = x W + b`. In the drawings trained matrices are orange, frozen ones grey and "
        "hatched, those that move with trained ones pale orange, tokens green."
    )
    if any(card.compared for card in cards):
        text += (
            f" Lines are those of the spec file against those of the method's place in {PACKAGE} {peft_release()}, "
            "without blank lines and comments; a dash where it has no such method."
        )
    return text


def _table(cards: Sequence[Card], is_compared: bool) -> str:
    head = ["method", "trains per n x m", "facts", "lines", *([f"in {PACKAGE}"] if is_compared else [])]
    rows = [head, ["---"] * 3 + ["---:"] * (len(head) - 3)]
    for card in cards:
        title = f"[{_plain(card.title)}](#{_anchor(card)})"
        cells = [title, "; ".join(card.parameters), ", ".join(card.facts), str(card.lines)]
        rows.append([*map(_cell, cells), *([_other(card)] if is_compared else [])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _other(card: Card) -> str:
    if card.compared is None:
        return "–"
    return f"{card.compared.lines:,}" + (" (shared)" if card.compared.is_part else "")


def _card(card: Card, drawings: str) -> str:
    name = f"[`{card.name}`]({card.path})" if card.path else f"`{card.name}`"
    paper = f"[{card.cite}]({card.link})" if card.link else card.cite
    formula = "\n\n".join(_formula(place, rows) for place, rows in formula_blocks(card.spec))
    picture = f'<img src="{drawings}/{card.name}.svg" alt="{_attribute(card)}">'
    note = [_plain(card.spec.note[0].upper() + card.spec.note[1:]) + "."] if card.spec.note else []
    return "\n\n".join(
        [
            f'### <a id="{_anchor(card)}"></a>{_plain(card.title)}',
            " · ".join(filter(None, [name, paper])),
            formula,
            picture,
            *note,
        ]
    )


def _formula(place: str, rows: Sequence[str]) -> str:
    body = " \\\\\n".join(rows)
    said = f"{place}:\n\n" if place else ""
    return f"{said}```math\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n```"


def _anchor(card: Card) -> str:
    return f"method-{card.name.replace('_', '-')}"


def _attribute(card: Card) -> str:
    return escape(f"drawing of {card.title}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _plain(text: str) -> str:
    """Text of a spec as text: no tags, no table cells."""
    return escape(text, quote=False).replace("|", "\\|")
