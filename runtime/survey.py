"""What a spec would do to a model, without doing it: modules, sizes, plans and counts. Works on meta weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import nn

from specdsl import limits
from specdsl.affine import NotAffine
from specdsl.elaborate.walks import node_sizes
from specdsl.errors import (
    SpecError,
    SpecNotBuiltError,
    SpecSettingError,
    SpecTargetError,
    did_you_mean,
    raise_all,
)
from specdsl.facts import entries
from specdsl.interpret import Sizes
from specdsl.ir import FactorIR, SpecIR, reads
from specdsl.lowering.layer_adapter import Lowered, lower
from specdsl.lowering.sites import LayerSite, site_of
from specdsl.plan import layer_lists
from specdsl.printing.expression_text import expression_text
from specdsl.runtime.frozen_base import base_parameters
from specdsl.runtime.items import Item
from specdsl.runtime.targets import Selection, Target, select, select_modules
from specdsl.sizes import Size
from specdsl.spec import Spec


@dataclass(frozen=True)
class SurveyedModule:
    """One module that will carry the spec.

    Attributes:
        target: its name, role and block.
        site: the module as `y = x W + b`.
        sizes: its sizes, with those of all modules for `layers(...)`.
        lowered: the plan and programs for these sizes.
        scopes: for each factor the key of its tensor: the module's name, or what shared factors share.
        trainable: trained parameters counted here; a shared factor counts in its first module.
    """

    target: Target
    site: LayerSite
    sizes: Sizes
    lowered: Lowered
    scopes: Mapping[str, str]
    trainable: int


@dataclass(frozen=True)
class Survey:
    """A spec laid over a model.

    Attributes:
        spec: the spec with its settings.
        selection: which modules, and why not others.
        modules: the modules in model order.
        trained_whole: modules that `train` names.
        base_parameters: the model's own parameters.
    """

    spec: Spec
    selection: Selection
    modules: tuple[SurveyedModule, ...]
    trained_whole: tuple[tuple[str, nn.Module], ...]
    base_parameters: int
    indices: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def trainable_parameters(self) -> int:
        """Trained factor entries over the whole model."""
        return sum(module.trainable for module in self.modules)

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
    layers: Sequence[int] | None = None,
    train: Sequence[str | Item] | str | None = None,
    indices: Mapping[str, Any] | None = None,
) -> Survey:
    """Lay `spec` over `model` without changing it.

    Args:
        model: a model, on any device, the meta device included.
        spec: a checked spec, its hyper-parameters set.
        on, exclude, layers: replace the spec's own `on` (see `specdsl.runtime.targets.select`).
        train: modules trained whole, in addition to the spec's own `train`.
        indices: values of `index` factors that are given at attach.

    Raises:
        SpecTargetError: an item matches nothing, a module cannot carry the spec, or sizes do not fit.
        SpecSettingError: an index is missing or unknown.
    """
    _refuse_lists_of_trained(spec)
    selection = _select(model, spec, on, exclude, layers)
    given = _check_indices(spec.ir, dict(indices or {}))
    whole = tuple(select_modules(model, [*_items(spec.clauses.train), *_listed(train)]))
    sites = [_site(target) for target in selection.targets]
    _refuse_both(selection, whole)
    environments = _environments(spec.ir, sites, given)
    _check_conditions(spec, selection, environments)
    modules = _lowered(spec.ir, selection, sites, environments)
    base = sum(parameter.numel() for _, parameter in base_parameters(model))
    return Survey(spec, selection, modules, whole, base, given)


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
    site = site_of(target.module)
    if site is None:
        raise SpecTargetError(f"`{target.name}` is a {type(target.module).__name__}, which cannot carry a spec")
    if site.weight.numel() == 0:
        raise SpecTargetError(
            f"`{target.name}` has an empty weight: it is not loaded, or is held elsewhere",
            hint="gather the weights before attaching",
        )
    return site


def _refuse_both(selection: Selection, whole: Sequence[tuple[str, nn.Module]]) -> None:
    parts = {id(part): name for name, module in whole for part in module.modules()}
    for target in selection.targets:
        if id(target.module) in parts:
            raise SpecTargetError(
                f"`{target.name}` would be adapted and trained whole (`train` names `{parts[id(target.module)]}`)",
                hint="leave it out of `on` with `except`, or out of `train`",
            )


def _check_indices(ir: SpecIR, given: dict[str, Any]) -> dict[str, Any]:
    wanted = [name for name, factor in ir.factors.items() if factor.kind == "index"]
    for name in given:
        if name not in wanted:
            raise SpecSettingError(f"the spec has no index `{name}`", hint=did_you_mean(name, wanted))
    for name in wanted:
        if ir.factors[name].start is None and name not in given:
            factor = ir.factors[name]
            raise SpecSettingError(
                f"the index `{name}` has no value", factor.span, f"give it when attaching: `{name}=[3, 17, 256]`"
            )
    return given


def _environments(ir: SpecIR, sites: list[LayerSite], indices: Mapping[str, Any]) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {}
    for name, value in indices.items():
        symbol = ir.factors[name].shape[0].as_symbol if ir.factors[name].shape else None
        if symbol is not None and symbol in ir.hyper:
            settings[symbol] = len(value)
    hyper = ir.hyper_values(settings)
    common = {**hyper, "layers": len(sites)}
    return [{**common, **site.sizes, "layer": number} for number, site in enumerate(sites)]


def _check_conditions(spec: Spec, selection: Selection, environments: list[dict[str, Any]]) -> None:
    errors: list[SpecError] = []
    for condition in spec.ir.conditions:
        for target, environment in zip(selection.targets, environments, strict=True):
            if "tokens" in condition.left.symbols | condition.right.symbols:
                continue
            if not condition.holds(environment, environments):
                numbers = ", ".join(
                    f"{name} = {_shown(environment[name])}"
                    for name in sorted(condition.left.symbols | condition.right.symbols)
                    if name in environment
                )
                errors.append(
                    SpecTargetError(
                        f"`{target.name}` does not meet the size condition {condition} ({numbers})",
                        condition.span,
                        "leave such modules out with `except`, or change a hyper-parameter",
                    )
                )
                break
    raise_all(errors)


def _shown(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else f"{float(value):g}"


def _lowered(
    ir: SpecIR, selection: Selection, sites: list[LayerSite], environments: list[dict[str, Any]]
) -> tuple[SurveyedModule, ...]:
    cache: dict[Any, Lowered] = {}
    counted: set[tuple[str, str]] = set()
    shapes: dict[tuple[str, str], tuple[int, ...]] = {}
    modules = []
    for target, site, environment in zip(selection.targets, sites, environments, strict=True):
        sizes = Sizes(environment, environments)
        key = (site.traits, tuple(sorted((k, v) for k, v in environment.items() if k != "layer" or _reads_layer(ir))))
        if key not in cache:
            _check_bounds(ir, sizes, target)
            cache[key] = _lower(ir, sizes, site, target)
        scopes = {name: _scope(factor, target, sizes) for name, factor in ir.factors.items()}
        trainable = 0
        for name, factor in ir.factors.items():
            place = (name, scopes[name])
            shape = sizes.shape(factor.shape)
            if shapes.setdefault(place, shape) != shape:
                raise SpecTargetError(
                    f"the shared factor `{name}` would be {_by(shapes[place])} and, for `{target.name}`, {_by(shape)}",
                    factor.span, "share per size too: `shared(n, m)`",
                )  # fmt: skip
            if factor.is_trained and place not in counted:
                counted.add(place)
                trainable += _entries(shape)
        modules.append(SurveyedModule(target, site, sizes, cache[key], scopes, trainable))
    return tuple(modules)


def _lower(ir: SpecIR, sizes: Sizes, site: LayerSite, target: Target) -> Lowered:
    refused = SpecTargetError(
        f"`{target.name}` is an embedding, whose input is one-hot and never built, but the spec reads x as an array",
        hint="there x can only be multiplied by a matrix, as in `x@A`",
    )
    try:
        lowered = lower(ir, sizes, site.traits)
    except NotAffine:
        raise refused from None
    if lowered.output.reads_input and not site.input_is_tokens:
        raise refused
    return lowered


def _reads_layer(ir: SpecIR) -> bool:
    return any("layer" in size.symbols for root in ir.roots() for size in node_sizes(root))


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _entries(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _check_bounds(ir: SpecIR, sizes: Sizes, target: Target) -> None:
    for factor in ir.factors.values():
        count = sizes.number(entries(factor))
        if count > limits.SIZE:
            raise SpecTargetError(
                f"`{factor.name}` would have {float(count):.3g} entries in `{target.name}`; a factor has at most 2^31",
                factor.span,
            )


def _scope(factor: FactorIR, target: Target, sizes: Sizes) -> str:
    """The key of a factor's tensor: modules with equal keys hold one tensor together."""
    if factor.shared is None:
        return target.name
    parts = []
    for key in factor.shared:
        if isinstance(key, Size):
            parts.append(f"{key}={_shown(sizes.number(key))}")
        else:
            parts.append(f"role={target.role or type(target.module).__name__}")
    return "shared(" + ", ".join(parts) + ")"


def check_loaded(model: nn.Module, modules: Sequence[SurveyedModule]) -> None:
    """Raise unless the weights of the modules hold values (they are on the meta device otherwise) and run in place.

    Raises:
        SpecTargetError: attaching for training needs loaded weights, and a forward pass of the module's class.
    """
    for module in modules:
        weight = module.site.weight
        if "forward" in vars(module.target.module):
            raise SpecTargetError(
                f"the forward pass of `{module.target.name}` is replaced on the module itself, as accelerate does to "
                "move weights between devices",
                hint="load the model on one device",
            )
        if weight.is_meta:
            raise SpecTargetError(
                f"`{module.target.name}` is on the meta device: its weights are not loaded",
                hint="load the weights first; `specdsl compile` needs none",
            )
