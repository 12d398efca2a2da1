"""Values that a saved adapter leaves out, because the spec, the seed and the base give them again."""

from __future__ import annotations

import torch
from torch import Tensor

from specdsl.errors import SpecCheckpointError
from specdsl.facts import depends_on_base
from specdsl.ir import Initial, Site, topological
from specdsl.runtime.adapter import Adapter
from specdsl.spec import Spec


def depends_on_base_values(adapter: Adapter) -> bool:
    """Whether something of the adapter is derived from the base's values, so that only the same weights will do."""
    constants = [node for member in adapter.members for node in member.layer.lowered.constants]
    return reads_base_values(adapter.spec) or any(isinstance(node, Site) for node in topological(constants))


def reads_base_values(spec: Spec) -> bool:
    """Whether something is derived from the base's values, so that only the same weights will do."""
    ir = spec.ir
    if any(factor.start is not None and depends_on_base(ir, factor.start) for factor in ir.factors.values()):
        return True
    nodes = topological([*ir.targets.values(), *(penalty.value for penalty in ir.penalties)])
    has_initial = any(isinstance(node, Initial) for node in nodes)
    derived = any(
        node.definition.name in ("svd", "qr", "ldu", "eigh", "pinv")
        and any(isinstance(n, Site) for n in topological([node]))
        for node in nodes
        if hasattr(node, "definition")
    )
    return derived or (has_initial and any(isinstance(node, Site) and node.name in ("W", "b") for node in nodes))


def sketches(adapter: Adapter) -> dict[str, list[float]]:
    """A few numbers for each of these values, to recognise it by when it is computed again."""
    return {name: _sketch(value) for name, value in _stored_values(adapter)}


def check_derived(adapter: Adapter, derived: dict[str, list[float]]) -> None:
    """Raise SpecCheckpointError unless the adapter's values are those whose sketches were saved."""
    found = dict(_stored_values(adapter))
    if found.keys() != derived.keys():
        raise SpecCheckpointError("this version of specdsl derives other values from the spec than were saved")
    for name, value in found.items():
        sketch, saved = _sketch(value), derived[name]
        scale = max(abs(saved[0]), 1e-12)
        if any(abs(a - b) > 1e-3 * scale for a, b in zip(sketch, saved, strict=True)):
            raise SpecCheckpointError(
                f"`{name}`, recomputed from the base, is not what the adapter was trained with",
                hint="singular vectors may differ between devices; load on the kind of device it was saved on",
            )


def _stored_values(adapter: Adapter) -> list[tuple[str, Tensor]]:
    """Frozen factors and constants: what comes back from the spec, the seed and the base."""
    found = []
    for member in adapter.members:
        for name, value in member.layer.own_factors():
            if not adapter.spec.ir.factors[name].is_trained:
                found.append((f"{member.name}/{name}", value))
        for position, node in enumerate(member.layer.lowered.constants):
            found.append((f"{member.name}/constant {position}", member.layer.read(node)))
    return found


def _sketch(value: Tensor) -> list[float]:
    """The norm and two weighted sums: equal values give equal sketches, other signs or orders do not."""
    plain = value.detach().cpu()
    flat = (torch.view_as_real(plain) if plain.is_complex() else plain).double().reshape(-1)
    place = torch.arange(flat.numel(), dtype=torch.float64)
    return [float(flat.norm()), float((flat * torch.cos(place)).sum()), float((flat * torch.sin(0.7 * place)).sum())]
