"""A PEFT adapter as an adapter of specdsl: the spec of its method, with its values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from specdsl.errors import SpecCheckpointError
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.attach import attach_survey
from specdsl.runtime.interchange.correspondence import Fields
from specdsl.runtime.interchange.factors import factors_of
from specdsl.runtime.interchange.peft_folder import read_folder
from specdsl.runtime.interchange.peft_reading import PeftReading, reading_of
from specdsl.runtime.interchange.peft_spec import BIAS, rows_of, spec_of
from specdsl.runtime.interchange.tensor_checks import by
from specdsl.runtime.survey import Survey, survey
from specdsl.runtime.surveyed_modules import factor_shapes


def import_peft(model: nn.Module, folder: str | Path, *, name: str = "default") -> Adapter:
    """Attach an adapter that Hugging Face PEFT saved. On any mismatch the model is as it was.

    The spec is that of the method, with the hyper-parameters of the configuration; the modules are those that the
    folder has factors for. Events of the spec do not happen (`attach(..., events=False)`).

    Args:
        model: the base that it was trained on, freshly loaded.
        folder: with `adapter_config.json` and `adapter_model.safetensors`; pickles are not read.
        name: of the adapter.

    Raises:
        SpecFileError: there is no such adapter in the folder.
        SpecCheckpointError: a field or tensor has no counterpart here, or the model is another one.
    """
    return attach_peft(model, *read_folder(folder), name=name)


def attach_peft(model: nn.Module, fields: Fields, tensors: Mapping[str, Tensor], *, name: str = "default") -> Adapter:
    """Attach an adapter of PEFT from its configuration and its tensors as they would be saved; see `import_peft`."""
    found = reading_of(model, fields, tensors)
    spec = spec_of(found)
    values = values_of(model, found)
    places = [*values, *(_tied(model, values) if rows_of(found)[0].with_tied else ())]
    laid = survey(
        model, spec, on=[_item(place) for place in places], train=[_item(place) for place in found.whole] or None,
        indices=_indices(found),
    )  # fmt: skip
    _check_shapes(laid, values)
    laid = replace(laid, given=_given(laid, values))
    double = any(value.dtype == torch.float64 for value in tensors.values())
    adapter = attach_survey(model, laid, name=name, dtype=torch.float64 if double else None, events=False)
    try:
        _fill(adapter, values, found.whole)
    except BaseException:
        adapter.detach()
        raise
    return adapter


def values_of(model: nn.Module, found: PeftReading) -> dict[str, dict[str, Tensor]]:
    """The factors of every module, as views of PEFT's tensors."""
    values: dict[str, dict[str, Tensor]] = {}
    for place, one in found.modules.items():
        try:
            values[place] = factors_of(one.row, one.fields, one.site, one.tensors)
        except SpecCheckpointError as error:
            raise SpecCheckpointError(f"`{place}`: {error.message}", hint=error.hint) from None
    for place, bias in found.biases.items():
        values.setdefault(place, {})[BIAS] = bias - model.get_submodule(place).get_parameter("bias").detach().to(bias)
    return values


def _item(place: str) -> str:
    return f"re:{re.escape(place)}"


def _indices(found: PeftReading) -> dict[str, Any]:
    """The indices that fields of the configuration list."""
    indices: dict[str, Any] = {}
    for row in rows_of(found)[:1]:
        for index, name in row.indices.items():
            indices[index] = found.fields.get(name) or ()
            if len(set(indices[index])) < len(indices[index]):
                raise SpecCheckpointError(f"`{name}` names a place twice")
    return indices


def _tied(model: nn.Module, places: Iterable[str]) -> list[str]:
    """Other modules that hold the weight of one of these."""
    owners = {id(model.get_submodule(place).weight) for place in places}
    modules = model.named_modules()
    return [name for name, module in modules if id(getattr(module, "weight", None)) in owners and name not in places]


def _check_shapes(laid: Survey, values: Mapping[str, Mapping[str, Tensor]]) -> None:
    for module in laid.modules:
        shapes = factor_shapes(module)
        for name, value in values[module.target.name].items():
            if tuple(value.shape) != shapes[name]:
                what = f"`{name}` of `{module.target.name}` is {by(value.shape)}"
                raise SpecCheckpointError(
                    f"{what}, but the spec makes it {by(shapes[name])}",
                    hint="PEFT says other ranks for some modules in `rank_pattern`",
                )


def _given(laid: Survey, values: Mapping[str, Mapping[str, Tensor]]) -> dict[tuple[str, str], Tensor]:
    """What the adapter brings that is not trained: frozen factors and places; a shared one once."""
    found: dict[tuple[str, str], Tensor] = {}
    done: set[tuple[str, str]] = set()
    for module in laid.modules:
        for name, factor in module.lowered.ir.factors.items():
            value, owner = values[module.target.name].get(name), (name, module.scopes[name])
            if not factor.is_trained and value is not None and owner not in done:
                done.add(owner)
                found[module.target.name, name] = value.detach()
    return found


def _fill(
    adapter: Adapter, values: Mapping[str, Mapping[str, Tensor]], whole: Mapping[str, Mapping[str, Tensor]]
) -> None:
    with torch.no_grad():
        for place, name, value in adapter.trained_factors():
            if name in values[place]:
                value.copy_(values[place][name])
        for place, module in adapter.survey.trained_whole:
            try:
                module.load_state_dict(dict(whole[place]))
            except RuntimeError as error:
                raise SpecCheckpointError(f"`{place}`, trained whole, does not fit: {error}") from None
