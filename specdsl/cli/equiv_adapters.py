"""`specdsl equiv --adapter`: whether two trained adapters compute the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from specdsl.cli.base_model import head_for
from specdsl.cli.columns import columns
from specdsl.cli.progress import working
from specdsl.cli.reporting import print_json

if TYPE_CHECKING:
    from specdsl.runtime.adapter_comparison import ModuleDifference

SAME = 0
DIFFERENT = 1


def compare_adapters(
    a: Path, b: Path, model: str | None, task: str | None, num_labels: int | None, as_json: bool
) -> int:  # fmt: skip
    """Print the relative difference of every module; the exit code is 0 if all are the same, else 1."""
    with working("comparing"):
        from specdsl.runtime.adapter_comparison import TOLERANCE, compare_updates
        from specdsl.runtime.models import load_model

        base = None
        if model is not None:
            task, num_labels = head_for((a, b), task, num_labels)
            base = load_model(model, task=task, num_labels=num_labels).model
        rows = compare_updates(a, b, base)
    same = all(row.is_same for row in rows)
    if as_json:
        entries = [
            {
                "module": row.name, "shape": row.shape, "largest": row.largest, "difference": row.difference,
                "missing": row.missing, "same": row.is_same,
            }
            for row in rows
        ]  # fmt: skip
        print_json({"a": str(a), "b": str(b), "same": same, "tolerance": TOLERANCE, "modules": entries})
    else:
        click.echo("\n".join(_lines(a, b, rows, same)))
    return SAME if same else DIFFERENT


def _lines(a: Path, b: Path, rows: list[ModuleDifference], same: bool) -> list[str]:
    table = [("module", "shape", "largest", "difference", "")]
    table += [
        (row.name, row.shape, f"{row.largest:.3g}", f"{row.difference:.2g}", _remark(row)) for row in rows
    ]  # fmt: skip
    worst = max((row.difference for row in rows), default=0.0)
    said = "the same weights" if same else "different weights"
    apart = sum(not row.is_same for row in rows)
    count = "" if same else f" in {apart} of {len(rows)}"
    return [f"a: {a}", f"b: {b}", *columns(table), f"{said}{count}, largest relative difference {worst:.2g}"]


def _remark(row: ModuleDifference) -> str:
    if row.missing:
        return f"not adapted by {row.missing}"
    return "" if row.is_same else "different"
