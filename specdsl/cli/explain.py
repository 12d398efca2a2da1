"""`specdsl explain`: everything that a spec leaves unsaid."""

from __future__ import annotations

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.set_option import Settings, set_option
from specdsl.cli.spec_argument import read_spec


@click.command("explain")
@click.argument("spec")
@click.option("--model", help="Also show what the spec is in this model; as for `compile`.")
@set_option
@import_option
def command(spec: str, model: str | None, set_texts: tuple[str, ...]) -> None:
    """Print all that a spec leaves unsaid, and why it is so.

    That is every inferred shape, start, kind, size condition and fact, and the resolved spec. With --model also
    what the spec does to a model.

    \b
    specdsl explain "W + A@B"
    specdsl explain pissa --model roberta-base --set r=4
    """
    settings = Settings.of(set_texts)
    checked = read_spec(spec, settings)
    click.echo(str(checked.explain()))
    if model is not None:
        from specdsl.cli.compile_table import print_report
        from specdsl.cli.compiled import compile_spec
        from specdsl.cli.placement_options import Placement

        click.echo()
        print_report(compile_spec(checked, model, Placement(None, [], None, None), settings.indices))
