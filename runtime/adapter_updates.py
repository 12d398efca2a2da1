"""What a saved adapter adds to the weights and biases of its base, in float64; ours and PEFT's.

Where W' - W reads neither W nor b, the base is not needed: it is taken as zero.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from specdsl.affine import NotAffine, adapted_weight
from specdsl.errors import SpecError, SpecFileError, SpecMergeError, SpecSettingError, SpecWarning
from specdsl.ir import Apply, Factor, Node, Site, SpecIR, reads, topological
from specdsl.operators.axis_patterns import Rearrangement
from specdsl.reference import weight
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.adapter_record import RECORD, read
from specdsl.runtime.interchange.correspondence import Fields, Part
from specdsl.runtime.interchange.factors import axis_sizes
from specdsl.runtime.interchange.import_peft import attach_peft, import_peft
from specdsl.runtime.interchange.peft_folder import CONFIG, read_folder
from specdsl.runtime.interchange.peft_reading import by_module, rows_for
from specdsl.runtime.load import load, spec_of
from specdsl.runtime.mergeable import check_mergeable
from specdsl.spec import Spec

Array = np.ndarray[Any, Any]
Updates = dict[str, Array]
"""By module: `encoder.layer.0.query`, its bias as `encoder.layer.0.query, bias`."""

NEEDS_MODEL = "name its base model with `--model`"
_BASE = frozenset({"W", "b"})


def updates_of(folder: Path, model: nn.Module | None) -> Updates:
    """What an adapter adds to each module that it adapts.

    Args:
        folder: what `adapter.save` or PEFT wrote.
        model: the base; it is left as it is. None where the updates do not read it.

    Raises:
        SpecFileError: there is no adapter in the folder.
        SpecCheckpointError: the folder is damaged, or belongs to another model.
        SpecMergeError: the adapter is no weight.
        SpecSettingError: the base is needed and not given.
    """
    is_peft = not (folder / RECORD).is_file() and (folder / CONFIG).is_file()
    if not is_peft and not (folder / RECORD).is_file():
        raise SpecFileError(
            f"there is no adapter in `{folder}`", hint=f"an adapter's folder holds `{RECORD}`, PEFT's `{CONFIG}`"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpecWarning)
        if model is not None:
            base = copy.deepcopy(model)
            return _of_attached(import_peft(base, folder) if is_peft else load(base, folder), model)
        return _peft_alone(*read_folder(folder)) if is_peft else _ours_alone(folder)


def reads_base(ir: SpecIR) -> bool:
    """Whether W' - W or b' - b depends on the base's own values.

    Raises:
        SpecMergeError: the spec is no weight.
    """
    try:
        targets = adapted_weight(ir)
    except NotAffine as reason:
        raise SpecMergeError(f"the adapter is not a weight: {reason}") from None
    for name, node in targets.items():
        terms = list(_terms(node))
        own = [term for term in terms if isinstance(term, Site) and term.name == name]
        if len(own) != 1 or any(reads(term) & _BASE for term in terms if term is not own[0]):
            return True
    return any(_start_reads_base(ir, name) for name in _factors(targets.values(), ir))


def _terms(node: Node) -> Iterator[Node]:
    if isinstance(node, Apply) and node.operator == "add":
        for argument in node.arguments:
            yield from _terms(argument)
    else:
        yield node


def _factors(nodes: Iterable[Node], ir: SpecIR) -> set[str]:
    return {node.name for node in topological(nodes) if isinstance(node, Factor)} & ir.factors.keys()


def _start_reads_base(ir: SpecIR, name: str) -> bool:
    """Whether the value of a factor at the start, which it may keep or which `init` may read, needs the base."""
    start = ir.factors[name].start
    return start is not None and bool(reads(start) & _BASE)


def _of_attached(adapter: Adapter, model: nn.Module) -> Updates:
    """By the compiled modules, with everything in float64 after it was loaded as it was saved."""
    check_mergeable(adapter)
    adapter.model.double()
    found: Updates = {}
    with torch.no_grad():
        for member in adapter.members:
            site = member.base_site
            for what in ("W", "b"):
                value = member.layer.adapted(what, site)
                if value is None:
                    continue
                bias = torch.zeros_like(value) if site.bias is None else site.bias
                base = site.matrix(site.weight) if what == "W" else bias
                found[_named(member.name, what)] = _array(value.double() - base.double())
        for place, module in adapter.survey.trained_whole:
            before = model.get_submodule(place).state_dict()
            for key, tensor in module.state_dict().items():
                if tensor.is_floating_point():
                    found[f"{place}, {key}, trained whole"] = _array(tensor.double() - before[key].double())
    return found


def _ours_alone(folder: Path) -> Updates:
    """By the definition of the adapted weight, on a base of zeros."""
    record, tensors = read(folder)
    spec = spec_of(record, folder)
    _check_alone(spec, folder)
    if record.trained_whole:
        raise SpecSettingError(f"`{folder}` trains `{record.trained_whole[0]}` whole", hint=NEEDS_MODEL)
    found: Updates = {}
    for place, target in enumerate(record.targets):
        factors = {**record.indices, **_own_factors(tensors, target.name)}
        sizes = target.sizes
        kernel = (sizes["kh"], sizes["kw"]) if "kh" in sizes else None
        zeros = np.zeros((sizes["n"], sizes["m"]))
        adapted, bias = weight(
            spec, zeros, np.zeros(sizes["m"]), factors, seed=record.seed, module=target.name, layer=place, kernel=kernel
        )
        for what, value in (("W", adapted), ("b", bias)):
            if value is not None and what in adapted_weight(spec.ir):
                found[_named(target.name, what)] = value
    return found


def _own_factors(tensors: Mapping[str, Tensor], module: str) -> dict[str, Tensor]:
    start = f"factors/{module}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _check_alone(spec: Spec, folder: Path) -> None:
    """Raise SpecSettingError where the base, or other modules than its own, decide what an adapter adds."""
    ir = spec.ir
    if spec.parts:
        raise SpecSettingError(f"`{folder}` has clauses limited to some modules", hint=NEEDS_MODEL)
    if reads_base(ir):
        raise SpecSettingError(f"what `{folder}` adds depends on the base", hint=NEEDS_MODEL)
    for name, factor in ir.factors.items():
        if factor.shared is not None or factor.orthonormal:
            what = "is shared between modules" if factor.shared is not None else "is kept orthonormal"
            raise SpecSettingError(f"the factor `{name}` of `{folder}` {what}", hint=NEEDS_MODEL)


def _peft_alone(fields: Fields, tensors: Mapping[str, Tensor]) -> Updates:
    """On a base of zeros with the sizes that the tensors tell."""
    base = nn.Module()
    rows = rows_for(fields)
    for name, values in by_module(rows, tensors)[0].items():
        sizes = [axis_sizes(row, "Linear", values) for row in rows if _may_fit(row.parts_of("Linear"), values)]
        known = next((one for one in sizes if {"n", "m"} <= one.keys()), None)
        if known is None:
            raise SpecSettingError(f"the size of `{name}` does not follow from the adapter", hint=NEEDS_MODEL)
        layer = nn.Linear(known["n"], known["m"])
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        _put(base, name, layer)
    try:
        adapter = attach_peft(base, fields, tensors)
    except SpecError as error:
        error.hint = error.hint or NEEDS_MODEL
        raise
    if any(reads_base(part.ir) for part in adapter.spec.parts or (adapter.spec,)):
        raise SpecSettingError("what the adapter of PEFT adds depends on the base", hint=NEEDS_MODEL)
    return _of_attached(adapter, base)


def _may_fit(parts: Sequence[Part], values: Mapping[str, Tensor]) -> bool:
    known = [part for part in parts if part.key in values]
    return bool(known) and all(len(Rearrangement.read(part.layout).left) == values[part.key].ndim for part in known)


def _put(base: nn.Module, name: str, layer: nn.Module) -> None:
    *path, last = name.split(".")
    for part in path:
        if not hasattr(base, part):
            base.add_module(part, nn.Module())
        base = base.get_submodule(part)
    base.add_module(last, layer)


def _named(module: str, what: str) -> str:
    return module if what == "W" else f"{module}, bias"


def _array(value: Tensor) -> Array:
    return value.detach().cpu().numpy()
