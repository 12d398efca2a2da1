"""The gallery as one HTML page that needs nothing else: formulas as MathML, drawings as SVG, a search box."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from specdsl.drawing.svg import drawing, style
from specdsl.gallery.card import Card
from specdsl.gallery.cards import grouped
from specdsl.gallery.compared import PACKAGE, peft_release
from specdsl.gallery.page_style import SCRIPT, STYLE
from specdsl.printing.counted import counted
from specdsl.printing.formula import formula_blocks
from specdsl.printing.mathml import mathml


def page(cards: Sequence[Card], title: str) -> str:
    """The page of some cards.

    >>> import specdsl
    >>> from specdsl.gallery.card import Card
    >>> page([Card("mine", "own", specdsl.parse("W + A@B"))], "Mine").startswith("<!doctype html>")
    True
    """
    groups = grouped(cards)
    links = "".join(f'<a href="#{_anchor(name)}">{escape(name)} <small>{len(found)}</small></a>'
                    for name, _, found in groups)  # fmt: skip
    sections = "".join(_section(name, meaning, found) for name, meaning, found in groups)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n{style('svg.specdsl')}\n</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>\n<p>{_introduction(cards)}</p>\n{_LEGEND}</header>\n"
        '<div class="bar"><div><input id="search" type="search" placeholder="Search: lora, svd, merges, 2402.09353 …" '
        'aria-label="Search methods" autocomplete="off"><output id="count" for="search"></output>'
        f"<nav>{links}</nav></div></div>\n<main>\n{sections}</main>\n"
        f"<script>\n{SCRIPT}\n</script>\n</body>\n</html>\n"
    )


def _introduction(cards: Sequence[Card]) -> str:
    text = (
        f"{counted(len(cards), 'spec')}. Each card has the formula in the convention <i>y = x W + b</i> with "
        "<i>W</i> of <i>n × m</i>, a drawing of it, the parameters that an <i>n × m</i> module trains, and what "
        "holds of it."
    )
    if any(card.compared for card in cards):
        text += (
            f" Lines are those of the spec file against those of the method's place in {PACKAGE} {peft_release()}, "
            "blank lines and comments left out."
        )
    return text


_KEYS = (
    ("trained", "trained"), ("computed", "moves with what is trained"), ("frozen", "frozen"), ("tokens", "tokens"),
    ("given", "given or drawn in each pass"),
)  # fmt: skip
_LEGEND = (
    '<p class="legend">'
    + " ".join(f'<span><span class="key {kind}"></span>{text}</span>' for kind, text in _KEYS)
    + "</p>"
)


def _section(name: str, meaning: str, cards: Sequence[Card]) -> str:
    said = f"<p>{escape(meaning)}</p>" if meaning else ""
    inside = "".join(map(_card, cards))
    return (
        f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2>{said}\n<div class="cards">\n{inside}</div></section>\n'
    )


def _card(card: Card) -> str:
    identity = _anchor(card.name)
    name = f"<code>{escape(card.name)}</code>"
    source = f'<a href="{escape(card.path)}">{name}</a>' if card.path else name
    cite = escape(card.cite)
    paper = f'<a href="{escape(card.link)}">{cite}</a>' if card.link else cite
    note = f'<p class="note">{escape(card.spec.note)}</p>' if card.spec.note else ""
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in card.facts)
    return (
        f'<article id="{identity}" data-text="{escape(card.text)}">\n'
        f'<h3>{escape(card.title)}</h3><p class="source">{source}{" · " if cite else ""}{paper}</p>\n'
        f'<div class="wide">{_formula(card)}</div>\n'
        f'<div class="wide drawing">{drawing(card.spec, identity=f"{identity}-drawing", is_alone=False)}</div>\n'
        f"<dl><dt>trains</dt><dd>{'<br>'.join(map(escape, card.parameters))}</dd>{_lines(card)}</dl>\n"
        f'<ul class="facts">{facts}</ul>{note}\n</article>\n'
    )


def _formula(card: Card) -> str:
    blocks = []
    for place, rows in formula_blocks(card.spec):
        blocks += [f'<p class="place">{escape(place)}:</p>'] if place else []
        blocks.append(mathml(rows))
    return "".join(blocks)


def _lines(card: Card) -> str:
    one = f"<dt>lines</dt><dd>{card.lines}"
    if card.compared is None:
        return f"{one}</dd>"
    place = f"<code>{escape(card.compared.place)}</code>"
    shared = ", which has other methods too" if card.compared.is_part else ""
    return f"{one}; {card.compared.lines:,} in {place}{shared}</dd>"


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())
