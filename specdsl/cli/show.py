"""`specdsl show`: a method on one page, in words or as a drawing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from specdsl.cli.columns import columns
from specdsl.cli.import_option import import_option
from specdsl.cli.set_option import Settings, set_option
from specdsl.cli.spec_argument import read_spec
from specdsl.drawing.sketch import sketches
from specdsl.drawing.svg import drawing
from specdsl.drawing.tree_text import tree_lines
from specdsl.errors import SpecFileError, SpecSettingError
from specdsl.printing.explanation import Section
from specdsl.printing.formula import plain_formula
from specdsl.printing.text import spec_line
from specdsl.spec import Spec

SHOWN = (
    "factors", "given by every forward pass", "hyper-parameters", "size conditions", "events", "penalties", "facts",
    "places",
)  # fmt: skip
REASONS = ("shape from", "because")


@click.command("show")
@click.argument("spec")
@click.option("--svg", "as_svg", is_flag=True, help="Print a drawing of the expression as SVG instead.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file for --svg.")
@set_option
@import_option
def command(spec: str, as_svg: bool, output: Path | None, set_texts: tuple[str, ...]) -> None:
    """Print a method's formula, a drawing of it, its factors, facts and source text.

    `explain` also says why each of them is so; `latex` prints the formula for a paper.

    \b
    specdsl show dora
    specdsl show "W + A@B" --set r=4
    specdsl show dora --svg -o dora.svg
    """
    if output is not None and not as_svg:
        raise SpecSettingError("`--output` is for a drawing", hint="add `--svg`")
    found = read_spec(spec, Settings.of(set_texts))
    if not as_svg:
        click.echo("\n\n".join("\n".join(lines) for lines in _parts(found)))
    elif output is None:
        click.echo(drawing(found), nl=False)
    else:
        _write(output, drawing(found))
        click.echo(f"drawing in {output}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecFileError(f"`{path}` cannot be written: {error.strerror}") from None


def _parts(spec: Spec) -> Iterator[list[str]]:
    heading = [spec.label if spec.title or not spec.name.startswith("<") else spec_line(spec.tree)]
    yield heading + [text for text in (spec.cite, spec.note) if text]
    yield _indented("formula", plain_formula(spec))
    yield _indented("drawing", tree_lines(sketches(spec)))
    for section in spec.explain().sections:
        if section.title.rpartition(": ")[2] in SHOWN:
            yield [section.title, *columns(_without_reasons(section))]
    name = "" if spec.name.startswith("<") else f" ({spec.name})"
    yield _indented(f"source{name}", spec.text.strip().splitlines())


def _indented(title: str, lines: list[str]) -> list[str]:
    return [title, *(f"  {line}".rstrip() for line in lines)]


def _without_reasons(section: Section) -> list[tuple[str, ...]]:
    """The rows without the columns that only `explain` shows."""
    rows = [section.columns, *section.rows] if section.columns else list(section.rows)
    hidden = {place for place, name in enumerate(section.columns) if name in REASONS}
    return [tuple(cell for place, cell in enumerate(row) if place not in hidden) for row in rows]
