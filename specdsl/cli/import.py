"""`specdsl import`: an adapter of Hugging Face PEFT becomes one of specdsl."""

from __future__ import annotations

from pathlib import Path

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.progress import working


@click.command("import")
@click.argument("folder", metavar="PEFT_FOLDER", type=click.Path(path_type=Path))
@import_option
@click.option("--model", required=True, help="The base model that it was trained on.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A folder for the adapter.")
@click.option("--task", help="The task of the model's head, where the adapter has one.")
@click.option("--num-labels", type=click.IntRange(min=1), help="Outputs of that head.")
def command(folder: Path, model: str, output: Path, task: str | None, num_labels: int | None) -> None:
    """Turn an adapter that PEFT saved into one of specdsl.

    Reads adapter_config.json and adapter_model.safetensors, never a pickle. The spec is that of the method, with its
    hyper-parameters; a field of the configuration that has no counterpart is refused by name.

    \b
    specdsl import my-peft-adapter --model llama-2-7b -o my-adapter
    """
    with working("importing"):
        from specdsl.runtime.interchange.import_peft import import_peft
        from specdsl.runtime.models import load_model

        base = load_model(model, task=task, num_labels=num_labels).model
        adapter = import_peft(base, folder)
        adapter.save(output)
    click.echo(f"{adapter.spec.label} on {len(adapter.members)} modules, {adapter.trainable_parameters:,} parameters")
    click.echo(f"adapter in {output}")
