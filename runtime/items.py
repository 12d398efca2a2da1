"""What `on`, `except` and `train` name: an item is a role or a regular expression.

A spec is untrusted text, so a regular expression is bounded in length, in counted repeats and in the time
that matching may take; Python's own `re` cannot be stopped, hence `regex`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import regex  # type: ignore[import-untyped]
from torch import nn

from specdsl.errors import SpecTargetError
from specdsl.runtime.roles import SiteRow, answers
from specdsl.runtime.unmatched import explain_role, nearest_ending
from specdsl.source import Span

MAX_PATTERN = 500
MAX_REPEATS = 1000
MAX_SECONDS = 1.0


@dataclass(frozen=True)
class Item:
    """One name in `on`, `except` or `train`.

    Attributes:
        text: a role or a group of roles, with its tower or without (`attention.query`, `decoder.mlp`), or
            `re:PATTERN`, which must match the whole name of a module.
        span: where the spec says it; None for an item of the command line or the Python API.
    """

    text: str
    span: Span | None = None

    @classmethod
    def of(cls, item: Item | str) -> Item:
        return item if isinstance(item, Item) else cls(item)

    @property
    def pattern(self) -> str | None:
        return self.text.removeprefix("re:") if self.text.startswith("re:") else None

    def __str__(self) -> str:
        """As the user wrote it, in backquotes."""
        return f"`{self.text}`" if self.pattern is None else f"`{self.written(self.pattern)}`"

    def written(self, pattern: str) -> str:
        """A pattern as it is written where this item stands: a spec quotes it, the command line marks it."""
        return f'"{pattern}"' if self.span else f"re:{pattern}"


def matches(item: Item, model: nn.Module, rows: Sequence[SiteRow]) -> list[SiteRow]:
    """The rows that the item names, at least one; `rows` come from `locate(model)`.

    Raises:
        SpecTargetError: the item is neither a role nor a pattern, or nothing in the model answers to it.
    """
    if item.pattern is not None:
        return _named_like(item, item.pattern, [row for row in rows if row.name])
    found = [row for row in rows if answers(row.role, item.text)]
    if not found:
        message, hint = explain_role(item.text, model, rows, item.written)
        raise SpecTargetError(message, item.span, hint)
    return found


def _named_like(item: Item, pattern: str, rows: Sequence[SiteRow]) -> list[SiteRow]:
    compiled = _compiled(item, pattern)
    try:
        whole = _accepted(compiled.fullmatch, rows)
        part = [] if whole else _accepted(compiled.search, rows)
    except TimeoutError:
        slow = f"{item} takes more than a second to match"
        raise SpecTargetError(slow, item.span, "a repeat inside a repeat is the usual cause") from None
    if not whole:
        near = nearest_ending(pattern, rows)
        hint = f"it must match a whole name, such as `{part[0].name}`" if part else near
        raise SpecTargetError(f"{item} matches the name of no module", item.span, hint)
    return whole


def _accepted(matcher: Callable[..., object], rows: Sequence[SiteRow]) -> list[SiteRow]:
    """The rows whose name the matcher takes, within `MAX_SECONDS` for all of them together."""
    deadline = time.monotonic() + MAX_SECONDS
    return [row for row in rows if matcher(row.name, timeout=max(deadline - time.monotonic(), 1e-3))]


def _compiled(item: Item, pattern: str) -> regex.Pattern[str]:
    if len(pattern) > MAX_PATTERN:
        problem = f"a regular expression of {len(pattern)} characters is too long: {MAX_PATTERN} are allowed"
        raise SpecTargetError(problem, item.span)
    # Compiling unrolls counted repeats, so that ten characters could ask for gigabytes.
    counts = re.findall(r"\{[^{}]*?(\d+)\s*\}", pattern)
    if prod(max(int(count[:9]), 1) for count in counts) > MAX_REPEATS:
        raise SpecTargetError(f"{item} asks for more than {MAX_REPEATS} repeats", item.span)
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise SpecTargetError(f"{item} is not a regular expression: {error}", item.span) from None
