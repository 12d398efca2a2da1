"""What specs were lowered to, kept as long as it is used: attaching a spec again to equal layers plans nothing anew."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from specdsl.ir import SpecIR
from specdsl.lowering.layer_adapter import Lowered

_KEPT: weakref.WeakValueDictionary[Hashable, Lowered] = weakref.WeakValueDictionary()


def kept_lowering(
    ir: SpecIR, environments: Sequence[Mapping[str, Any]], layer: Hashable, lower: Callable[[], Lowered]
) -> Lowered:
    """The lowered form of a spec in one kind of layer, made by `lower` if there is none.

    Args:
        ir: the spec. It is known by identity, which lasts as long as a lowered form of it.
        environments: the sizes of all adapted modules, which a spec may read (`max(layers(n))`).
        layer: type and sizes of the layer.
        lower: makes it.
    """
    everywhere = tuple(tuple(sorted(environment.items())) for environment in environments)
    key = (id(ir), everywhere, layer)
    found = _KEPT.get(key)
    if found is None:
        found = _KEPT[key] = lower()
    return found
