"""Modules that hold one weight, such as an embedding and the output layer of many language models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from specdsl.lowering.sites import HeldParameter, site_of
from specdsl.lowering.sites.embedding import EmbeddingSite
from specdsl.lowering.sites.linear import LinearSite, TransposedLinearSite
from specdsl.lowering.sites.parameter import stored
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
    if isinstance(module, HeldParameter):
        weight: Any = module.weight
    else:
        weight = stored(module, "weight") if site_of(module) is not None else None
    if not isinstance(weight, torch.Tensor):
        return None
    return weight.untyped_storage()._cdata, weight.storage_offset(), weight.shape


def tied_module(first: nn.Module, other: nn.Module) -> nn.Module | None:
    """What of `other`, which holds the weight of `first`, takes the factors of `first`.

    The module itself where it is of the same type. An output layer reads the table of an embedding as its transpose:
    there it is the weight alone, held as the W of `first`. None where the two have nothing to do with each other.
    """
    is_transposed = _is_transposed(first)
    if type(first) is type(other) and _is_transposed(other) == is_transposed:
        return other
    if is_transposed is None or _is_transposed(other) is None:
        return None
    if isinstance(other, HeldParameter):
        return HeldParameter(other.owner, other.attribute, is_transposed=is_transposed)
    return HeldParameter(other, "weight", is_transposed=is_transposed)


def _is_transposed(module: nn.Module) -> bool | None:
    """Whether the weight is held as outputs x inputs; None where it is no plain matrix."""
    if isinstance(module, HeldParameter):
        return module.is_transposed
    site = site_of(module)
    if isinstance(site, LinearSite):
        return True
    return False if isinstance(site, EmbeddingSite | TransposedLinearSite) else None
