"""`specdsl export`: an adapter of specdsl becomes one that Hugging Face PEFT loads."""

from __future__ import annotations

from pathlib import Path

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.progress import working


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@import_option
@click.option("--model", help="The base model; the one of the training where it is not given.")
@click.option(
    "-o", "--output", metavar="PEFT_FOLDER", required=True, type=click.Path(path_type=Path), help="A new folder."
)
@click.option("--task", help="The task of the model's head, for an adapter that `train` did not save.")
@click.option("--num-labels", type=click.IntRange(min=1), help="Outputs of that head.")
def command(folder: Path, model: str | None, output: Path, task: str | None, num_labels: int | None) -> None:
    """Write a saved adapter as PEFT saves its own, where PEFT has its method.

    The folder loads with peft.PeftModel.from_pretrained; it needs nothing of specdsl.

    \b
    specdsl export my-adapter --model minilm -o my-peft-adapter
    """
    with working("exporting"):
        from specdsl.cli.base_model import base_of
        from specdsl.runtime.load import load

        base, _, _ = base_of(folder, model, task, num_labels)
        load(base, folder).export_peft(output)
    click.echo(f"adapter for PEFT in {output}")
