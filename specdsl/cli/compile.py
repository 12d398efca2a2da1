"""`specdsl compile`: what a spec does to a model, without training it."""

from __future__ import annotations

from pathlib import Path

import click

from specdsl.cli.compiled import compile_spec
from specdsl.cli.import_option import import_option
from specdsl.cli.json_option import json_option
from specdsl.cli.placement_options import Placement, placement_options
from specdsl.cli.progress import working
from specdsl.cli.reporting import print_json
from specdsl.cli.set_option import Settings, set_option
from specdsl.cli.spec_argument import read_spec


@click.command("compile")
@click.argument("spec")
@click.option(
    "--model", required=True, help="A folder, a hub id, or a well-known name such as deberta-v3-base, gpt2, llama-2-7b."
)
@set_option
@import_option
@placement_options
@click.option("--task", help="Give the model the head of a task: classification, regression, ...")
@click.option("--num-labels", type=click.IntRange(min=1), help="Outputs of that head.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Of the random starts that -o writes.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Write the resolved spec, the report, the code, and with real weights the adapter to this folder.",
)
@click.option("--emit", type=click.Choice(["torch"]), help="Print the adapted layer as PyTorch code instead.")
@json_option
def command(
    spec: str, model: str, set_texts: tuple[str, ...], on: tuple[str, ...], excepted: tuple[str, ...],
    layers: str | None, train: tuple[str, ...], task: str | None, num_labels: int | None, seed: int,
    folder: Path | None, emit: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Show what a spec does to a model, without training it.

    That is which modules it adapts, with shapes, factors, trained parameters, plans and penalties, and which it
    does not. It needs no weights: a well-known name compiles against its architecture alone, without a network.
    An item of --on, --except and --train is a role (attention.query, mlp, norm, ...) or re:PATTERN for whole
    module names.

    \b
    specdsl compile "W + A@G@B | orth(A)" --model deberta-v3-base --set r=8
    specdsl compile lora --model llama-2-7b --on attention.query,attention.value --layers 0..15
    specdsl compile dora --model minilm --emit torch
    """
    settings = Settings.of(set_texts)
    placement = Placement.of(on, excepted, layers, train)
    checked = read_spec(spec, settings)
    with working(f"laying the spec over {model}"):
        from specdsl.cli.compile_folder import check_folder, has_weights_here, write_folder

        if folder is not None:
            check_folder(folder)
        weights = folder is not None and has_weights_here(model)
        compiled = compile_spec(
            checked, model, placement, settings.indices, task=task, num_labels=num_labels, weights=weights
        )
        written = write_folder(compiled, folder, seed) if folder is not None else []
    if emit:
        from specdsl.cli.emitted import emitted_code

        click.echo(emitted_code(compiled), nl=False)
    elif as_json:
        print_json({**compiled.as_dict(), "notes": [*compiled.notes, *written]})
    else:
        from specdsl.cli.compile_table import print_report

        print_report(compiled)
        for line in [*written, *([f"written to {folder}"] if folder else [])]:
            click.echo(line)
