"""`specdsl import`: an adapter of Hugging Face PEFT becomes one of specdsl."""

from __future__ import annotations

from pathlib import Path

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.progress import working
from specdsl.printing.counted import counted


@click.command("import")
@click.argument("folder", metavar="PEFT_FOLDER", type=click.Path(path_type=Path))
@import_option
@click.option("--model", required=True, help="The base model that it was trained on.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A folder for the adapter.")
@click.option("--task", help="The task of the model's head; by default the one that PEFT's task_type says.")
@click.option("--num-labels", type=click.IntRange(min=1), help="Outputs of that head.")
@click.option("--overwrite", is_flag=True, help="Replace an adapter that is in the output folder already.")
def command(
    folder: Path, model: str, output: Path, task: str | None, num_labels: int | None, overwrite: bool
) -> None:  # fmt: skip
    """Turn an adapter that PEFT saved into one of specdsl.

    Reads adapter_config.json and adapter_model.safetensors, never a pickle. The spec is that of the method, with its
    hyper-parameters; a field of the configuration that has no counterpart is refused by name.

    \b
    specdsl import my-peft-adapter --model llama-2-7b -o my-adapter
    """
    with working("importing"):
        from specdsl.runtime.interchange.import_peft import attach_peft
        from specdsl.runtime.interchange.peft_folder import read_folder
        from specdsl.runtime.interchange.peft_head import head_of
        from specdsl.runtime.models import load_model
        from specdsl.runtime.output_folder import check_output

        check_output(output, overwrite)
        fields, tensors = read_folder(folder)
        task, num_labels = head_of(fields, tensors, task, num_labels)
        adapter = attach_peft(load_model(model, task=task, num_labels=num_labels).model, fields, tensors)
        adapter.save(output)
    on = counted(len(adapter.members), "module")
    click.echo(f"{adapter.spec.label} on {on}, {counted(adapter.trainable_parameters, 'parameter')}")
    if task is not None:
        click.echo(f"for a model with a head: --task {task}{f' --num-labels {num_labels}' if num_labels else ''}")
    click.echo(f"adapter in {output}")
