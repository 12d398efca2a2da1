"""The tensors of one module there as the factors of a spec here, and back, as a row of the table says."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from specdsl.lowering.sites import LayerSite
from specdsl.operators.axis_patterns import Rearrangement
from specdsl.runtime.interchange.correspondence import Correspondence, Fields, Part, Sizes
from specdsl.runtime.interchange.layout import opposite, turned
from specdsl.runtime.interchange.tensor_checks import check_like

Tensors = Mapping[str, Tensor]
"""The tensors of one module (and the shared ones) by their keys there."""


def fits(row: Correspondence, kind: str, tensors: Tensors) -> bool:
    """Whether the tensors are those of a module of this kind, all of them and no others."""
    parts = row.parts_of(kind)
    places = {place.key for place in row.places if place.key}
    wanted = {part.key for part in parts} | places
    return bool(parts) and wanted == tensors.keys() and all(_fits(part, tensors) for part in parts)


def _fits(part: Part, tensors: Tensors) -> bool:
    left, shape = Rearrangement.read(part.layout).left, tensors[part.key].shape
    return len(left) == len(shape) and all(size == 1 for axis, size in zip(left, shape, strict=True) if not axis)


def axis_sizes(row: Correspondence, kind: str, tensors: Tensors) -> dict[str, int]:
    """The sizes of the named axes of a module's tensors."""
    found: dict[str, int] = {}
    for part in row.parts_of(kind):
        axes = zip(Rearrangement.read(part.layout).left, tensors[part.key].shape, strict=True)
        found |= {axis[0]: size for axis, size in axes if len(axis) == 1}
    return found


def factors_of(row: Correspondence, fields: Fields, site: LayerSite, tensors: Tensors) -> dict[str, Tensor]:
    """The factors of one module: views of its tensors, through which gradients flow, and the places of its indices.

    Raises:
        SpecCheckpointError: places that are none, or a tensor that cannot be compared with the base's own.
    """
    found: dict[str, Tensor] = {}
    for part in row.parts_of(site.kind):
        value = turned(tensors[part.key], part.layout, site.sizes)
        value = value if part.scale == 1 else value * part.scale
        if part.above:
            own = _above(part, site).to(value)
            check_like(part.key, value, own)
            value = value - own
        found[part.factor] = value
    for place in row.places:
        found[place.factor] = place.read(fields, tensors.get(place.key), site.sizes)
    return found


def tensors_of(row: Correspondence, site: LayerSite, factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one module there, by key; the inverse of `factors_of`."""
    found: dict[str, Tensor] = {}
    sizes: Sizes = site.sizes
    for part in row.parts_of(site.kind):
        value = factors[part.factor]
        value = value + _above(part, site).to(value) if part.above else value
        found[part.key] = turned(value if part.scale == 1 else value / part.scale, opposite(part.layout), sizes)
    for place in row.places:
        if place.write is not None:
            found[place.key] = place.write(factors[place.factor], sizes)
    return found


def _above(part: Part, site: LayerSite) -> Tensor:
    """What the base has there already: its bias, or the diagonal of W."""
    if part.above == "W":
        return site.matrix(site.weight).detach()
    return torch.zeros(site.sizes["m"]) if site.bias is None else site.bias.detach()
