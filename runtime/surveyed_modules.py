"""The modules of a survey: their sizes held to the spec's conditions, their plans, their shared factors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from specdsl import limits
from specdsl.affine import NotAffine
from specdsl.errors import (
    SpecError,
    SpecTargetError,
    raise_all,
)
from specdsl.facts import entries
from specdsl.interpret import Sizes
from specdsl.ir import FactorIR, SpecIR
from specdsl.lowering.layer_adapter import Lowered, lower
from specdsl.lowering.sites import HeldParameter, LayerSite, ParameterSite
from specdsl.node_sizes import node_sizes
from specdsl.runtime.kept_lowerings import kept_lowering
from specdsl.runtime.targets import Selection, Target
from specdsl.sizes import Size

_CONVOLUTIONS = {False: "convolution", True: "convolution of images"}
KERNEL_SIZES = frozenset({"c", "kh", "kw"})


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
        stored: bytes of frozen factors and of values computed once, in float32 unless a factor says otherwise.
    """

    target: Target
    site: LayerSite
    sizes: Sizes
    lowered: Lowered
    scopes: Mapping[str, str]
    trainable: int
    stored: int


def factor_shapes(module: SurveyedModule) -> dict[str, tuple[int, ...]]:
    """The shape of every factor in a module, with the stack as its first axis where the module is one."""
    ahead = () if module.site.stack is None else (module.site.stack,)
    factors = module.lowered.ir.factors
    return {
        name: (*(ahead if factor.shared is None else ()), *module.sizes.shape(factor.shape))
        for name, factor in factors.items()
    }


def check_conditions(irs: Sequence[SpecIR], selection: Selection, environments: list[dict[str, Any]]) -> None:
    """Raise SpecTargetError for every size condition that a module does not meet."""
    errors: list[SpecError] = []
    for ir, target, environment in zip(irs, selection.targets, environments, strict=True):
        _check_kernel(ir, target, environment)
    for condition in dict.fromkeys(condition for ir in irs for condition in ir.conditions):
        for ir, target, environment in zip(irs, selection.targets, environments, strict=True):
            if condition not in ir.conditions:
                continue
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


def _check_kernel(ir: SpecIR, target: Target, environment: Mapping[str, Any]) -> None:
    """Raise unless a module has the kernel whose sizes the spec reads."""
    for condition in ir.conditions:
        missing = KERNEL_SIZES & (condition.left.symbols | condition.right.symbols) - environment.keys()
        if missing:
            raise SpecTargetError(
                f"`{target.name}` is no {_CONVOLUTIONS['c' in environment]}, but the spec reads `{min(missing)}`, a "
                "size of its kernel", condition.span, "adapt convolutions with `on conv`",
            )  # fmt: skip


def _shown(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else f"{float(value):g}"


def survey_modules(
    irs: Sequence[SpecIR], selection: Selection, sites: list[LayerSite], environments: list[dict[str, Any]]
) -> tuple[SurveyedModule, ...]:
    """The modules with their plans; those of equal spec, size and type share one.

    Raises:
        SpecTargetError: a module cannot carry the spec, or a shared factor would have two shapes.
    """
    cache: dict[Any, Lowered] = {}
    counted: set[tuple[str, str]] = set()
    shapes: dict[tuple[str, str], tuple[int, ...]] = {}
    modules = []
    for ir, target, site, environment in zip(irs, selection.targets, sites, environments, strict=True):
        sizes = Sizes(environment, environments)
        key = (
            id(ir),
            site.traits,
            tuple(sorted((k, v) for k, v in environment.items() if k != "layer" or _reads_layer(ir))),
        )
        if key not in cache:
            _check_bounds(ir, sizes, target)
            cache[key] = kept_lowering(ir, environments, key[1:], partial(_lower, ir, sizes, site, target))
        scopes = {name: _scope(factor, target, sizes) for name, factor in ir.factors.items()}
        copies = site.stack or 1
        trainable, stored = 0, copies * cache[key].stored
        for name, factor in ir.factors.items():
            place = (name, scopes[name])
            shape = sizes.shape(factor.shape)
            if shapes.setdefault(place, shape) != shape:
                raise SpecTargetError(
                    f"the shared factor `{name}` would be {_by(shapes[place])} and, for `{target.name}`, {_by(shape)}",
                    factor.span, "share per size too: `shared(n, m)`",
                )  # fmt: skip
            if place in counted or name not in cache[key].factors_in_use:
                continue
            counted.add(place)
            entries_held = math.prod(shape) * (copies if factor.shared is None else 1)
            if factor.is_trained:
                trainable += entries_held
            else:
                stored += _bytes_of_entry(factor) * entries_held
        modules.append(SurveyedModule(target, site, sizes, cache[key], scopes, trainable, stored))
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
    if isinstance(site, ParameterSite) and "b" in lowered.weight and not site.can_have_bias:
        raise SpecTargetError(f"`{target.name}` cannot carry this spec: it makes a bias, and none belongs to it")
    return lowered


def _reads_layer(ir: SpecIR) -> bool:
    return any("layer" in size.symbols for root in ir.roots() for size in node_sizes(root))


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _bytes_of_entry(factor: FactorIR) -> int:
    if factor.kind == "index":
        return torch.long.itemsize
    dtype: torch.dtype = getattr(torch, factor.dtype or "float32")
    return dtype.itemsize


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
        target = module.target.module
        if "forward" in vars(target.owner if isinstance(target, HeldParameter) else target):
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
