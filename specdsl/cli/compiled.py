"""A spec laid over a named model: what `compile` prints, writes and emits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from specdsl.cli.placement_options import Placement
from specdsl.spec import Spec

if TYPE_CHECKING:
    from specdsl.runtime.models import LoadedModel
    from specdsl.runtime.report import AdapterReport
    from specdsl.runtime.survey import Survey
    from specdsl.runtime.surveyed_modules import SurveyedModule


@dataclass(frozen=True)
class Compiled:
    """A spec, a model, and what the one does to the other."""

    loaded: LoadedModel
    survey: Survey

    @property
    def spec(self) -> Spec:
        return self.survey.spec

    @cached_property
    def report(self) -> AdapterReport:
        from specdsl.runtime.report import report_of

        return report_of(self.survey)

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know, of the model first."""
        return (*self.loaded.notes, *self.report.notes)

    @property
    def tokens(self) -> int:
        """The number of tokens that the costs are counted for."""
        return self.survey.modules[0].lowered.plan.tokens

    @cached_property
    def kinds(self) -> list[SurveyedModule]:
        """The first module of every distinct plan, in model order: modules of one size and type share theirs."""
        first: dict[int, SurveyedModule] = {}
        for module in self.survey.modules:
            first.setdefault(id(module.lowered), module)
        return list(first.values())

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"model": self.loaded.name, **self.report.as_dict(), "notes": list(self.notes)}


def compile_spec(
    spec: Spec,
    model: str,
    placement: Placement,
    indices: Mapping[str, Sequence[int]],
    *,
    task: str | None = None,
    num_labels: int | None = None,
    weights: bool = False,
) -> Compiled:
    """Lay a spec over the model of that name; without `weights` on the meta device, whatever its size.

    Raises:
        SpecFileError: there is no such model.
        SpecTargetError: the spec does not fit it.
    """
    from specdsl.runtime.models import load_model
    from specdsl.runtime.survey import survey

    loaded = load_model(model, task=task, num_labels=num_labels, weights=weights)
    found = survey(
        loaded.model,
        spec,
        on=placement.on,
        exclude=placement.exclude,
        layers=placement.layers,
        train=placement.train,
        indices=indices,
    )
    return Compiled(loaded, found)
