"""`specdsl merge`: an adapter and its base as one plain model."""

from __future__ import annotations

from pathlib import Path

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.progress import working


@click.command("merge")
@click.argument("folder", type=click.Path(path_type=Path))
@import_option
@click.option("--model", help="The base model; the one of the training where it is not given.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A new folder for the merged model."
)
@click.option("--task", help="The task of the model's head, for an adapter that `train` did not save.")
@click.option("--num-labels", type=click.IntRange(min=1), help="Outputs of that head.")
def command(folder: Path, model: str | None, output: Path, task: str | None, num_labels: int | None) -> None:
    """Merge a saved adapter into its base model.

    The output is a plain Hugging Face folder with weights, configuration and tokenizer, which needs nothing of
    specdsl. It is loaded again before it is put in its place: what would not come back as it was merged is refused.

    \b
    specdsl merge my-adapter --model minilm -o merged
    """
    with working("merging"):
        from specdsl.cli.merged import merge_to_folder

        notes = merge_to_folder(folder, model, output, task=task, num_labels=num_labels)
    for note in notes:
        click.echo(f"note: {note}")
    click.echo(f"merged model in {output}")
