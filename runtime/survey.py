"""What a spec would do to a model, without doing it: modules, sizes, plans and counts. Works on meta weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from specdsl import tree
from specdsl.errors import (
    SpecNotBuiltError,
    SpecTargetError,
)
from specdsl.ir import SpecIR, reads
from specdsl.layer_ranges import Layers, layer_numbers
from specdsl.lowering.adapted import adapters_of
from specdsl.lowering.adapted_owner import is_owner
from specdsl.lowering.sites import HeldParameter, LayerSite, site_of
from specdsl.plan import layer_lists
from specdsl.printing.expression_text import expression_text
from specdsl.runtime.frozen_base import base_parameters
from specdsl.runtime.indices import check_indices
from specdsl.runtime.items import Item
from specdsl.runtime.readings import notes_on_reading, turn_round
from specdsl.runtime.site_checks import check_site, check_tied
from specdsl.runtime.surveyed_modules import SurveyedModule, check_conditions, survey_modules
from specdsl.runtime.targets import Selection, Target, select, select_modules
from specdsl.spec import Spec


@dataclass(frozen=True)
class Survey:
    """A spec laid over a model.

    Attributes:
        spec: the spec with its settings.
        selection: which modules, and why not others.
        modules: the modules in model order.
        trained_whole: modules that `train` names.
        base_parameters: the model's own parameters.
        indices: values of `index` factors that are given at attach.
        given: values that are neither trained nor made from the spec, by the module that holds them and the factor.
    """

    spec: Spec
    selection: Selection
    modules: tuple[SurveyedModule, ...]
    trained_whole: tuple[tuple[str, nn.Module], ...]
    base_parameters: int
    indices: Mapping[str, list[int]] = field(default_factory=dict)
    given: Mapping[tuple[str, str], Tensor] = field(default_factory=dict)

    @cached_property
    def trainable_parameters(self) -> int:
        """Trained factor entries over the whole model."""
        return sum(module.trainable for module in self.modules)

    @cached_property
    def stored_bytes(self) -> int:
        """Memory for what is neither trained nor the model's own."""
        return sum(module.stored for module in self.modules)

    @cached_property
    def head_parameters(self) -> int:
        """Parameters of the modules trained whole."""
        seen: dict[int, int] = {}
        for _, module in self.trained_whole:
            for parameter in module.parameters():
                seen[id(parameter)] = parameter.numel()
        return sum(seen.values())


def survey(
    model: nn.Module,
    spec: Spec,
    *,
    on: Sequence[str | Item] | str | None = None,
    exclude: Sequence[str | Item] = (),
    layers: Layers | None = None,
    train: Sequence[str | Item] | str | None = None,
    indices: Mapping[str, Any] | None = None,
    transposed: Sequence[str | Item] | str = (),
) -> Survey:
    """Lay `spec` over `model` without changing it.

    Args:
        model: a model, on any device, the meta device included.
        spec: a checked spec, its hyper-parameters set.
        on, exclude, layers: replace the spec's own `on` (see `specdsl.runtime.targets.select`).
        train: modules trained whole, in addition to the spec's own `train`.
        indices: values of `index` factors that are given at attach.
        transposed: parameters to read the other way round than by default (see `specdsl.runtime.readings`).

    Raises:
        SpecTargetError: an item matches nothing, a module cannot carry the spec, or sizes do not fit.
        SpecSettingError: an index is missing or unknown.
    """
    for part in spec.parts or (spec,):
        _refuse_lists_of_trained(part)
    selection = _select(model, spec, on, exclude, None if layers is None else layer_numbers(layers))
    turn_round(model, selection, _listed(transposed))
    parts = _parts(model, spec, selection)
    given = check_indices(spec, indices or {})
    whole = tuple(select_modules(model, [*_items(spec.clauses.train), *_listed(train)]))
    sites = [_site(target) for target in selection.targets]
    selection = replace(selection, notes=(*selection.notes, *notes_on_reading(selection, sites)))
    _refuse_both(selection, whole)
    environments = _environments(spec.ir, sites, given)
    irs = [part.ir for part in parts]
    for ir, target, site in zip(irs, selection.targets, sites, strict=True):
        check_site(ir, target, site)
        check_tied(ir, target)
    check_conditions(irs, selection, environments)
    modules = survey_modules(irs, selection, sites, environments)
    base = sum(parameter.numel() for _, parameter in base_parameters(model))
    return Survey(spec, selection, modules, whole, base, given)


def _parts(model: nn.Module, spec: Spec, selection: Selection) -> list[Spec]:
    """For each selected module the spec that holds there: the clauses whose limits it meets.

    Raises:
        SpecTargetError: a limit matches no module, or no clause reaches a selected module.
    """
    if not spec.parts:
        return [spec] * len(selection.targets)
    reach = {
        items: {target.name for target in select(model, _items(items), (), None, adaptable=_adaptable).targets}
        for items in spec.limits
    }
    known: dict[tuple[tuple[tree.Item, ...], ...], Spec] = {}
    parts = []
    for target in selection.targets:
        applying = tuple(items for items, names in reach.items() if target.name in names)
        if not applying and not spec.adapts_everywhere:
            raise SpecTargetError(
                f"no clause of the spec reaches `{target.name}`", hint="leave it out with `except`, or out of `on`"
            )
        if applying not in known:
            known[applying] = spec.at(applying)
        parts.append(known[applying])
    return parts


def _refuse_lists_of_trained(spec: Spec) -> None:
    """A list is made at attach, so what is trained would stay at its start in it."""
    trained = {name for name, factor in spec.ir.factors.items() if factor.is_trained}
    for target, node in spec.ir.targets.items():
        for part in layer_lists(node):
            if reads(part.of) & trained:
                raise SpecNotBuiltError(
                    f"{target}' reads `{expression_text(part)}`, a list over all modules of a trained factor, which is "
                    "not built yet outside of penalties",
                    spec.clauses.targets[target][0].span,
                )


def _listed(items: Sequence[str | Item] | str | None) -> list[str | Item]:
    return [items] if isinstance(items, str) else list(items or ())


def _items(syntax: Sequence[Any]) -> list[str | Item]:
    return [Item(f"re:{item.text}" if item.is_pattern else item.text, item.span) for item in syntax]


def _select(
    model: nn.Module, spec: Spec, on: Sequence[str | Item] | str | None, exclude: Sequence[str | Item],
    layers: Sequence[int] | None,
) -> Selection:  # fmt: skip
    clause = spec.clauses.on
    if on is None and clause is None and spec.parts and not spec.adapts_everywhere:
        limited = dict.fromkeys(item for items in spec.limits for item in items)
        return select(model, _items(tuple(limited)), exclude, layers, adaptable=_adaptable)
    if on is not None or clause is None:
        return select(model, None if on is None else _listed(on), exclude, layers, adaptable=_adaptable)
    excluded = [*_items(clause.excluded), *exclude]
    blocks = sorted({block for first, last in set(clause.layers) for block in range(first, last + 1)})
    try:
        return select(model, _items(clause.items), excluded, layers or blocks or None, adaptable=_adaptable)
    except SpecTargetError as error:
        if error.span is None and not layers and not exclude:  # layers have no place of their own
            error.span = clause.span
        raise


def _adaptable(module: nn.Module) -> bool:
    return site_of(module) is not None


def _site(target: Target) -> LayerSite:
    carried = adapters_of(target.module)
    if carried is None and is_owner(target.module):
        raise SpecTargetError(
            f"the weight of `{target.name}` carries an adapter together with other modules that hold it",
            hint="name those together, or detach that one first",
        )
    # Another adapter may be merged into the module: what counts is the base.
    site = carried.base_site if carried else site_of(target.module)
    if site is None:
        raise SpecTargetError(f"`{target.name}` is a {type(target.module).__name__}, which cannot carry a spec")
    if site.refusal:
        raise SpecTargetError(f"`{target.name}` cannot carry a spec: {site.refusal}")
    if site.weight.numel() == 0:
        raise SpecTargetError(
            f"`{target.name}` has an empty weight: it is not loaded, or is held elsewhere",
            hint="gather the weights before attaching",
        )
    return site


def _refuse_both(selection: Selection, whole: Sequence[tuple[str, nn.Module]]) -> None:
    parts = {id(part): name for name, module in whole for part in module.modules()}
    for target in selection.targets:
        holder = target.module.owner if isinstance(target.module, HeldParameter) else target.module
        if id(holder) in parts:
            raise SpecTargetError(
                f"`{target.name}` would be adapted and trained whole (`train` names `{parts[id(holder)]}`)",
                hint="leave it out of `on` with `except`, or out of `train`",
            )


def _environments(ir: SpecIR, sites: list[LayerSite], indices: Mapping[str, list[int]]) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {}
    for name, value in indices.items():
        symbol = ir.factors[name].shape[0].as_symbol if ir.factors[name].shape else None
        if symbol is not None and symbol in ir.hyper:
            settings[symbol] = len(value)
    hyper = ir.hyper_values(settings)
    common = {**hyper, "layers": len(sites)}
    return [{**common, **site.sizes, "layer": number} for number, site in enumerate(sites)]
