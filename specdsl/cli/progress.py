"""Progress on stderr: a spinner and a bar on a terminal; elsewhere nothing, or a line for each logged loss."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click

Progress = Callable[[int, int, Mapping[str, float]], None]
SECONDS_BETWEEN_LINES = 5.0
"""How often a count is told where there is no terminal."""


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
    """What `fine_tune` reports its steps to: a bar on a terminal, elsewhere a line for each loss that is logged."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("preparing", total=None)
        latest = _Latest()

        def show(step: int, steps: int, logged: Mapping[str, float]) -> None:
            latest.hear(step, logged)
            # A penalty's text may hold brackets, which are markup there.
            bars.update(bar, completed=step, total=steps, description=escape(latest.text(step) or "training"))

        yield show


@contextmanager
def counting(total: int) -> Iterator[Callable[[str], None]]:
    """What is told of every step that is done, in a few words: a bar on a terminal, elsewhere a line now and then."""
    done = 0
    if not sys.stderr.isatty():
        began = last = time.monotonic()

        def note(what: str) -> None:
            nonlocal done, last
            done += 1
            if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                left = (last - began) / done * (total - done)
                click.echo(f"{done:,} of {total:,}: {what}; about {left:.0f} s left", err=True)

        yield note
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("starting", total=total)
        yield lambda what: bars.update(bar, advance=1, description=escape(what))


class _Latest:
    """What was logged last, and at which step."""

    def __init__(self) -> None:
        self.step = 0
        self.logged: Mapping[str, float] = {}

    def hear(self, step: int, logged: Mapping[str, float]) -> None:
        if logged:
            self.step, self.logged = step, logged

    def text(self, now: int) -> str:
        """The values, and their step unless it is this one."""
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.logged.items())
        return values if not values or self.step == now else f"{values} (step {self.step:,})"


def _line(step: int, steps: int, logged: Mapping[str, float]) -> None:
    """Print what is logged at a step; where nothing is, nothing is new."""
    if logged:
        values = ", ".join(f"{name} {value:.4g}" for name, value in logged.items())
        click.echo(f"step {step:,} of {steps:,}: {values}", err=True)
