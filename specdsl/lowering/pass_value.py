"""Values of one pass through a model that a later module of the same pass reads.

They cannot go through the arguments, since modules of somebody else stand between. Every thread has its own, so that
one adapted model may run in several at once.
"""

from __future__ import annotations

from threading import Thread, current_thread
from typing import Any, Generic, TypeVar

from specdsl.errors import SpecSettingError

Value = TypeVar("Value")


class PassValue(Generic[Value]):
    """A value for each thread that runs the model; a copy or a pickle of it begins empty.

    >>> rows = PassValue[int]()
    >>> rows.put(3)
    >>> rows.get(), rows.take(), rows.take()
    (3, 3, None)
    """

    def __init__(self) -> None:
        self._held: dict[Thread, Value] = {}

    def put(self, value: Value) -> None:
        """Hold the value for the pass of this thread."""
        for thread in list(self._held):
            if not thread.is_alive():
                self._held.pop(thread, None)
        self._held[current_thread()] = value

    def take(self) -> Value | None:
        """The value of this thread's pass, once; None where there is none."""
        return self._held.pop(current_thread(), None)

    def get(self) -> Value | None:
        """The value of this thread's pass, or the only one there is: blocks may be recomputed in a thread of backward.

        Raises:
            SpecSettingError: there are several, and none of them is this thread's.
        """
        held, own = dict(self._held), current_thread()
        if own in held or not held:
            return held.get(own)
        if len(held) > 1:
            raise SpecSettingError(
                f"{len(held)} threads run this model at once, and a pass in none of them asks which tokens are padding",
                hint="gradient checkpointing recomputes blocks in another thread: train in one thread at a time",
            )
        return next(iter(held.values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return PassValue, ()
