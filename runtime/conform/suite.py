"""The suite: every property on every case of a spec."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

from specdsl.errors import SpecError, SpecWarning
from specdsl.runtime.conform import devices, facts, formula, merging, saving, several, starts, training
from specdsl.runtime.conform.axes import USUAL, Axes, full_axes, usual_axes
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


def conform(
    spec: Spec, full: bool = False, advance: Advance | None = None, properties: Sequence[Property] = PROPERTIES
) -> SpecReport:
    """Every property of a spec, in every layer type.

    Args:
        spec: any checked spec; one with limited clauses is tried part by part.
        full: every layer type of the suite, each in another dtype as well.
        advance: called with a few words after each case.
        properties: those to try.

    >>> import specdsl
    >>> conform(specdsl.parse("W + A@B")).failed
    False
    """
    cases = []
    for where, part in parts(spec):
        for layer, axes in choices(full):
            cases.append(conform_in(part, layer, axes, where, properties))
            if advance is not None:
                advance(f"{spec.label} in {layer.name}")
    return SpecReport(spec.label, spec.name, tuple(cases), tuple(event.text for event in spec.ir.events))


def case_count(spec: Spec, full: bool = False) -> int:
    """How many cases `conform` tries."""
    return max(1, len(spec.parts)) * len(choices(full))


def parts(spec: Spec) -> Iterator[tuple[str, Spec]]:
    """A spec as ordinary ones: where each of its parts holds, and the part; a spec without limited clauses is one."""
    if not spec.parts:
        yield "", spec
    for part in spec.parts:
        where = ", ".join(item.text for item in part.limit) or "elsewhere"
        yield where, parse_text(str(part), spec.name, **part.settings)


def choices(full: bool) -> list[tuple[LayerType, Axes]]:
    """What a spec is tried in: every layer type in one choice of the other axes, or with `full` in two."""
    tried = [layer for layer in LAYER_TYPES if full or not layer.in_full_only]
    axes_of = full_axes if full else usual_axes
    return [(layer, axes) for place, layer in enumerate(tried) for axes in axes_of(place)]


def conform_in(
    spec: Spec, layer: LayerType, axes: Axes = USUAL, where: str = "", properties: Sequence[Property] = PROPERTIES
) -> CaseReport:
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
        outcomes = broken or {property.name: outcome_of(property, case) for property in properties}
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
