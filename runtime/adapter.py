"""The handle of an attached spec: merge, disable, penalties, report, save, detach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from specdsl.errors import SpecMergeError
from specdsl.lowering.adapted import detach_from, merge_together
from specdsl.lowering.layer_adapter import LayerAdapter
from specdsl.printing.counted import counted
from specdsl.runtime.added_rows import let_go, serve
from specdsl.runtime.frozen_base import freeze, release
from specdsl.runtime.given_inputs import current_inputs, set_inputs
from specdsl.runtime.member import Member
from specdsl.runtime.mergeable import check_mergeable, new_biases, warn_of_new_biases
from specdsl.runtime.parameter_groups import parameter_groups
from specdsl.runtime.penalties import penalty_values
from specdsl.runtime.penalty_ledger import PenaltyLedger
from specdsl.runtime.report import AdapterReport, report_of
from specdsl.runtime.survey import Survey
from specdsl.spec import Spec

if TYPE_CHECKING:
    from specdsl.runtime.attach import attach

__all__ = ["Adapter", "attach"]


class Adapter:
    """An attached spec. Made by `specdsl.attach` and `specdsl.load`.

    Attributes:
        model: the model that carries it.
        spec: the spec, with its settings.
        name: its name among the model's adapters.
        seed: of its random starts.
        dtype: of its factors, None for float32.
    """

    def __init__(
        self, model: nn.Module, survey: Survey, name: str, seed: int, dtype: torch.dtype | None, members: list[Member]
    ) -> None:
        self.model = model
        self.survey = survey
        self.spec: Spec = survey.spec
        self.name = name
        self.seed = seed
        self.dtype = dtype
        self.members = members
        self.is_attached = False
        self._originals: dict[str, dict[str, Tensor]] = {}
        self.ledger = PenaltyLedger(self)

    @classmethod
    def _attached(
        cls, model: nn.Module, survey: Survey, name: str, seed: int, dtype: torch.dtype | None,
        members: list[Member], attach_to: Callable[[nn.Module, str, LayerAdapter], None],
    ) -> Adapter:  # fmt: skip
        adapter = cls(model, survey, name, seed, dtype, members)
        freeze(model, name, survey.trained_whole)
        done: list[nn.Module] = []
        try:
            adapter._originals = {place: _copied(module) for place, module in survey.trained_whole}
            for member in members:
                for module in member.modules:
                    attach_to(module, name, member.layer)
                    done.append(module)
            serve(model, members)
            adapter.is_attached = True
            adapter.ledger.start()
        except BaseException:
            for module in done:
                detach_from(module, name)
            let_go(model)
            release(model, name)
            raise
        return adapter

    # ----------------------------------------------------------------------------------------- factors

    def factors(self) -> Iterator[tuple[str, str, Tensor]]:
        """Every factor once: the module that holds it, its name, its value."""
        for member in self.members:
            for name, value in member.layer.own_factors():
                yield member.name, name, value

    def trained_factors(self) -> Iterator[tuple[str, str, Tensor]]:
        """Every trained factor once: the module that holds it, its name, the parameter behind it."""
        for member in self.members:
            for name, _ in member.layer.own_factors():
                if self.spec.ir.factors[name].is_trained:
                    yield member.name, name, member.layer.stored(name)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The trained parameters: of factors, and of the modules that `train` names."""
        for member in self.members:
            for name in member.layer.attributes:
                if self.spec.ir.factors[name].is_trained:
                    yield from member.layer.own_parameters(name)
        for _, module in self.survey.trained_whole:
            yield from module.parameters()

    @property
    def trainable_parameters(self) -> int:
        """Trained factor entries, without what `train` names."""
        return self.survey.trainable_parameters

    def parameter_groups(self, lr: float, weight_decay: float | None = None) -> list[dict[str, Any]]:
        """Groups for an optimiser, with the learning rates and weight decays that the spec gives its factors.

        Args:
            lr: the optimiser's learning rate; a factor with `lr = 16` gets 16 times as much.
            weight_decay: the optimiser's weight decay, where the spec scales it (`decay = 0`).

        >>> import specdsl, torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 4))
        >>> adapter = specdsl.attach(model, "W + A@B | B ~ zeros, lr = 16", on="re:0")
        >>> [group["lr"] for group in adapter.parameter_groups(1e-3)]
        [0.001, 0.016]
        """
        self._check_attached()
        return parameter_groups(self, lr, weight_decay)

    # ------------------------------------------------------------------------------------------ inputs

    def set_inputs(self, **values: Any) -> None:
        """Set inputs of the spec (`input slider : tokens ~ 1`) for the forward passes to come; None takes it back.

        Args:
            values: by name, a number or a tensor: of an input over tokens one entry for every token, `batch x tokens`.

        Raises:
            SpecSettingError: the spec has no such input.

        >>> import specdsl, torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 4))
        >>> adapter = specdsl.attach(model, "input s : tokens ~ 1 | y + diag(s)@x@A@B", on="re:0")
        >>> adapter.set_inputs(s=0.5)
        """
        self._check_attached()
        set_inputs(self, values)

    @contextmanager
    def inputs(self, **values: Any) -> Iterator[None]:
        """`set_inputs` for the length of a `with` block."""
        before = current_inputs(self, values)
        self.set_inputs(**values)
        try:
            yield
        finally:
            self.set_inputs(**before)

    # --------------------------------------------------------------------------------------- penalties

    def penalties(self) -> dict[str, Tensor]:
        """The value of every penalty term, under its text, summed over the modules; for logging, without gradients."""
        self._check_attached()
        with torch.no_grad():
            return penalty_values(self)

    def penalty(self) -> Tensor:
        """The sum of all penalties, for a loop that adds it to its loss: `loss = loss + adapter.penalty()`.

        From the first backward pass through it on, the loop is trusted to add it itself, and a step without it warns.
        Otherwise penalties enter every optimiser step by themselves.
        """
        self._check_attached()
        return self.ledger.tracked(penalty_values(self))

    # ------------------------------------------------------------------------------------------- state

    def merge(self) -> None:
        """Put the adapted weights into the modules; the base tensors are kept for `unmerge`.

        Raises:
            SpecMergeError: the update is no weight, a factor is not finite, or a weight is shared with another
                module. The model is as it was.
        """
        self._check_attached()
        check_mergeable(self)
        try:
            for member in self.members:
                names = member.state.merged
                if self.name not in names:
                    merge_together(member.states, (*names, self.name), member.name)
        except BaseException:
            self.unmerge()
            raise

    def unmerge(self) -> None:
        """Take the adapted weights out again: the base comes back bit for bit."""
        self._check_attached()
        for member in self.members:
            names = member.state.merged
            if self.name in names:
                merge_together(member.states, tuple(name for name in names if name != self.name), member.name)

    @property
    def is_merged(self) -> bool:
        return (
            self.is_attached and bool(self.members) and all(self.name in member.state.merged for member in self.members)
        )

    def merge_and_unload(self) -> nn.Module:
        """The model with the adapted weights in it and nothing of this adapter left.

        Warns where a module has got a bias that its class was made without: a model that is built anew from its
        configuration has no place for it.

        Raises:
            SpecMergeError: as for `merge`, or another adapter is merged. The model is as it was.
        """
        self._check_attached()
        for member in self.members:
            others = [name for name in member.state.merged if name != self.name]
            if others:
                raise SpecMergeError(
                    f"`{member.name}` has other adapters merged: {', '.join(others)}", hint="unmerge them first"
                )
        self.merge()
        new = new_biases(self.members)
        for member in self.members:
            for state in member.states:
                state.keep_merged()
        self._originals.clear()
        model = self.detach()
        if new:
            warn_of_new_biases(new)
        return model

    def detach(self) -> nn.Module:
        """Take the adapter away: the model's weights, classes and `requires_grad` are what they were."""
        self.unmerge()
        self.ledger.stop()
        for member in self.members:
            for module in member.modules:
                detach_from(module, self.name)
        let_go(self.model)
        self._put_back(self._originals)
        release(self.model, self.name)
        self.is_attached = False
        return self.model

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within it the model computes as if this adapter were not there.

        >>> import specdsl, torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 4))
        >>> adapter = specdsl.attach(model, "W + A@B", on="re:0")
        >>> with adapter.disabled():
        ...     bare = model(torch.ones(6))
        """
        self._check_attached()
        merged = [member.state.merged for member in self.members]
        before = [self.name in member.state.disabled for member in self.members]
        self.unmerge()
        trained = self._swapped(self._originals)
        for member in self.members:
            self._switch(member, off=True)
        try:
            yield
        finally:
            self._put_back(trained)
            for member, names, was_off in zip(self.members, merged, before, strict=True):
                self._switch(member, off=was_off)
                if self.name in names:
                    merge_together(member.states, names, member.name)

    def _switch(self, member: Member, off: bool) -> None:
        for state in member.states:
            (state.disabled.add if off else state.disabled.discard)(self.name)
            state.refresh()

    def _put_back(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        for name, values in tensors.items():
            own = _tensors(self.model.get_submodule(name))
            for key, value in values.items():
                own[key].data = value.to(own[key])

    def _swapped(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        """Put `tensors` into the modules and give back what was there."""
        before = {}
        for name in tensors:
            own = _tensors(self.model.get_submodule(name))
            before[name] = {key: own[key].data for key in tensors[name]}
        self._put_back(tensors)
        return before

    # ------------------------------------------------------------------------------------------ checks

    def _check_attached(self) -> None:
        if not self.is_attached:
            raise SpecMergeError(f"the adapter `{self.name}` is not attached any more")

    # ------------------------------------------------------------------------------------------- rest

    def report(self) -> AdapterReport:
        """The adapted modules with shapes, counts and plans; totals; what is not adapted and why."""
        return report_of(self.survey)

    def save(self, folder: str | Path) -> Path:
        """Write the adapter to a folder: safetensors and a JSON, nothing that could run code."""
        from specdsl.runtime.save import save

        return save(self, folder)

    def export_peft(self, folder: str | Path) -> Path:
        """Write the adapter to a folder as Hugging Face PEFT saves its own, if PEFT has its method."""
        from specdsl.runtime.interchange.export_peft import export_peft

        return export_peft(self, folder)

    def __repr__(self) -> str:
        state = "" if self.is_attached else ", detached"
        return (
            f"<Adapter {self.name}: {self.spec.label} on {counted(len(self.members), 'module')}, "
            f"{self.trainable_parameters:,} trained{state}>"
        )


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in _tensors(module).items()}
