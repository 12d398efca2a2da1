"""Loading a saved adapter: strict, with a reason for every mismatch, and without running code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from specdsl.elaborate.calls import OWN_OPERATORS, unknown_operators
from specdsl.errors import SpecCheckpointError, SpecError
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.adapter_record import AdapterRecord, read
from specdsl.runtime.attach import attach_survey
from specdsl.runtime.base_weights import warn_of_another_base, whole_hash
from specdsl.runtime.derived_values import check_derived
from specdsl.runtime.readings import default_kinds
from specdsl.runtime.roles import named_layers
from specdsl.runtime.survey import survey
from specdsl.runtime.surveyed_modules import SurveyedModule, factor_shapes
from specdsl.spec import Spec, parse


def load(model: nn.Module, folder: str | Path, *, name: str | None = None) -> Adapter:
    """Attach a saved adapter to a model. On any mismatch the model is as it was.

    The base is known by its architecture, its modules' names, types and sizes, and by entries of the adapted modules'
    weights and biases (not by modules that are not adapted): a base with other entries warns, or is an error where
    values of the adapter were derived from them.

    Args:
        model: the base it was trained on, freshly loaded.
        folder: what `adapter.save` wrote.
        name: another name for the adapter.

    Raises:
        SpecCheckpointError: the folder is damaged, or the model is not the one it belongs to.
        SpecFileError: there is no adapter in the folder.
    """
    record, tensors = read(folder)
    spec = spec_of(record, folder)
    if spec.hash != record.spec_hash:
        raise SpecCheckpointError(f"the spec in `{folder}` does not have the hash that was saved with it")
    on = [f"re:{re.escape(name)}" for target in record.targets for name in (target.name, *target.tied)]
    train = [f"re:{re.escape(place)}" for place in record.trained_whole]
    _check_modules(model, record)
    found = survey(
        model, _without_placement(spec), on=on, train=train, indices=record.indices, transposed=_turned(model, record)
    )
    _check_targets(record, found.modules)
    warn_of_another_base(record, found.modules)
    found = replace(found, given=_given(found.modules, tensors))
    adapter = attach_survey(model, found, name=name or record.name, seed=record.seed, dtype=record.dtype, events=False)
    try:
        check_derived(adapter, record.derived)
        _fill(adapter, tensors)
    except BaseException:
        adapter.detach()
        raise
    return adapter


def spec_of(record: AdapterRecord, folder: str | Path) -> Spec:
    """The spec of a saved adapter, with its settings."""
    try:
        return parse(record.spec, **{key: _number(value) for key, value in record.settings.items()})
    except (SpecError, ValueError) as error:
        unknown = unknown_operators(record.spec)
        if unknown:
            names = ", ".join(f"`{name}`" for name in unknown)
            raise SpecCheckpointError(
                f"the spec in `{folder}` needs the operator {names}", hint=OWN_OPERATORS
            ) from None
        reason = error.message if isinstance(error, SpecError) else error
        raise SpecCheckpointError(f"the spec in `{folder}` is not one that was saved: {reason}") from None


def _number(text: str) -> Any:
    return Fraction(text) if "/" in text or not set(".eE") & set(text) else float(text)


def _without_placement(spec: Spec) -> Spec:
    spec.clauses.train.clear()  # the saved list of modules replaces it
    return spec


def _check_modules(model: nn.Module, record: AdapterRecord) -> None:
    modules = {*dict(model.named_modules()), *dict(named_layers(model))}
    adapted = [name for target in record.targets for name in (target.name, *target.tied)]
    wanted = [*adapted, *record.trained_whole]
    missing = [name for name in wanted if name not in modules]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise SpecCheckpointError(
            f"the adapter belongs to a {record.architecture} with a module `{missing[0]}`{others}, "
            f"which this {type(model).__name__} does not have",
            hint="load the same architecture, with the same head",
        )


def _turned(model: nn.Module, record: AdapterRecord) -> list[str]:
    """The parameters that the adapter reads the other way round than by default."""
    kinds = {False: "parameter", True: "transposed parameter"}
    by_default = {name: kinds[is_transposed] for name, is_transposed in default_kinds(model).items()}
    names = [target.name for target in record.targets if target.kind in kinds.values()]
    turned = [t.name for t in record.targets if t.name in names and by_default.get(t.name, t.kind) != t.kind]
    return [f"re:{re.escape(name)}" for name in turned]


def _check_targets(record: AdapterRecord, modules: Sequence[SurveyedModule]) -> None:
    if len(modules) > len(record.targets):
        extra = next(m.target.name for m in modules if m.target.name not in {t.name for t in record.targets})
        raise SpecCheckpointError(f"`{extra}` does not hold the weight of another module, as it did when saved")
    for saved, module in zip(record.targets, modules, strict=True):
        sizes = module.site.sizes
        if saved.name != module.target.name:
            raise SpecCheckpointError(f"the modules are in another order: `{saved.name}`, `{module.target.name}`")
        if saved.kind != module.site.kind:
            raise SpecCheckpointError(f"`{saved.name}` is of type {module.site.kind}, not {saved.kind}")
        if saved.sizes != sizes:
            raise SpecCheckpointError(
                f"`{saved.name}` was {saved.sizes['n']} x {saved.sizes['m']} and is {sizes['n']} x {sizes['m']}"
            )
        if saved.weight_hash is not None and whole_hash(module.site) != saved.weight_hash:
            raise SpecCheckpointError(
                f"the weight of `{saved.name}` is not the one that the adapter's values were derived from",
                hint="load the same base checkpoint in the same dtype",
            )


def _given(modules: Sequence[SurveyedModule], tensors: dict[str, Tensor]) -> dict[tuple[str, str], Tensor]:
    """The values that the adapter was attached with and that no spec would make again."""
    names = [key.removeprefix("given/").rpartition("/") for key in tensors if key.startswith("given/")]
    shapes = {(one.target.name, name): shape for one in modules for name, shape in factor_shapes(one).items()}
    for place, _, name in names:
        value = tensors[f"given/{place}/{name}"]
        if tuple(value.shape) != shapes.get((place, name)):
            raise SpecCheckpointError(f"the value `{name}` of `{place}` does not fit the spec")
    return {(place, name): tensors[f"given/{place}/{name}"] for place, _, name in names}


def _fill(adapter: Adapter, tensors: dict[str, Tensor]) -> None:
    known = {f"factors/{place}/{name}" for place, name, _ in adapter.trained_factors()}
    whole = (*(f"whole/{place}/" for place, _ in adapter.survey.trained_whole), "given/")
    for key in tensors:
        if key not in known and not key.startswith(whole):
            raise SpecCheckpointError(f"the folder holds a tensor `{key}`, which nothing asks for")
    with torch.no_grad():
        for place, name, value in adapter.trained_factors():
            saved = tensors.get(f"factors/{place}/{name}")
            if saved is None:
                raise SpecCheckpointError(f"the factor `{name}` of `{place}` is not in the folder")
            if saved.shape != value.shape:
                raise SpecCheckpointError(f"`{name}` of `{place}` is {tuple(saved.shape)}, not {tuple(value.shape)}")
            value.copy_(saved)
        for place, module in adapter.survey.trained_whole:
            prefix = f"whole/{place}/"
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            for key, now in module.state_dict().items():
                if key in state and state[key].shape != now.shape:
                    shapes = f"{tuple(now.shape)}, not {tuple(state[key].shape)}"
                    raise SpecCheckpointError(f"`{place}`, trained whole, does not fit: {key} is {shapes}")
            try:
                module.load_state_dict(state)
            except RuntimeError as error:
                raise SpecCheckpointError(f"`{place}`, trained whole, does not fit: {error}") from None
