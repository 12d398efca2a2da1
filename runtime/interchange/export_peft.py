"""An adapter of specdsl as a folder that Hugging Face PEFT loads, where its spec is a method that PEFT has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specdsl.errors import SpecCheckpointError
from specdsl.ir import Initial, SpecIR, topological
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.interchange.correspondence import Correspondence
from specdsl.runtime.interchange.factors import tensors_of
from specdsl.runtime.interchange.peft_folder import write_folder
from specdsl.runtime.interchange.peft_methods import METHODS
from specdsl.runtime.interchange.peft_names import WRAPPED, counted_here, name_there, owner_of
from specdsl.runtime.interchange.peft_patterns import fields_at
from specdsl.runtime.interchange.peft_reading import MODEL, MODULES
from specdsl.runtime.interchange.peft_spec import numbered, numbered_text, text_of
from specdsl.runtime.member import Member
from specdsl.spec import parse_text


def export_peft(adapter: Adapter, folder: str | Path) -> Path:
    """Write an adapter as PEFT saves its own: `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        SpecCheckpointError: PEFT has no method of this formula, or cannot hold a value of the adapter.
        SpecFileError: the folder is not empty, or cannot be written.
    """
    if not adapter.is_attached:
        raise SpecCheckpointError(
            f"the adapter `{adapter.name}` is not attached any more", hint="export before `detach`"
        )
    rows = {member.name: _row(adapter, member) for member in adapter.members}
    kinds = {found.row.peft_type for found in rows.values()}
    if len(kinds) > 1:
        raise SpecCheckpointError(f"the modules follow {' and '.join(sorted(kinds))}, which PEFT does not hold in one")
    names = {member.name: _name(adapter, member, rows[member.name].row) for member in adapter.members}
    fields = _fields(adapter, rows, names.values())
    tensors: dict[str, Tensor] = {}
    for member in adapter.members:
        row = rows[member.name].row
        _check(row, fields_at(row, fields, owner_of(member.name, member.base_site)), member)
        shared = {part.key for part in row.parts_of(member.base_site.kind) if part.is_shared}
        name = names[member.name]
        for key, value in counted_here(name, tensors_of(row, member.base_site, _factors(member))).items():
            tensors[f"{MODEL}{key}" if key in shared else f"{MODULES}{name}.{key}"] = value
    for place, module in adapter.survey.trained_whole:
        tensors |= {f"{MODULES}{place}.{name}": value for name, value in module.state_dict().items()}
    return write_folder(folder, fields, tensors)


@dataclass(frozen=True)
class Followed:
    """The row of the table that a module follows, the switches of its configuration that are on, and its group."""

    row: Correspondence
    switches: frozenset[str]
    number: int


def _row(adapter: Adapter, member: Member) -> Followed:
    ir, kind = member.layer.lowered.ir, member.base_site.kind
    rows = [row for row in METHODS if row.parts_of(kind) and member.base_site.stack is None]
    ends = (re.search(r"_(\d{1,4})$", name) for name in adapter.spec.hyperparameters)
    numbers = sorted({1, *(int(end[1]) for end in ends if end)})
    for exactly, number, row in product((True, False), numbers, rows):
        for switches in _subsets(row.exchange):
            if _is_same(ir, _meaning(METHODS.index(row), switches, number), exactly):
                return Followed(row, switches, number)
    names = ", ".join(dict.fromkeys(row.spec for row in METHODS))
    raise SpecCheckpointError(
        f"PEFT has no method with the formula of `{adapter.spec.label}` on `{member.name}`, a {kind}",
        hint=f"those of {names} can be exported",
    )


def _subsets(names: Mapping[str, Any]) -> Iterator[frozenset[str]]:
    yield from map(frozenset, chain.from_iterable(combinations(names, size) for size in range(len(names) + 1)))


@cache
def _meaning(place: int, switches: frozenset[str], number: int) -> SpecIR:
    text, name = text_of(METHODS[place], dict.fromkeys(switches, True))
    spec = parse_text(text, name)
    return spec.ir if number == 1 else parse_text(numbered_text(spec, number), name).ir


def _is_same(ours: SpecIR, theirs: SpecIR, exactly: bool) -> bool:
    """Whether two specs are one formula over factors of the same shapes; starts count where it reads them.

    Not exactly, a factor may be frozen in one of them and trained in the other: a folder has its values either way.
    """
    if ours.targets != theirs.targets or ours.factors.keys() != theirs.factors.keys():
        return False
    starts = any(isinstance(node, Initial) for node in topological([*ours.targets.values()]))
    for name, factor in ours.factors.items():
        other = theirs.factors[name]
        alike = factor.kind == other.kind or not (exactly or "index" in (factor.kind, other.kind))
        if (
            not alike
            or (factor.shape, factor.shared) != (other.shape, other.shared)
            or (starts and factor.start != other.start)
        ):
            return False
    return True


def _factors(member: Member) -> dict[str, Tensor]:
    """All factors of a module, those that other modules hold for it among them."""
    return {name: member.layer.factor(name).detach() for name in member.layer.lowered.factors_in_use}


def _name(adapter: Adapter, member: Member, row: Correspondence) -> str:
    site, adapted = member.base_site, [other.name for other in adapter.members]
    return name_there(member.name, site, {part.key for part in row.parts_of(site.kind)}, adapter.model, adapted)


def _fields(
    adapter: Adapter, rows: Mapping[str, Followed], names: Iterable[str]
) -> dict[str, Any]:  # fmt: skip
    """The configuration: the method, its modules, its hyper-parameters."""
    config = getattr(adapter.model, "config", None)
    fields: dict[str, Any] = {
        "base_model_name_or_path": getattr(config, "name_or_path", None) or None,
        "inference_mode": True,
        "modules_to_save": [place for place, _ in adapter.survey.trained_whole] or None,
        "task_type": "CAUSAL_LM" if type(adapter.model).__name__.endswith("ForCausalLM") else None,
        "target_modules": _target_modules(adapter, [name for name in names if WRAPPED not in name]),
    }
    if any(member.base_site.kind == "Conv1D" for member in adapter.members):
        fields["fan_in_fan_out"] = True
    hyper = adapter.spec.hyperparameters
    for place, found in rows.items():
        row = found.row
        fields |= {"peft_type": row.peft_type, **row.writes, **dict.fromkeys(found.switches, True)}
        fields |= {field: list(adapter.survey.indices[name]) for name, field in row.indices.items()}
        for name, field in row.settings.items():
            if (own := numbered(name, found.number)) in hyper:
                _set(fields, row, place, field, _number(hyper[own]))
    if "IA3" in {found.row.peft_type for found in rows.values()}:
        fields["feedforward_modules"] = [place for place, found in rows.items() if found.row.spec.startswith("x'")]
    return fields


def _set(fields: dict[str, Any], row: Correspondence, place: str, field: str, value: int | float) -> None:
    """Write a hyper-parameter of a module: into its field, or where that has another value, into a pattern."""
    if fields.setdefault(field, value) == value:
        return
    patterns = next((patterns for patterns, meant in row.patterns.items() if meant == field), None)
    if patterns is None:
        raise SpecCheckpointError(
            f"`{field}` would be {fields[field]:g} and, for `{place}`, {value:g}; PEFT has one for all modules"
        )
    # PEFT looks for a name that ends so; the first that fits counts, and this one is the whole name.
    fields.setdefault(patterns, {})[f"^{re.escape(place)}"] = value


def _target_modules(adapter: Adapter, chosen: list[str]) -> list[str] | str:
    """The names of the modules, which PEFT also takes for endings of names; as a pattern where that would be more."""
    names = [name for name, _ in adapter.model.named_modules() if ".specdsl" not in name]
    more = any(name not in chosen and name.endswith(f".{place}") for place in chosen for name in names)
    return "|".join(re.escape(place) for place in chosen) if more else chosen


def _number(value: Any) -> int | float:
    exact = Fraction(value)
    return int(exact) if exact.denominator == 1 else float(exact)


def _check(row: Correspondence, fields: Mapping[str, Any], member: Member) -> None:
    """Raise unless PEFT would make the module's tensors as they are."""
    site, factors = member.base_site, _factors(member)
    problem = row.check(fields, site.sizes) if row.check else None
    for place in row.places:
        if place.write is None and not torch.equal(place.read(fields, None, site.sizes), factors[place.factor].cpu()):
            problem = f"its places `{place.factor}` are not those that PEFT draws for its seed"
    if site.bias is None and any(part.above == "b" for part in row.parts_of(site.kind)):
        problem = "it has no bias, and PEFT makes none"
    if problem:
        raise SpecCheckpointError(f"`{member.name}` cannot be exported: {problem}")
