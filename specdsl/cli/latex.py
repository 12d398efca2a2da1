"""`specdsl latex`: a method as mathematics."""

from __future__ import annotations

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.set_option import Settings, set_option
from specdsl.cli.spec_argument import read_spec


@click.command("latex")
@click.argument("spec")
@set_option
@import_option
def command(spec: str, set_texts: tuple[str, ...]) -> None:
    """Print a method as LaTeX, an `aligned` block for `$$...$$`.

    \b
    specdsl latex dora
    specdsl latex "W + A@G@B | orth(A)" --set r=16
    """
    click.echo(read_spec(spec, Settings.of(set_texts)).latex())
