"""One adapted module of an adapter."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from specdsl.lowering.adapted import ModuleAdapters, adapters_of
from specdsl.lowering.layer_adapter import LayerAdapter
from specdsl.lowering.sites import LayerSite
from specdsl.runtime.surveyed_modules import SurveyedModule


@dataclass(frozen=True)
class Member:
    """One adapted module: what the survey says of it, and its factors."""

    surveyed: SurveyedModule
    layer: LayerAdapter
    tied: tuple[nn.Module, ...] = ()
    """Other modules that hold the same weight and run the same factors."""

    @property
    def name(self) -> str:
        return self.surveyed.target.name

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self.surveyed.target.module, *self.tied)

    @property
    def states(self) -> tuple[ModuleAdapters, ...]:
        """What the modules carry; they are merged together."""
        found = tuple(adapters_of(module) for module in self.modules)
        assert all(found)
        return found  # type: ignore[return-value]

    @property
    def state(self) -> ModuleAdapters:
        return self.states[0]

    @property
    def base_site(self) -> LayerSite:
        """The module with the base's own weight, also while adapters are merged into it."""
        return self.state.base_site
