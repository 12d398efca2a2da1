"""The verdict card on a terminal: as wide as that is, headings bold, what is proved green and what is refuted red."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from specdsl.equivalence.card import SENSES, WIDTH, card_text

if TYPE_CHECKING:
    from specdsl.equivalence.verdict import Verdict

_STATUS = r"(?P<green>proved)|(?P<red>equality refuted)|(?P<yellow>supported|unknown)"
_SENSE_LINE = rf"(?m)^(?P<bold>{'|'.join(SENSES)}) .*?\s(?:{_STATUS})(?=\s|$)"
_HEADING = (
    r"(?m)^(?P<bold>(?:certificate|witness|dimension|parameters|penalties|other differences|assumptions|time)\b[^:\n]*)"
)


def print_card(verdict: Verdict) -> None:
    """Print the card; plain text where there is no terminal."""
    if not sys.stdout.isatty():
        click.echo(card_text(verdict, WIDTH))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    text = Text(card_text(verdict, min(console.width, WIDTH)))
    text.highlight_regex(_SENSE_LINE)
    text.highlight_regex(_HEADING)
    console.print(text, soft_wrap=True)
