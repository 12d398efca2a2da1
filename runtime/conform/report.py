"""What the suite found, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from specdsl.runtime.conform.axes import Axes
from specdsl.runtime.conform.outcome import Outcome


@dataclass(frozen=True)
class CaseReport:
    """One spec in one layer.

    Attributes:
        where: the modules that this part of the spec is limited to; empty for a whole spec.
        layer: the layer type.
        axes: the other choices.
        sizes: of the layer; `tokens` too.
        settings: the values of the spec's hyper-parameters.
        outcomes: of every property, by name.
        refusal: why the spec cannot be attached there, or None.
    """

    where: str
    layer: str
    axes: Axes
    sizes: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    refusal: str | None = None

    @property
    def failures(self) -> dict[str, Outcome]:
        return {name: outcome for name, outcome in self.outcomes.items() if outcome.status == "failed"}

    @property
    def heading(self) -> str:
        """The layer with its sizes, and what is not usual about the case."""
        sizes = f" {self.sizes['n']} x {self.sizes['m']}" if self.sizes else ""
        parts = [f"{self.layer}{sizes}", self.where, str(self.axes)]
        return ", ".join(part for part in parts if part)

    def as_dict(self) -> dict[str, Any]:
        """The case as `--json` prints it."""
        return {
            "layer": self.layer,
            "where": self.where,
            "dtype": self.axes.dtype,
            "bias": self.axes.has_bias,
            "order": self.axes.order,
            "batch": list(self.axes.batch),
            "sizes": dict(self.sizes),
            "settings": {name: float(value) for name, value in self.settings.items()},
            "refused": self.refusal,
            "properties": {name: outcome.as_dict() for name, outcome in self.outcomes.items()},
        }


@dataclass(frozen=True)
class SpecReport:
    """One spec in all layers.

    Attributes:
        label, name: what the spec is called, and the file it came from.
        cases: in the order of parts, layer types and axes.
        left_out: its events, which the suite does not let happen.
    """

    label: str
    name: str
    cases: tuple[CaseReport, ...]
    left_out: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return any(case.failures for case in self.cases)

    @property
    def is_refused(self) -> bool:
        """Whether it could be attached nowhere."""
        return all(case.refusal is not None for case in self.cases)

    def counts(self) -> dict[str, int]:
        """How many properties held, failed and did not apply, and how many cases were refused."""
        statuses: list[str] = [outcome.status for case in self.cases for outcome in case.outcomes.values()]
        kinds = ("held", "failed", "does not apply")
        refused = sum(case.refusal is not None for case in self.cases)
        return {**{kind: statuses.count(kind) for kind in kinds}, "refused cases": refused}

    def as_dict(self) -> dict[str, Any]:
        return {
            "spec": self.label, "name": self.name, "failed": self.failed, "counts": self.counts(),
            "left_out": list(self.left_out),
            "cases": [case.as_dict() for case in self.cases],
        }  # fmt: skip
