"""How parameters are read that a forward reads by name: as inputs x outputs, or the other way round.

What the owner's class says is taken; where it says nothing, a parameter called `weight` is read as in `nn.Linear`,
outputs x inputs, and any other as it is held, inputs x outputs. The report states it, and `transposed=` turns it round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from specdsl.errors import SpecTargetError
from specdsl.lowering.adapted import adapters_of
from specdsl.lowering.sites import HeldParameter, LayerSite
from specdsl.runtime.folded_names import folded_names
from specdsl.runtime.items import Item, matches
from specdsl.runtime.roles import named_layers
from specdsl.runtime.targets import Selection, Target


def turn_round(model: nn.Module, selection: Selection, transposed: Sequence[Item | str]) -> None:
    """Read the parameters among the targets that `transposed` names the other way round.

    Raises:
        SpecTargetError: an item names no parameter that is adapted, or another adapter reads one differently.
    """
    rows = [row for row in selection.rows if isinstance(row.module, HeldParameter)]
    adapted = {target.name: (target.module, *target.tied_modules) for target in selection.targets}
    for item in map(Item.of, transposed):
        named = [adapted[row.name] for row in matches(item, model, rows) if row.name in adapted]
        found = [module for modules in named for module in modules]
        if not found:
            raise SpecTargetError(f"{item} names no parameter that is adapted", item.span)
        for held in found:
            assert isinstance(held, HeldParameter)
            held.is_transposed = not held.is_transposed
            _refuse_bias_across(held)
    for target in selection.targets:
        _check_carried(target)


def _refuse_bias_across(held: HeldParameter) -> None:
    """A bias belongs to the outputs, and these are others now."""
    bias = held.bias
    outputs = held.weight.shape[-2] if held.is_transposed else held.weight.shape[-1]
    if bias is not None and bias.shape[-1] != outputs:
        held.bias_attribute = None


def _check_carried(target: Target) -> None:
    held, state = target.module, adapters_of(target.module)
    if not isinstance(held, HeldParameter) or state is None:
        return
    other = state.site[0].module
    if isinstance(other, HeldParameter) and other.is_transposed != held.is_transposed:
        raise SpecTargetError(
            f"`{target.name}` carries an adapter that reads it the other way round",
            hint="give both the same `transposed=`",
        )


def notes_on_reading(selection: Selection, sites: Sequence[LayerSite]) -> Iterator[str]:
    """How each parameter is read whose class does not say it, repeated blocks as one."""
    read: dict[tuple[str, str], list[str]] = {}
    for target, site in zip(selection.targets, sites, strict=True):
        held = target.module
        if not isinstance(held, HeldParameter) or held.orientation_is_known:
            continue
        size = f"{site.sizes['n']} inputs x {site.sizes['m']} outputs"
        many = f"{site.stack} matrices of {size}" if site.stack else size
        read.setdefault((many, "outputs first" if held.is_transposed else "inputs first"), []).append(target.name)
    for (many, order), names in read.items():
        for name in folded_names(names):
            yield f"`{name}` is read as {many}, held {order}; `transposed=` reads it the other way round"


def default_kinds(model: nn.Module) -> Mapping[str, bool]:
    """For each parameter of the model that specs can name, whether it is read transposed by default."""
    return {name: one.is_transposed for name, one in named_layers(model) if isinstance(one, HeldParameter)}
