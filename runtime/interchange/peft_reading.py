"""What a PEFT adapter says: which rows of the table its modules follow, and which tensors belong to what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from specdsl.errors import SpecCheckpointError
from specdsl.lowering.sites import LayerSite, ParameterSite, site_of
from specdsl.runtime.interchange.correspondence import Correspondence, Fields
from specdsl.runtime.interchange.factors import fits
from specdsl.runtime.interchange.peft_fields import shown
from specdsl.runtime.interchange.peft_methods import METHODS
from specdsl.runtime.interchange.peft_names import LORA_KEYS, WRAPPED, counted_there, names_here, owner_of
from specdsl.runtime.interchange.peft_patterns import fields_at
from specdsl.runtime.interchange.tensor_checks import check_factor, check_like
from specdsl.runtime.roles import named_layers

MODEL = "base_model."
MODULES = "base_model.model."
COMMON = frozenset({
    "peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode",
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save", "fan_in_fan_out",
    "bias", "trainable", "library_name",
})  # fmt: skip
"""Fields that every method has; the tensors' names tell which modules they chose."""


@dataclass
class PeftModule:
    """One adapted module.

    Attributes:
        row: of the table of methods.
        site: the module of the model.
        tensors: its own by key, and the shared ones.
        fields: its configuration.
    """

    row: Correspondence
    site: LayerSite
    tensors: dict[str, Tensor]
    fields: Fields


@dataclass
class PeftReading:
    """A PEFT adapter laid over a model.

    Attributes:
        fields: its configuration.
        names: of all modules of the model.
        modules: the adapted modules by name.
        biases: biases of the base that were trained, by module.
        whole: the tensors of modules that were trained whole, by module and name.
    """

    fields: Fields
    names: frozenset[str]
    modules: dict[str, PeftModule] = field(default_factory=dict)
    biases: dict[str, Tensor] = field(default_factory=dict)
    whole: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def reading_of(model: nn.Module, fields: Fields, tensors: Mapping[str, Tensor]) -> PeftReading:
    """Sort the tensors of a PEFT adapter by what they belong to.

    Raises:
        SpecCheckpointError: a field or tensor has no counterpart here, or the model lacks a module.
    """
    rows = rows_for(fields)
    own, rest = by_module(rows, tensors)
    sites = {name: site_of(module) for name, module in named_layers(model)}
    found = PeftReading(fields, frozenset(sites))
    shared = {key: tensors[f"{MODEL}{key}"] for key in _keys(rows, shared=True) if f"{MODEL}{key}" in tensors}
    for name, values in own.items():
        site = sites.get(name)
        if site is None:
            raise _not_there(model, name, sites)
        if isinstance(site, ParameterSite) and values.keys() != LORA_KEYS:
            keys = ", ".join(f"`{key}`" for key in sorted(values))
            raise SpecCheckpointError(f"`{name}`, of an attention, has the tensors {keys}; only LoRA's are known there")
        values |= shared
        row = next((row for row in rows if fits(row, site.kind, values)), None)
        if row is None:
            keys = ", ".join(f"`{key}`" for key in sorted(values))
            raise SpecCheckpointError(f"`{name}`, a {site.kind}, has the tensors {keys}, which no spec is known for")
        for part in row.parts_of(site.kind):
            check_factor(f"{MODEL if part.is_shared else f'{MODULES}{name}.'}{part.key}", values[part.key])
        found.modules[name] = PeftModule(row, site, values, fields_at(row, fields, owner_of(name, site)))
    for name, value in rest.items():
        if not name.startswith(MODEL) or name.removeprefix(MODEL) not in shared:
            _sort(found, model, name, value)
    if not found.modules:
        raise SpecCheckpointError("the adapter holds no factors")
    return found


def _not_there(model: nn.Module, name: str, sites: Collection[str]) -> SpecCheckpointError:
    """That a module of the adapter is not one of the model's, or none that a spec can adapt."""
    what = "cannot carry a spec" if name in sites else f"is not in this {type(model).__name__}"
    hint = "load its own base model"
    if name.partition(".")[2] in sites:  # `bert.encoder...` of a model with a head, of which this is the inner one
        hint = "load its base with the head that it was trained with, as `--task classification` does"
    return SpecCheckpointError(f"`{name}`, which the adapter adapts, {what}", hint=hint)


def rows_for(fields: Fields) -> list[Correspondence]:
    """The rows of the table whose conditions a configuration meets.

    Raises:
        SpecCheckpointError: the method, or a field of it, has no counterpart here.
    """
    kind = str(fields["peft_type"])
    rows = [row for row in METHODS if row.peft_type == kind]
    if not rows:
        known = ", ".join(dict.fromkeys(row.peft_type for row in METHODS))
        raise SpecCheckpointError(f"no spec is known for `peft_type` = {kind!r}", hint=f"those of {known} are read")
    missed = [[name for name, values in row.when.items() if not _meets(fields.get(name), values)] for row in rows]
    fitting = [row for row, names in zip(rows, missed, strict=True) if not names]
    if not fitting:
        raise _unsupported(fields, min(missed, key=len)[0])
    known_fields = COMMON.union(*(row.fields for row in fitting))
    for name, value in fields.items():
        if value and name not in known_fields:
            raise _unsupported(fields, name)
    if fields.get("bias") not in (None, "none", "all", f"{kind.lower()}_only"):
        raise _unsupported(fields, "bias")
    return fitting


def _meets(value: Any, allowed: tuple[Any, ...]) -> bool:
    return value in allowed if allowed else not value


def _unsupported(fields: Fields, name: str) -> SpecCheckpointError:
    return SpecCheckpointError(
        f"`{name}` = {shown(fields.get(name))} of a {fields['peft_type']} adapter is not supported"
    )


def _keys(rows: Iterable[Correspondence], shared: bool) -> set[str]:
    parts = [part for row in rows for kind in row.parts.values() for part in kind]
    keys = {part.key for part in parts if part.is_shared == shared}
    return keys if shared else keys | {place.key for row in rows for place in row.places if place.key}


def by_module(
    rows: Sequence[Correspondence], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """The tensors with keys of the table, by module, and the others."""
    own: dict[str, dict[str, Tensor]] = {}
    rest: dict[str, Tensor] = {}
    keys = sorted(_keys(rows, shared=False), key=len, reverse=True)
    for name, value in tensors.items():
        key = next((key for key in keys if name.startswith(MODULES) and name.endswith(f".{key}")), None)
        if key is None:
            rest[name] = value
        else:
            own.setdefault(name.removeprefix(MODULES).removesuffix(f".{key}"), {})[key] = value
    names = names_here(own)
    return {names[name]: counted_there(name, values) for name, values in own.items()}, rest


def _sort(found: PeftReading, model: nn.Module, name: str, value: Tensor) -> None:
    """A tensor that is no factor: of a module trained whole, a trained bias, or the base's own table."""
    place, _, attribute = name.removeprefix(MODULES).rpartition(".")
    for module, trained in model.named_modules():
        if _is_saved(module, found.fields) and f"{place}.".startswith(f"{module}."):
            key = f"{place}.{attribute}"[len(module) + 1 :]
            if key in dict(trained.named_parameters()):
                check_factor(name, value)
            found.whole.setdefault(module, {})[key] = value
            return
    module = place.replace(WRAPPED, "")
    own = dict(model.named_parameters(remove_duplicate=False)).get(f"{module}.{attribute}")
    if attribute == "bias" and found.fields.get("bias") not in (None, "none") and own is not None:
        check_factor(name, value)
        check_like(name, value, own)
        found.biases[module] = value
    elif own is None or own.shape != value.shape or value.is_complex() or not (own == value.to(own)).all():
        raise SpecCheckpointError(f"the adapter holds `{name}`, which is neither a factor nor the base's own value")


def _is_saved(module: str, fields: Fields) -> bool:
    names = fields.get("modules_to_save") or ()
    return any(module == name or module.endswith(f".{name}") for name in names)
