"""A property of adapters: a function with a name and a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from specdsl.runtime.conform.case import Case
from specdsl.runtime.conform.outcome import Outcome


@dataclass(frozen=True)
class Property:
    """What has to hold of a spec in every case.

    Attributes:
        name: a few words.
        sentence: what holds.
        check: measures it.
    """

    name: str
    sentence: str
    check: Callable[[Case], Outcome]


def states(check: Callable[[Case], Outcome]) -> Property:
    """The property that a function measures: its name in words, its docstring as the sentence."""
    return Property(check.__name__.replace("_", " "), (check.__doc__ or "").strip(), check)
