"""Which rows a cache was made with: what it holds of the tokens depends on the rows that they saw.

The rows are noted on the cache itself, since it is all that goes from one pass to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from transformers import Cache

from specdsl.errors import SpecSettingError
from specdsl.lowering.module_adapters import ModuleAdapters

AddedRows = tuple[tuple[str, str, int], ...]
"""`prompt` or `prefix`, the adapter's name, and how many rows it adds; for every adapter that does."""

_NOTE = "specdsl_rows"


def rows_of(kind: str, states: Iterable[ModuleAdapters]) -> Iterator[tuple[str, str, int]]:
    """The rows that the running adapters of some modules add."""
    for state in states:
        for name in state.running:
            rows = state.running_adapter(name).lowered.added_rows
            if rows:
                yield kind, name, rows


def check_cache(past: Any, rows: AddedRows) -> None:
    """Note the rows of a pass on the cache that it begins with, if that is empty; else compare them.

    Args:
        past: the cache, or None.
        rows: those of this pass.

    Raises:
        SpecSettingError: the cache was made with other rows.
    """
    before: AddedRows = getattr(past, _NOTE, ())
    if past is None or before == rows:
        return
    if not int(past.get_seq_length()):
        setattr(past, _NOTE, rows)
    else:
        raise SpecSettingError(
            f"the cache was made with {_text(before)} in front of the tokens, but this pass has {_text(rows)}",
            hint="begin with an empty cache after an adapter was switched on or off",
        )


def note_rows(output: Any, rows: AddedRows) -> None:
    """Note the rows of a pass on a cache that the model has made in it."""
    values = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    for value in values:
        if isinstance(value, Cache) and not hasattr(value, _NOTE):
            setattr(value, _NOTE, rows)


def _text(rows: AddedRows) -> str:
    return " and ".join(f"the {count} rows of the {kind} `{name}`" for kind, name, count in rows) or "no added rows"
