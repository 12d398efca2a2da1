"""`specdsl equiv`: how two specs relate, and how that is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.json_option import json_option
from specdsl.cli.progress import working
from specdsl.cli.reporting import print_json
from specdsl.cli.spec_argument import read_spec
from specdsl.errors import SpecSettingError

if TYPE_CHECKING:
    from specdsl.equivalence.verdict import Sense

EQUAL = 0
DIFFERENT = 1
UNKNOWN = 3


@click.command("equiv")
@click.argument("specs", nargs=-1, required=True, metavar="A B")
@click.option(
    "--sense", type=click.Choice(("pointwise", "set", "start")), default="set", show_default=True,
    help="What the exit code answers; all senses are decided and printed whatever is asked.",
)  # fmt: skip
@click.option(
    "--assume", multiple=True, metavar="TEXT",
    help='What may be taken for granted: "generic W", "W full row rank", "same A0", ...; may be repeated. With this, '
    "--where or --shape, nothing but what they say is; without, W is generic and r < min(n, m).",
)  # fmt: skip
@click.option("--where", multiple=True, metavar="RELATION", help='Relations of sizes, as "r < min(n, m)"; repeatable.')
@click.option("--shape", multiple=True, metavar="SIZES", help="Fixed sizes, as n=6,m=5,r=2.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="What is not decided by then stays unknown; with --library for each method, and 2 by default.",
)
@click.option("--library", is_flag=True, help="Compare one spec with every method of the library.")
@click.option("--all", "show_all", is_flag=True, help="With --library: list also what is undecided.")
@click.option("--adapter", "adapters", is_flag=True, help="A and B are folders of trained adapters, ours or PEFT's.")
@click.option("--model", help="With --adapter: the base model, where the updates read its weights.")
@click.option("--task", help="With --model: the task of its head; by default what an adapter's folder says.")
@click.option("--num-labels", type=click.IntRange(min=1), help="Outputs of that head.")
@import_option
@json_option
def command(
    specs: tuple[str, ...], sense: str, assume: tuple[str, ...], where: tuple[str, ...], shape: tuple[str, ...],
    budget: float | None, library: bool, show_all: bool, adapters: bool, model: str | None,
    task: str | None, num_labels: int | None, as_json: bool,
) -> int:  # fmt: skip
    """Prove or refute that two specs are the same, or say what is unknown.

    They are compared pointwise (the same function of the same factors), as sets of reachable weights, and at the
    start (the same first weights and tangent kernel). The exit code is 0 if they are equal in the sense of --sense,
    1 if they differ, 3 if that is unknown, 2 for any error. Equality that is supported, by exact evaluation at random
    points, counts as equality: its error probability is printed, and the JSON tells it from a proof.

    \b
    specdsl equiv "W + A@B" "W + A@G@B | G : r x r ~ eye"
    specdsl equiv lora dora --assume "no zero column in W" --where "r < min(n, m)"
    specdsl equiv my_method.spec --library
    specdsl equiv --adapter my-adapter peft-adapter
    """
    _check(specs, library, adapters, show_all)
    _check_model(adapters, model, task, num_labels)
    from specdsl.equivalence.conditions import Conditions, shape_of

    sizes = shape_of(shape)
    Conditions.of(assume, where, sizes)
    asked = cast("Sense", sense)
    if adapters:
        from specdsl.cli.equiv_adapters import compare_adapters

        return compare_adapters(Path(specs[0]), Path(specs[1]), model, task, num_labels, as_json)
    if library:
        from specdsl.cli.equiv_library import compare_with_library

        return compare_with_library(read_spec(specs[0]), asked, (assume, where, sizes), budget, show_all, as_json)
    a, b = (read_spec(spec) for spec in specs)
    with working("comparing"):
        from specdsl.equivalence.decide import equivalent

        verdict = equivalent(a, b, assume=assume, where=where, shape=sizes or None, budget=budget)
    if as_json:
        print_json(verdict.as_dict())
    else:
        from specdsl.cli.equiv_card import print_card

        print_card(verdict)
    return exit_code(verdict.is_equal(asked))


def exit_code(is_equal: bool | None) -> int:
    return UNKNOWN if is_equal is None else EQUAL if is_equal else DIFFERENT


def _check(specs: tuple[str, ...], library: bool, adapters: bool, show_all: bool) -> None:
    """Raise SpecSettingError for options that do not go together."""
    if library and adapters:
        raise SpecSettingError("`--library` compares specs, `--adapter` trained adapters", hint="choose one of them")
    wanted = 1 if library else 2
    if len(specs) != wanted:
        what = "adapters" if adapters else "specs"
        hint = None if library else f'`specdsl equiv "{specs[0][:40]}" --library` compares one with the whole library'
        expected = "one spec" if library else f"two {what}"
        raise SpecSettingError(f"{expected} needed, {len(specs)} given", hint=None if adapters else hint)
    if show_all and not library:
        raise SpecSettingError("`--all` belongs to `--library`")


def _check_model(adapters: bool, model: str | None, task: str | None, num_labels: int | None) -> None:
    """Raise SpecSettingError for options of the base where none is used."""
    if model is not None and not adapters:
        raise SpecSettingError("`--model` belongs to `--adapter`", hint="specs are compared for all models")
    if model is None and (task or num_labels):
        flag = "--task" if task else "--num-labels"
        raise SpecSettingError(f"`{flag}` belongs to `--model`", hint="name the base model of the adapters")
