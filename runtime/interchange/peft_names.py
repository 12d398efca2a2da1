"""What PEFT calls the modules that it adapts.

A module that it wraps keeps its own modules under `base_layer`. Of an `nn.MultiheadAttention` it adapts the projection
of the inputs, under the name of the attention, and that of the output. The update of the latter it adds twice (as of
release 0.21): once to the weight, and once more by merging the wrapper of that weight.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from torch import Tensor, nn

from specdsl.errors import SpecCheckpointError
from specdsl.lowering.sites import LayerSite, ParameterSite
from specdsl.runtime.interchange.tensor_checks import check_factor

WRAPPED = ".base_layer"
INPUTS, OUTPUT = ".in_proj_weight", ".out_proj"
LORA_KEYS = frozenset({"lora_A.weight", "lora_B.weight"})
"""The tensors of the one method that PEFT has for an attention."""


def names_here(theirs: Iterable[str]) -> dict[str, str]:
    """The names of PEFT's modules in the model without PEFT.

    >>> names_here(["h.0.attn", "h.0.attn.base_layer.out_proj", "head"])
    {'h.0.attn': 'h.0.attn.in_proj_weight', 'h.0.attn.base_layer.out_proj': 'h.0.attn.out_proj', 'head': 'head'}
    """
    names = list(theirs)
    return {
        name: f"{name}{INPUTS}" if f"{name}{WRAPPED}{OUTPUT}" in names else name.replace(WRAPPED, "") for name in names
    }


def owner_of(name: str, site: LayerSite) -> str:
    """The module that PEFT's patterns have to match: of a parameter of an attention the attention."""
    return name.removesuffix(INPUTS).removesuffix(OUTPUT) if isinstance(site, ParameterSite) else name


def name_there(name: str, site: LayerSite, keys: Collection[str], model: nn.Module, adapted: Collection[str]) -> str:
    """The name of an adapted module in PEFT.

    Args:
        name, site: the module.
        keys: its tensors there.
        model: the model.
        adapted: the names of all adapted modules.

    Raises:
        SpecCheckpointError: it is a parameter that PEFT does not adapt.
    """
    if not isinstance(site, ParameterSite):
        return name
    owner = owner_of(name, site)
    is_attention = owner != name and isinstance(model.get_submodule(owner), nn.MultiheadAttention)
    if not is_attention or not {f"{owner}{INPUTS}", f"{owner}{OUTPUT}"} <= set(adapted) or set(keys) != LORA_KEYS:
        raise SpecCheckpointError(
            f"`{name}` is a parameter that its owner reads, and PEFT adapts none by this method",
            hint="of an `nn.MultiheadAttention` it has LoRA on `in_proj_weight` and `out_proj` together",
        )
    return owner if name.endswith(INPUTS) else f"{owner}{WRAPPED}{OUTPUT}"


def counted_there(name: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a module of PEFT's, so that their update is what PEFT adds in all.

    Raises:
        SpecCheckpointError: a tensor that has to be doubled holds no numbers.
    """
    found = dict(values)
    for key in (key for key in values if _is_second(name, key)):
        check_factor(f"{name}.{key}", values[key])
        found[key] = values[key] * 2
    return found


def counted_here(name: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `counted_there`."""
    return {key: value / 2 if _is_second(name, key) else value for key, value in values.items()}


def _is_second(name: str, key: str) -> bool:
    return name.endswith(f"{WRAPPED}{OUTPUT}") and key == "lora_B.weight"
