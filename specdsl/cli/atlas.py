"""`specdsl atlas`: all pairs of the library, as a table and as a picture."""

from __future__ import annotations

import os
import time
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specdsl.cli.json_option import json_option
from specdsl.cli.progress import counting
from specdsl.cli.reporting import print_json
from specdsl.printing.counted import counted

if TYPE_CHECKING:
    from specdsl.equivalence.atlas.cell import Cell
    from specdsl.equivalence.atlas.method import Method

SECONDS_BETWEEN_SAVES = 5.0
CONFLICT = 1


@click.command("atlas")
@click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path), default=Path("atlas"), show_default=True,
    help="For index.html, containment.svg and pairs.tsv.",
)  # fmt: skip
@click.option(
    "--budget", type=click.FloatRange(min=0, min_open=True), default=2.0, show_default=True, metavar="SECONDS",
    help="For each pair; what is not decided by then is unknown.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; by default one for every core.")
@click.option("--only", multiple=True, metavar="METHOD", help="Only these methods of the library; may be repeated.")
@click.option("--fresh", is_flag=True, help="Decide every pair anew.")
@json_option
def command(
    folder: Path, budget: float, jobs: int | None, only: tuple[str, ...], fresh: bool, as_json: bool
) -> int:  # fmt: skip
    """Compare all methods of the library with each other, and draw which contains which.

    Decided pairs are kept in the user's cache folder, so that a run that was stopped goes on where it was, and one
    after a change of a few specs decides their pairs alone. The exit code is 1 if verdicts contradict each other.

    \b
    specdsl atlas -o atlas
    specdsl atlas --only lora --only dora --only pissa
    """
    from specdsl.equivalence.atlas.containment import containment_of
    from specdsl.equivalence.atlas.files import write_atlas

    methods = _methods(only)
    started = time.monotonic()
    cells = _decided(methods, budget, jobs or _cores(), fresh)
    names = [method.name for method in methods]
    simplest_first = sorted(methods, key=lambda method: len(method.text))  # it gives a class its name and colour
    graph = containment_of([method.name for method in simplest_first], cells)
    written = write_atlas(folder, methods, cells, graph)
    if as_json:
        print_json(
            {
                "methods": names,
                "pairs": [{"a": a, "b": b, **cell.as_dict()} for (a, b), cell in cells.items()],
                "classes": graph.classes,
                "containments": [[graph.classes[low][0], graph.classes[high][0]] for low, high in sorted(graph.edges)],
                "conflicts": graph.conflicts,
                "files": [str(path) for path in written],
            }
        )
    else:
        click.echo(_summary(len(methods), cells, len(graph.classes), time.monotonic() - started))
        for line in (*graph.conflicts, *(f"written: {path}" for path in written)):
            click.echo(line)
    return CONFLICT if graph.conflicts else 0


def _methods(only: tuple[str, ...]) -> list[Method]:
    from specdsl.equivalence.atlas.method import library_methods
    from specdsl.errors import SpecFileError, did_you_mean
    from specdsl.library_specs import library_names, plain

    methods = list(library_methods())
    known = {plain(method.name) for method in methods}
    for name in only:
        if plain(name) not in known:
            raise SpecFileError(f"the library has no method `{name}`", hint=did_you_mean(name, library_names()))
    wanted = {plain(name) for name in only}
    return [method for method in methods if not only or plain(method.name) in wanted]


def _decided(
    methods: list[Method], budget: float, jobs: int, fresh: bool
) -> dict[tuple[str, str], Cell]:  # fmt: skip
    """All pairs, from the cache or decided now; what is new is kept now and then, also when Ctrl-C ends the run."""
    from specdsl.equivalence.atlas.cache import PairCache, user_cache
    from specdsl.equivalence.atlas.pairs import decide_all

    cache = PairCache(user_cache(), budget)
    pairs = list(combinations(methods, 2))
    hashes = {method.name: method.spec.hash for method in methods}
    known = {} if fresh else {(a, b): cache.get(hashes[a.name], hashes[b.name]) for a, b in pairs}
    cells = {(a.name, b.name): cell for (a, b), cell in known.items() if cell is not None}
    missing = [(a, b) for a, b in pairs if (a.name, b.name) not in cells]
    saved = time.monotonic()
    try:
        with counting(len(missing)) as advance:
            for (a, b), cell in decide_all(missing, budget, jobs):
                cells[a.name, b.name] = cell
                cache.put(hashes[a.name], hashes[b.name], cell)
                advance(f"{a.name}, {b.name}")
                if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    cache.save()
                    saved = time.monotonic()
    finally:
        cache.save()
    return {(a.name, b.name): cells[a.name, b.name] for a, b in pairs}


def _summary(count: int, cells: dict[tuple[str, str], Cell], classes: int, seconds: float) -> str:
    relations = [cell.set for cell in cells.values()]
    contained = relations.count("<") + relations.count(">")
    return (
        f"{counted(count, 'method')}, {counted(classes, 'distinct set')}; {counted(len(cells), 'pair')}: "
        f"{relations.count('='):,} equal, "
        f"{contained:,} contained, {relations.count('x'):,} incomparable, {relations.count('?'):,} undecided "
        f"({seconds:.0f} s)"
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
