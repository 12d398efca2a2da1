"""Modules that hold one weight, such as an embedding and the output layer of many language models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from specdsl.runtime.roles import SiteRow


def tied_groups(rows: Sequence[SiteRow]) -> dict[str, list[SiteRow]]:
    """For each module with a weight, by name: all modules with the same weight, itself among them."""
    groups: dict[object, list[SiteRow]] = {}
    weighted = [(row, key) for row in rows if (key := _weight(row.module)) is not None]
    for row, key in weighted:
        groups.setdefault(key, []).append(row)
    return {row.name: groups[key] for row, key in weighted}


def _weight(module: nn.Module) -> object:
    """Equal for equal memory. The storage itself is compared, as its address is 0 on the meta device."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor):
        return None
    return weight.untyped_storage()._cdata, weight.storage_offset(), weight.shape
