"""`specdsl equiv SPEC --library`: one spec against every method of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from specdsl.cli.columns import columns
from specdsl.cli.progress import counting
from specdsl.cli.reporting import print_json
from specdsl.printing.counted import counted
from specdsl.spec import Spec

if TYPE_CHECKING:
    from specdsl.equivalence.atlas.cell import Cell
    from specdsl.equivalence.verdict import Sense

BUDGET = 2.0
"""Seconds for each pair where none is said."""
UNDECIDED = "undecided"
_GROUPS = ("equals", "equals, but starts differently", "contained in", "contains", "translate of", "by shape")


def compare_with_library(
    spec: Spec, sense: Sense, conditions: tuple[Sequence[str], Sequence[str], Mapping[str, int]],
    budget: float | None, show_all: bool, as_json: bool,
) -> int:  # fmt: skip
    """Print what the library has of a spec; the exit code is 0 if something is equal, 1 if not, 3 if undecided."""
    from specdsl.equivalence.atlas.method import library_methods
    from specdsl.equivalence.atlas.pairs import decide

    assume, where, shape = conditions
    methods = list(library_methods())
    seconds = budget or BUDGET
    click.echo(f"comparing with {len(methods)} methods, {seconds:g} s for each", err=True)
    cells: dict[str, Cell] = {}
    with counting(len(methods)) as advance:
        for method in methods:
            cells[method.name] = decide(spec, method.spec, seconds, assume=assume, where=where, shape=shape or None)
            advance(method.name)
    if as_json:
        print_json(_as_dict(spec, cells))
    else:
        titles = {method.name: method.spec.title or "" for method in methods}
        click.echo("\n".join(_lines(spec, cells, titles, show_all)))
    equal = [cell.is_equal(sense) for cell in cells.values()]
    return 0 if True in equal else 3 if None in equal else 1


def group_of(cell: Cell) -> str:
    """Under which heading a pair is listed; empty where the two are incomparable.

    >>> from specdsl.equivalence.atlas.cell import Cell
    >>> group_of(Cell(set="=", kernel="different")), group_of(Cell(set="<")), group_of(Cell(set="x"))
    ('equals, but starts differently', 'contained in', '')
    """
    if cell.set == "=":
        return _GROUPS[1] if cell.kernel not in ("same", "?") else _GROUPS[0]
    if cell.set in ("<", ">"):
        return _GROUPS[2] if cell.set == "<" else _GROUPS[3]
    if cell.translate:
        return _GROUPS[4]
    if cell.set == "?":
        return _GROUPS[5] if cell.by_shape else UNDECIDED
    return ""


def _lines(spec: Spec, cells: Mapping[str, Cell], titles: Mapping[str, str], show_all: bool) -> list[str]:
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for name, cell in cells.items():
        group = group_of(cell)
        how = cell.reason if group == UNDECIDED else _how(cell)
        groups.setdefault(group, []).append((name, titles[name], how))
    lines = [f"{spec.label} and {counted(len(cells), 'method')} of the library"]
    for group in _GROUPS:
        if group in groups:
            lines += ["", group, *columns(groups[group])]
    open_ones = groups.get(UNDECIDED, [])
    if show_all and open_ones:
        lines += ["", UNDECIDED, *columns(open_ones)]
    apart = len(groups.get("", []))
    hint = "" if show_all or not open_ones else "; --all lists them"
    return [*lines, "", f"incomparable with {apart}, undecided with {len(open_ones)}{hint}"]


def _how(cell: Cell) -> str:
    if cell.translate and cell.set not in ("=", "<", ">"):
        return "neither contains the other" if cell.set == "x" else "whether one contains the other is unknown"
    said = [cell.set_status]
    said += [f"{shape}: {one}" for shape, one in cell.by_shape.items()]
    if cell.set == "=":
        detail = (
            f" ({cell.direction})"
            if cell.direction
            else f" ({cell.ratio} : 1)"
            if cell.ratio not in (None, "1")
            else ""
        )
        said.append("start unknown" if cell.kernel == "?" else f"kernel {cell.kernel}{detail}")
    return ", ".join(said)


def _as_dict(spec: Spec, cells: Mapping[str, Cell]) -> dict[str, Any]:
    entries = [
        {"method": name, "group": group_of(cell) or "incomparable", **cell.as_dict()} for name, cell in cells.items()
    ]
    return {"spec": spec.label, "methods": entries}
