"""The suite: every property on every case of a spec."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

from specdsl.errors import SpecError, SpecWarning
from specdsl.runtime.conform import devices, facts, formula, merging, saving, several, starts, training
from specdsl.runtime.conform.axes import USUAL, Axes, covering_axes
from specdsl.runtime.conform.case import Case
from specdsl.runtime.conform.layer_type import LayerType
from specdsl.runtime.conform.layer_types import LAYER_TYPES
from specdsl.runtime.conform.outcome import Outcome
from specdsl.runtime.conform.property import Property
from specdsl.runtime.conform.report import CaseReport, SpecReport
from specdsl.runtime.conform.small_sizes import small
from specdsl.spec import Spec, parse_text

PROPERTIES: tuple[Property, ...] = (
    *starts.PROPERTIES,
    *formula.PROPERTIES,
    *training.PROPERTIES,
    *merging.PROPERTIES,
    *saving.PROPERTIES,
    *several.PROPERTIES,
    *facts.PROPERTIES,
    *devices.PROPERTIES,
)

Advance = Callable[[str], None]
"""Told of every case that is done."""


def conform(spec: Spec, full: bool = False, advance: Advance | None = None) -> SpecReport:
    """Every property of a spec, in every layer type.

    Args:
        spec: any checked spec; one with limited clauses is tried part by part.
        full: also in other dtypes, sizes and batches, and without bias.
        advance: called with a few words after each case.

    >>> import specdsl
    >>> conform(specdsl.parse("W + A@B")).failed
    False
    """
    cases = []
    for where, part in parts(spec):
        for layer in LAYER_TYPES:
            for axes in axes_of(layer, full):
                cases.append(conform_in(part, layer, axes, where))
                if advance is not None:
                    advance(f"{spec.label} in {layer.name}")
    return SpecReport(spec.label, spec.name, tuple(cases), tuple(event.text for event in spec.ir.events))


def case_count(spec: Spec, full: bool = False) -> int:
    """How many cases `conform` tries."""
    return max(1, len(spec.parts)) * sum(len(axes_of(layer, full)) for layer in LAYER_TYPES)


def parts(spec: Spec) -> Iterator[tuple[str, Spec]]:
    """A spec as ordinary ones: where each of its parts holds, and the part; a spec without limited clauses is one."""
    if not spec.parts:
        yield "", spec
    for part in spec.parts:
        where = ", ".join(item.text for item in part.limit) or "elsewhere"
        yield where, parse_text(str(part), spec.name, **part.settings)


def axes_of(layer: LayerType, full: bool) -> list[Axes]:
    """The choices for a layer type: one, or the usual one and the covering ones."""
    if not full:
        return [USUAL]
    chosen = (replace(axes, has_bias=axes.has_bias or len(layer.biases) == 1) for axes in covering_axes())
    return list(dict.fromkeys([USUAL, *chosen]))


def conform_in(spec: Spec, layer: LayerType, axes: Axes = USUAL, where: str = "") -> CaseReport:
    """Every property of a spec in one layer type, or why the spec cannot be there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpecWarning)
        try:
            found = small(spec, layer, axes.order)
        except Exception as error:  # settings that fit no layer are an error of the language, or a mistake of ours
            return CaseReport(where, layer.name, axes, outcomes={"takes small settings": _broken(error)})
        if found is None:
            demands = ", ".join(str(condition) for condition in spec.ir.conditions)
            return CaseReport(where, layer.name, axes, refusal=f"no small layer meets its size conditions: {demands}")
        fitted, sizes = found
        case = Case(fitted, layer, sizes, axes)
        refusal, broken = attaching(case)
        if refusal is not None:
            return CaseReport(where, layer.name, axes, sizes, refusal=refusal)
        outcomes = broken or {property.name: outcome_of(property, case) for property in PROPERTIES}
    return CaseReport(where, layer.name, axes, sizes, dict(fitted.hyperparameters), outcomes)


def attaching(case: Case) -> tuple[str | None, dict[str, Outcome]]:
    """Why a spec cannot be attached, or else the outcome where that breaks instead of saying why."""
    try:
        case.attached()
    except SpecError as error:
        return error.message, {}
    except Exception as error:
        return None, {"attaches": _broken(error)}
    return None, {}


def outcome_of(property: Property, case: Case) -> Outcome:
    """What a property finds; an error in a case that attached is a failure of the property."""
    try:
        return property.check(case)
    except SpecError as error:
        return Outcome("failed", reason=error.message)
    except Exception as error:  # a suite goes on where one property breaks, and says so
        return _broken(error)


def _broken(error: Exception) -> Outcome:
    first = (str(error).strip().splitlines() or [""])[0]
    return Outcome("failed", reason=f"{type(error).__name__}: {first}")
