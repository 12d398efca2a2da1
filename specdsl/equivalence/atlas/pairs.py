"""Deciding many pairs, one after the other or in several processes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from types import FrameType
from typing import Any

from specdsl.equivalence.atlas.cell import Cell
from specdsl.equivalence.atlas.method import Method
from specdsl.errors import SpecError
from specdsl.spec import Spec

Pair = tuple[Method, Method]
_GRACE = 3.0
"""A pair that does not end by itself is stopped after this many times its budget."""


def decide(a: Spec, b: Spec, budget: float | None, **conditions: Any) -> Cell:
    """What is known of two specs; those that cannot be compared are unknown, with the reason."""
    from specdsl.equivalence.decide import equivalent

    try:
        with _stopped_after(None if budget is None else _GRACE * budget):
            return Cell.of(equivalent(a, b, budget=budget, with_evidence=False, **conditions))
    except SpecError as error:
        return Cell(reason=error.message)
    except _TookTooLong:
        return Cell(reason=f"not decided in {_GRACE * (budget or 0):g} s", seconds=_GRACE * (budget or 0))


def decide_all(pairs: Sequence[Pair], budget: float | None, jobs: int) -> Iterator[tuple[Pair, Cell]]:
    """Every pair with what is known of it, as soon as that is known.

    Args:
        pairs: the methods to compare.
        budget: seconds for each pair.
        jobs: processes; with 1 all is done here.
    """
    if jobs <= 1 or len(pairs) < 2:
        for pair in pairs:
            yield _decided(pair, budget)
        return
    # New processes start afresh, so that no thread of this one is copied into them half way.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        rest = iter(pairs)
        running: set[Future[tuple[Pair, Cell]]] = set()
        try:
            running = {pool.submit(_decided, pair, budget) for pair in islice(rest, 4 * jobs)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    yield one.result()
                running |= {pool.submit(_decided, pair, budget) for pair in islice(rest, len(done))}
        finally:
            for one in running:
                one.cancel()


def _decided(pair: Pair, budget: float | None) -> tuple[Pair, Cell]:
    a, b = pair
    try:
        return pair, decide(a.spec, b.spec, budget)
    except Exception as error:
        error.add_note(f"while `{a.name}` was compared with `{b.name}`")
        raise


class _TookTooLong(Exception):
    pass


@contextmanager
def _stopped_after(seconds: float | None) -> Iterator[None]:
    """End what runs too long, where signals can do so."""
    can_stop = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not can_stop:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
