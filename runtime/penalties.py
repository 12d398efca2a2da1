"""The values of an adapter's penalties, each under its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from specdsl.ir import Node, PenaltyIR, reads
from specdsl.plan import layer_lists

if TYPE_CHECKING:
    from specdsl.runtime.adapter import Adapter


def penalty_values(adapter: Adapter) -> dict[str, Tensor]:
    """Every penalty of an adapter by its text, summed over modules; a shared factor counts once."""
    return {penalty.text: _total(adapter, penalty) for penalty in adapter.spec.ir.penalties}


def _total(adapter: Adapter, penalty: PenaltyIR) -> Tensor:
    lists = _gathered(adapter, penalty)
    total: Tensor | None = None
    seen: set[tuple[Any, ...]] = set()
    members = [member for member in adapter.members if penalty.text in member.layer.lowered.penalties]
    for member in members[:1] if penalty.once else members:
        key = _tensors_read(adapter, member.surveyed.scopes, penalty.value)
        if key in seen:
            continue
        seen.add(key)
        term = member.layer.penalty(penalty.text, member.base_site, lists)
        total = term if total is None else total + term.to(total.device)
    return torch.zeros(()) if total is None else total  # none of the modules it is limited to is adapted


def _gathered(adapter: Adapter, penalty: PenaltyIR) -> list[Tensor]:
    """The value of every `layers(...)` in a penalty: a number of each module, as one array."""
    lists: list[Tensor] = []
    for position in range(len(layer_lists(penalty.value))):
        text = f"{penalty.text} [{position}]"
        members = [member for member in adapter.members if text in member.layer.lowered.penalties]
        terms = [member.layer.penalty(text, member.base_site, lists) for member in members]
        lists.append(torch.stack([term.to(terms[0].device) for term in terms]))
    return lists


def _tensors_read(adapter: Adapter, scopes: Any, value: Node) -> tuple[Any, ...]:
    """What makes two modules' penalties the same term: the very tensors they read."""
    names = reads(value)
    own = tuple((name, scopes[name]) for name in sorted(names) if name in scopes)
    if not names & {"W", "b"} and all(adapter.spec.ir.factors[name].shared is not None for name, _ in own):
        return own
    return (*own, id(scopes))


def penalty_sum(values: dict[str, Tensor]) -> Tensor:
    """The sum of penalties; zero where there are none."""
    total: Tensor | None = None
    for value in values.values():
        total = value if total is None else total + value
    return torch.zeros(()) if total is None else total
