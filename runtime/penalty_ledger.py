"""Penalties enter every optimiser step exactly once, with their written weight, in anybody's training loop.

The gradient of a penalty is added to a factor's gradient when the first backward pass after a step has reached the
factor; the ledger remembers it, so accumulation over several passes adds nothing more, and clipping sees it.
Where gradients are scaled or reduced between processes while the pass runs, it is added right before the step instead,
by a hook on the optimiser. Under float16 that is known beforehand; otherwise the first step that a `GradScaler` makes
tells, and gets its penalty in the right scale. Adding to `outputs.loss` would multiply it by the number of accumulated
passes and lose it wherever the loss is computed anew from the logits.

A loop that uses `adapter.penalty()` in its loss is left alone from then on; a step without it warns. So does a loop
that sums the gradients of several passes in tensors of its own, each of which got the penalty.
"""

from __future__ import annotations

import warnings
import weakref
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from specdsl.errors import SpecWarning
from specdsl.ir import reads
from specdsl.runtime.penalties import penalty_sum, penalty_values
from specdsl.runtime.step_scale import StepScale

if TYPE_CHECKING:
    from specdsl.runtime.adapter import Adapter


class PenaltyLedger:
    """Sees to it that an adapter's penalties are in every step, once.

    The adapted modules hold it, so it lives as long as the model, whether or not the `Adapter` is kept. Hooks refer
    to it weakly: what torch's tensors hold, Python cannot collect.
    """

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.parameters: list[nn.Parameter] = []
        self.by_hand = False
        self._is_running = False
        self._half_precision = False
        self._is_scaled = False
        self._hooks: list[Any] = []
        self._added: dict[nn.Parameter, _Part] = {}
        self._dropped: dict[nn.Parameter, int] = {}
        self._included: set[nn.Parameter] = set()
        self._held: dict[nn.Parameter, _Seen] = {}
        self._lost: set[nn.Parameter] = set()
        self._ready: dict[nn.Parameter, Tensor | None] = {}

    # -------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        if not self.adapter.spec.ir.penalties:
            return
        self._is_running = True
        self.parameters = self._parameters()
        for parameter in self.parameters:
            self._hooks += _watch(parameter, weakref.ref(self))
        ledger = weakref.ref(self)

        def before_step(optimizer: Any, arguments: Any, keywords: Any) -> None:
            own = ledger()
            if own is not None:
                own._before_step(optimizer)

        step_hook = register_optimizer_step_pre_hook(before_step)
        self._hooks.append(step_hook)
        weakref.finalize(self, step_hook.remove)
        for member in self.adapter.members:
            member.layer.watcher = self

    def stop(self) -> None:
        self._is_running = False
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for member in self.adapter.members:
            member.layer.watcher = None

    def __deepcopy__(self, memo: dict[int, Any]) -> PenaltyLedger:
        """A copy of the model has penalties of its own, which start with its first training pass."""
        copied = PenaltyLedger.__new__(PenaltyLedger)
        memo[id(self)] = copied
        copied.__init__(deepcopy(self.adapter, memo))  # type: ignore[misc]
        return copied

    def __getstate__(self) -> dict[str, Any]:
        """A pickled model takes its adapter along; hooks start anew, as in a copy."""
        return {"adapter": self.adapter}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["adapter"])  # type: ignore[misc]

    def _start_copy(self) -> None:
        if not self._is_running and self.adapter.is_attached and self._is_training():
            self.start()

    def passed_forward(self, y: Tensor) -> None:
        """A module's adapter has computed the output `y`."""
        self._start_copy()
        kind = y.device.type
        self._half_precision |= y.dtype == torch.float16 or (
            torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
        )

    def _parameters(self) -> list[nn.Parameter]:
        """The parameters that a penalty reads."""
        adapter = self.adapter
        names = frozenset().union(*(reads(penalty.value) for penalty in adapter.spec.ir.penalties))
        return [
            parameter
            for member in adapter.members
            for name in member.layer.attributes
            if name in names and adapter.spec.ir.factors[name].is_trained
            for parameter in member.layer.own_parameters(name)
        ]

    # --------------------------------------------------------------------------------------- automatic

    def _before_accumulation(self, parameter: nn.Parameter) -> None:
        """Forget what was added to a gradient that has been dropped since, as by `zero_grad` without a step."""
        if parameter in self._added and not self._added[parameter].is_still_in(parameter.grad):
            del self._added[parameter]
            self._dropped[parameter] = self._dropped.get(parameter, 0) + 1
        if parameter in self._held and not self._held[parameter].is_still_in(parameter.grad):
            self._lost.add(parameter)

    def _after_accumulation(self, parameter: nn.Parameter) -> None:
        part = self._added.get(parameter)
        if self.by_hand and parameter in self._included:
            self._held[parameter] = _Seen(parameter.grad)
        if part is not None:
            part.seen(parameter.grad)
        elif not self.by_hand and self._is_training() and not self._must_wait():
            self._add_to(parameter)

    def _is_training(self) -> bool:
        return any(member.layer.training for member in self.adapter.members)

    def _must_wait(self) -> bool:
        """Whether gradients of a pass may be scaled or are reduced between processes while it runs."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if distributed and torch.distributed.get_world_size() > 1:
            return True
        return self._half_precision or self._is_scaled

    def _add_to(self, parameter: nn.Parameter, scale: Tensor | None = None) -> None:
        gradient = self._gradient(parameter)
        if gradient is None:
            return
        if scale is not None:
            gradient = gradient * scale.to(gradient.device)
        if parameter.grad is None:
            parameter.grad = gradient.clone()
        else:
            parameter.grad.add_(gradient)
        self._added[parameter] = _Part(gradient, parameter.grad)

    def _gradient(self, parameter: nn.Parameter) -> Tensor | None:
        """The gradient of all penalties in a parameter. Each is handed out once, so none outlives its pass."""
        if parameter not in self._ready:
            learning = [one for one in self.parameters if one.requires_grad]
            with torch.enable_grad():
                total = penalty_sum(penalty_values(self.adapter))
            found = torch.autograd.grad(total, learning, allow_unused=True)
            self._ready = dict(zip(learning, found, strict=True))
        return self._ready.pop(parameter, None)

    def _before_step(self, optimizer: Any) -> None:
        stepping = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        parameters = [one for one in self.parameters if id(one) in stepping and one.requires_grad]
        if any(parameter.grad is not None for parameter in parameters):
            if self.by_hand:
                self._warn_unless_included(parameters)
            else:
                self._warn_of_sums(parameters)
                scale = StepScale.of(optimizer)
                for parameter in parameters:
                    self._complete(parameter, scale)
                self._is_scaled = scale is not None
        self._half_precision = False
        self._included.difference_update(parameters)
        self._lost.difference_update(parameters)
        self._ready.clear()
        for parameter in parameters:
            for kept in (self._added, self._dropped, self._held):
                kept.pop(parameter, None)

    def _complete(self, parameter: nn.Parameter, scale: StepScale | None) -> None:
        """Add the penalty to a gradient that lacks it, or that held it while a scaler divided it."""
        part = self._added.get(parameter)
        if part is None or parameter.grad is None:
            self._add_to(parameter, scale.wanted if scale else None)
        elif scale is not None:
            missing = (scale.wanted - scale.held).to(part.gradient.device)
            parameter.grad.add_(part.gradient * missing)

    def _warn_of_sums(self, parameters: list[nn.Parameter]) -> None:
        """Gradients that were taken away after a pass and come back in a tensor of the loop's hold a penalty each."""
        summed = [one for one in parameters if one in self._dropped and one in self._added]
        passes = [1 + self._dropped[one] for one in summed if one.grad is not self._added[one].total]
        if passes:
            warnings.warn(
                f"the loop sums gradients itself over {max(passes)} backward passes, each of which was given the "
                f"penalty {self._texts} of the adapter `{self.adapter.name}`; write `loss + adapter.penalty()` in one "
                "of them, and the others are left alone", SpecWarning, stacklevel=5,
            )  # fmt: skip

    def _warn_unless_included(self, parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            if parameter in self._lost and parameter.grad is self._held[parameter].total:  # no sum of the loop's own
                self._included.discard(parameter)
        if self._included.issuperset(parameters):
            return
        warnings.warn(
            f"this training step left out the penalty {self._texts} of the adapter `{self.adapter.name}`, which the "
            "loop adds itself with `adapter.penalty()`", SpecWarning, stacklevel=5,
        )  # fmt: skip

    @property
    def _texts(self) -> str:
        return ", ".join(f"`{penalty.text}`" for penalty in self.adapter.spec.ir.penalties)

    # ----------------------------------------------------------------------------------------- by hand

    def tracked(self, values: dict[str, Tensor]) -> Tensor:
        """The sum of the penalties, which notices when a backward pass goes through it."""
        self._start_copy()
        total = penalty_sum(values)
        if total.requires_grad:
            ledger = weakref.ref(self)

            def passed(gradient: Tensor) -> None:
                own = ledger()
                if own is not None:
                    own._passed()

            total.register_hook(passed)  # type: ignore[no-untyped-call]
        return total

    def _passed(self) -> None:
        self._included.update(self.parameters)
        self._held.clear()
        self._lost.clear()
        self.by_hand = True
        for parameter, part in self._added.items():
            if parameter.grad is not None and part.is_still_in(parameter.grad):
                parameter.grad.sub_(part.gradient)
        self._added.clear()


def _watch(parameter: nn.Parameter, ledger: weakref.ref[PenaltyLedger]) -> list[Any]:
    watched = weakref.ref(parameter)

    def before(incoming: Tensor) -> None:
        own, parameter = ledger(), watched()
        if own is not None and parameter is not None:
            own._before_accumulation(parameter)

    def after(parameter: Tensor) -> None:
        own = ledger()
        if own is not None:
            own._after_accumulation(cast(nn.Parameter, parameter))

    return [
        parameter.register_hook(before),  # type: ignore[no-untyped-call]
        parameter.register_post_accumulate_grad_hook(after),  # type: ignore[no-untyped-call]
    ]


class _Seen:
    """A gradient as a pass left it, and whether what is in it has been dropped since."""

    def __init__(self, total: Tensor | None) -> None:
        self.seen(total)

    def seen(self, total: Tensor | None) -> None:
        """The gradient as the ledger leaves it; torch counts every later change of it in place."""
        self.total = total
        self.changes = -1 if total is None else total._version

    def is_still_in(self, total: Tensor | None) -> bool:
        """Whether `total` was scaled or clipped at most, and not dropped or set to zero."""
        if total is None:
            return False
        return (total is self.total and total._version == self.changes) or bool(total.any())


class _Part(_Seen):
    """What was added to a gradient, and whether the gradient still holds it."""

    def __init__(self, gradient: Tensor, total: Tensor) -> None:
        self.gradient = gradient
        super().__init__(total)
