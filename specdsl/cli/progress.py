"""Progress on stderr: a spinner and a bar on a terminal; elsewhere nothing, or a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click

SECONDS_BETWEEN_LINES = 10.0

Progress = Callable[[int, int, Mapping[str, float]], None]


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something takes time, where somebody may be watching."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{what} ..."):
        yield


@contextmanager
def training_progress() -> Iterator[Progress]:
    """What `fine_tune` reports its steps to: a bar on a terminal, elsewhere a line every ten seconds."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("preparing", total=None)

        def show(step: int, steps: int, logged: Mapping[str, float]) -> None:
            bars.update(bar, completed=step, total=steps)
            if "loss" in logged:
                bars.update(bar, description=f"loss {logged['loss']:.4f}")

        yield show


class _Lines:
    """Prints the step and the last loss, but not too often."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.loss = ""

    def __call__(self, step: int, steps: int, logged: Mapping[str, float]) -> None:
        if "loss" in logged:
            self.loss = f", loss {logged['loss']:.4f}"
        now = time.monotonic()
        if now - self.last >= SECONDS_BETWEEN_LINES:
            self.last = now
            click.echo(f"step {step:,} of {steps:,}{self.loss}", err=True)
