"""`attach`: a spec into a model, in place and all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from specdsl.errors import SpecNotBuiltError, SpecSettingError
from specdsl.layer_ranges import Layers
from specdsl.lowering.adapted import ModuleAdapters, attach_to, check_adapter_name
from specdsl.lowering.layer_adapter import LayerAdapter
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.added_rows import check_rows
from specdsl.runtime.derive import DTYPES, derive
from specdsl.runtime.frozen_base import check_trained_whole
from specdsl.runtime.items import Item
from specdsl.runtime.member import Member
from specdsl.runtime.survey import Survey, survey
from specdsl.runtime.surveyed_modules import SurveyedModule, check_loaded
from specdsl.spec import Spec, parse

Items = Sequence[str | Item] | str | None


def attach(
    model: nn.Module,
    spec: Spec | str | Path,
    *,
    on: Items = None,
    exclude: Sequence[str | Item] = (),
    layers: Layers | None = None,
    train: Items = None,
    name: str = "default",
    seed: int = 0,
    dtype: torch.dtype | str | None = None,
    events: bool = True,
    transposed: Sequence[str | Item] | str = (),
    **hyperparameters: Any,
) -> Adapter:
    """Attach a spec to a model, in place. On any error the model is as it was.

    The model's own parameters are frozen; only factors, and what `train` names, are trained.

    Args:
        model: a PyTorch model with loaded weights.
        spec: a spec, or what `specdsl.parse` takes.
        on: roles (`"attention.query"`), groups (`"mlp"`) or `"re:PATTERN"`s; replaces the spec's own `on`.
        exclude: items to leave out.
        layers: take only these blocks: `3`, `[0, 1]`, `range(6)`, or as a spec writes them, `"0..5, 11"`.
        train: modules trained whole and saved with the adapter, such as a new `"head"`.
        name: of this adapter; a model may carry several, whose differences add up.
        seed: of the random starts.
        dtype: of the factors, float32 by default.
        events: whether what the spec assigns while training (`at step: ...`) is to happen. Nothing carries it out yet,
            so a spec with events is an error unless this is False, which trains its algebra and penalties alone.
        transposed: parameters that a forward reads by name (experts), to be read the other way round than the report
            says by default: rows as outputs, not as inputs.
        hyperparameters: values for the spec's hyper-parameters (`r=4`), and for `index` factors (`I=[3, 17]`).

    Returns:
        The handle to merge, save, disable and detach.

    Raises:
        SpecError: the spec, a target, a size or a setting is wrong.

    >>> import specdsl, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> adapter = specdsl.attach(model, "W + A@B", on="re:0", r=2)
    >>> adapter.trainable_parameters
    20
    """
    check_adapter_name(name)
    if not isinstance(model, nn.Module):
        hint = "load it first, for example with `transformers.AutoModel.from_pretrained(...)`"
        raise SpecSettingError(f"the model is {model!r:.60}, but `attach` takes a PyTorch model", hint=hint)
    checked = spec if isinstance(spec, Spec) else parse(spec)
    indices = {key: value for key, value in hyperparameters.items() if _is_index(checked, key)}
    checked = checked.set(**{key: value for key, value in hyperparameters.items() if key not in indices})
    found = survey(
        model, checked, on=on, exclude=exclude, layers=layers, train=train, indices=indices, transposed=transposed,
    )  # fmt: skip
    return attach_survey(model, found, name=name, seed=seed, dtype=dtype, events=events)


def attach_survey(
    model: nn.Module, found: Survey, *, name: str = "default", seed: int = 0, dtype: torch.dtype | str | None = None,
    events: bool = True,
) -> Adapter:  # fmt: skip
    """Attach what `specdsl.runtime.survey.survey` has laid out."""
    check_adapter_name(name)
    _refuse_unbuilt(found.spec, events)
    _refuse_taken_name(model, name)
    check_loaded(model, found.modules)
    check_trained_whole(model, found.trained_whole, [module.target for module in found.modules])
    check_rows(model, found.modules)
    layers = derive(found, seed, _dtype(dtype))
    members = [_member(module, layer) for module, layer in zip(found.modules, layers, strict=True)]
    return Adapter._attached(model, found, name, seed, _dtype(dtype), members, attach_to)


def _refuse_unbuilt(spec: Spec, events: bool) -> None:
    """What the language has and training cannot carry out yet, by name; compiling and counting can."""
    facts = spec.facts
    texts = [event.text for event in spec.ir.events]
    for need in facts.needs:
        if need not in texts:
            raise SpecNotBuiltError(f"`{need}` cannot be measured yet; the rest can be checked", spec.tree.span)
    for event in spec.ir.events if events else ():
        raise SpecNotBuiltError(
            f"`{event.text}` cannot be carried out yet", event.span,
            "`events=False` (`--no-events`) trains the algebra and penalties without it",
        )  # fmt: skip


def _member(module: SurveyedModule, layer: LayerAdapter) -> Member:
    return Member(module, layer, module.target.tied_modules)


def _is_index(spec: Spec, name: str) -> bool:
    return name in spec.ir.factors and spec.ir.factors[name].kind == "index"


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    if isinstance(dtype, torch.dtype) and not dtype.is_floating_point:
        raise SpecSettingError(f"factors cannot be {dtype}", hint=f"dtypes are {', '.join(DTYPES)}")
    if not isinstance(dtype, str):
        return dtype
    if dtype not in DTYPES:
        raise SpecSettingError(f"`{dtype}` is no dtype of factors", hint=f"dtypes are {', '.join(DTYPES)}")
    return DTYPES[dtype]


def _refuse_taken_name(model: nn.Module, name: str) -> None:
    for module_name, module in model.named_modules():
        if isinstance(module, ModuleAdapters) and name in module.adapters:
            place = module_name.split("specdsl")[0].rstrip(".")
            raise SpecSettingError(
                f"the model has an adapter `{name}` already (on `{place}`)",
                hint="choose another `name=`, or detach that one first",
            )
