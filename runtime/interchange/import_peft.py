"""A PEFT adapter as an adapter of specdsl: the spec of its method, with its values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from specdsl.errors import SpecCheckpointError, SpecError
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.attach import attach_survey
from specdsl.runtime.interchange.correspondence import Correspondence, Fields
from specdsl.runtime.interchange.factors import axis_sizes, factors_of
from specdsl.runtime.interchange.peft_folder import read_folder
from specdsl.runtime.interchange.peft_reading import PeftReading, reading_of
from specdsl.runtime.interchange.tensor_checks import by
from specdsl.runtime.survey import Survey, survey
from specdsl.runtime.surveyed_modules import factor_shapes
from specdsl.spec import Spec, parse, parse_text, source_of

BIAS = "bias_shift"
_TARGET = re.compile(r"^(?=(?:\[W'; b'\]|[WbxyW]'(?:\[.*?\])?) =)", re.MULTILINE)


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
    places = [*values, *(_tied(model, values) if _rows(found)[0].with_tied else ())]
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
            values[place] = factors_of(one.row, found.fields, one.site, one.tensors)
        except SpecCheckpointError as error:
            raise SpecCheckpointError(f"`{place}`: {error.message}", hint=error.hint) from None
    for place, bias in found.biases.items():
        values.setdefault(place, {})[BIAS] = bias - model.get_submodule(place).get_parameter("bias").detach().to(bias)
    return values


def spec_of(found: PeftReading) -> Spec:
    """The spec of all modules together; where they differ, its clauses are limited to them.

    Raises:
        SpecCheckpointError: the hyper-parameters differ between modules, or the clauses do not go together.
    """
    rows = _rows(found)
    settings = _settings(found)
    try:
        if len(rows) == 1 and not found.biases:
            text, name = text_of(rows[0], found.fields)
            return parse_text(text, name, **settings) if rows[0].exchange else parse(rows[0].spec, **settings)
        parts = [_limited(row, found) for row in rows]
        if found.biases:
            items = items_of(found.biases, found.names)
            parts += [f"on {items}: {BIAS} : m ~ zeros", f"on {items}: b' = b + {BIAS}"]
        return parse_text("\n".join(parts), "<peft>", **settings)
    except SpecCheckpointError:
        raise
    except SpecError as error:
        names = " and ".join(f"`{row.spec}`" for row in rows)
        raise SpecCheckpointError(
            f"the modules follow {names}, which cannot be one spec here: {error.message}"
        ) from None


def text_of(row: Correspondence, fields: Fields) -> tuple[str, str]:
    """The text of a row's spec under a configuration, and its name."""
    text, name = source_of(row.spec)
    for switch, (old, new) in row.exchange.items():
        if fields.get(switch):
            text = text.replace(old, new)
    return text, name


def _limited(row: Correspondence, found: PeftReading) -> str:
    """The clauses of a row, its targets limited to its modules."""
    places = [place for place, one in found.modules.items() if one.row is row]
    text, _ = text_of(row, found.fields)
    kept = re.sub(r"^(?:on|train|title:|cite:|note:|starts:).*\n(?:[ \t].*\n)*", "", f"{text}\n", flags=re.MULTILINE)
    return _TARGET.sub(lambda _: f"on {items_of(places, found.names)}: ", kept).strip("\n")


def items_of(places: Iterable[str], names: Iterable[str]) -> str:
    """Modules as the items of a clause: one for all blocks, where they have the module in all blocks.

    >>> items_of(["h.0.q", "h.1.q", "h.0.k"], ["h.0.q", "h.0.k", "h.1.q", "h.1.k"])
    '"h\\\\.\\\\d+\\\\.q", "h\\\\.0\\\\.k"'
    """
    chosen, items = set(places), dict[str, None]()
    for place in places:
        everywhere = re.sub(r"(?<=\\.)\d+(?=\\.)", r"\\d+", re.escape(place))
        alike = {name for name in names if re.fullmatch(everywhere, name)}
        items[f'"{everywhere if alike <= chosen else re.escape(place)}"'] = None
    return ", ".join(items)


def _item(place: str) -> str:
    return f"re:{re.escape(place)}"


def _rows(found: PeftReading) -> list[Correspondence]:
    rows: list[Correspondence] = []
    for one in found.modules.values():
        if not any(one.row is row for row in rows):
            rows.append(one.row)
    return rows


def _settings(found: PeftReading) -> dict[str, float]:
    """The hyper-parameters: from the configuration, or from the sizes of the tensors, alike in all modules."""
    settings: dict[str, float] = {}
    for place, one in found.modules.items():
        for name, field in one.row.settings.items():
            if name == "alpha" and found.fields.get(field) is None:
                raise SpecCheckpointError(
                    f"the configuration does not say `{field}`, and nothing else says how much the factors count",
                    hint="PEFT's default depends on the method and release; write it into `adapter_config.json`",
                )
            if name not in one.row.axes and found.fields.get(field) is not None:
                settings[name] = found.fields[field]
        sizes = axis_sizes(one.row, one.site.kind, one.tensors)
        for name, size in one.row.axes.items():
            if settings.setdefault(name, size(sizes)) != size(sizes):
                raise SpecCheckpointError(
                    f"`{name}` of `{one.row.spec}` would be {settings[name]} and, for `{place}`, {size(sizes)}",
                    hint="modules of different sizes need blocks of one size",
                )
    return settings


def _indices(found: PeftReading) -> dict[str, Any]:
    """The indices that fields of the configuration list."""
    indices: dict[str, Any] = {}
    for row in _rows(found)[:1]:
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
                    hint="ranks that differ between modules are not one spec",
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
