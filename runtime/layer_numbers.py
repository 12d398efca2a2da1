"""The numbers of blocks that `layers` names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from specdsl.errors import SpecTargetError
from specdsl.runtime.items import Item
from specdsl.runtime.roles import SiteRow


def check_layers(
    layers: Sequence[int] | None, rows: Sequence[SiteRow], named: Sequence[tuple[Item, Sequence[SiteRow]]]
) -> list[SpecTargetError]:
    """The errors of `layers`: a number that no block has, else an item that is in none of them."""
    if layers is None:
        return []
    present = {row.layer for row in rows if row.layer is not None}
    wrong = set(layers) - present
    if wrong and not present:
        return [SpecTargetError("this model has no numbered layers")]
    if wrong:
        hint = f"its layers are {ranges(present)}"
        return [SpecTargetError(f"this model has no layer {ranges(wrong)}", hint=hint)]
    return [
        SpecTargetError(f"{item} names nothing in layers {ranges(layers)}", item.span, _where(found))
        for item, found in named
        if all(row.layer not in layers for row in found)
    ]


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as a spec writes them.

    >>> ranges([7, 0, 1, 2, 5, 8])
    '0..2, 5, 7..8'
    """
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][-1] == number - 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("..".join(map(str, run)) for run in runs)


def _where(found: Sequence[SiteRow]) -> str:
    numbers = {row.layer for row in found if row.layer is not None}
    return f"it is in layers {ranges(numbers)}" if numbers else "it is outside the numbered layers"
