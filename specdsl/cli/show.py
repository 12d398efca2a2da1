"""`specdsl show`: a method on one page."""

from __future__ import annotations

from collections.abc import Iterator

import click

from specdsl.cli.columns import columns
from specdsl.cli.import_option import import_option
from specdsl.cli.set_option import Settings, set_option
from specdsl.cli.spec_argument import read_spec
from specdsl.printing.explanation import Section
from specdsl.printing.text import spec_line
from specdsl.spec import Spec

SHOWN = ("adapts", "definitions", "factors", "hyper-parameters", "size conditions", "penalties", "facts", "places")
REASONS = ("shape from", "because")
_TITLES = {"adapts": "formula"}


@click.command("show")
@click.argument("spec")
@set_option
@import_option
def command(spec: str, set_texts: tuple[str, ...]) -> None:
    """Print a method's formula, factors, facts and source text.

    `explain` also says why each of them is so.

    \b
    specdsl show dora
    specdsl show "W + A@B" --set r=4
    """
    click.echo("\n\n".join("\n".join(lines) for lines in _parts(read_spec(spec, Settings.of(set_texts)))))


def _parts(spec: Spec) -> Iterator[list[str]]:
    heading = [spec.label if spec.title or not spec.name.startswith("<") else spec_line(spec.tree)]
    yield heading + [text for text in (spec.cite, spec.note) if text]
    for section in spec.explain().sections:
        if section.title in SHOWN:
            yield [_TITLES.get(section.title, section.title), *columns(_without_reasons(section))]
    name = "" if spec.name.startswith("<") else f" ({spec.name})"
    yield [f"source{name}", *(f"  {line}".rstrip() for line in spec.text.strip().splitlines())]


def _without_reasons(section: Section) -> list[tuple[str, ...]]:
    """The rows without the columns that only `explain` shows."""
    rows = [section.columns, *section.rows] if section.columns else list(section.rows)
    hidden = {place for place, name in enumerate(section.columns) if name in REASONS}
    return [tuple(cell for place, cell in enumerate(row) if place not in hidden) for row in rows]
