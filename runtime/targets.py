"""Which modules of a model a spec goes to: `on`, `except` and `layers`, and what `train` trains whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from specdsl.errors import SpecError, SpecTargetError, raise_all
from specdsl.role_names import GROUPS
from specdsl.runtime.items import Item, matches
from specdsl.runtime.layer_numbers import check_layers, ranges
from specdsl.runtime.roles import (
    SiteRow,
    answers,
    find_family,
    heads,
    is_adaptable,
    is_linear,
    locate,
    model_type_of,
)
from specdsl.runtime.tied_weights import tied_groups, tied_module

__all__ = ["Item", "Selection", "Target", "select", "select_modules"]


@dataclass(frozen=True)
class Target:
    """A module that will carry the spec.

    Attributes:
        name: its name in the model.
        role: its role, with its tower where the model has several; None where it has none.
        layer: the number of its block in its tower; None outside the blocks.
        tied: other selected modules that hold the same weight; they take the same factors.
        shares: modules that hold the same weight too but stay as they are, as they are not selected.
        tied_modules: those of `tied`; where W would be the transpose there, their weight as W is here.
    """

    name: str
    module: nn.Module
    role: str | None
    layer: int | None
    tied: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    tied_modules: tuple[nn.Module, ...] = ()


@dataclass(frozen=True)
class Selection:
    """The targets of one spec in one model.

    Attributes:
        targets: in model order, one for each weight.
        default: whether they are the default, as `on` names none.
        notes: what the user should know, a sentence each.
        skipped: the other modules that could carry a spec or were named, and why each does not.
        rows: all modules of the model.
    """

    targets: tuple[Target, ...]
    default: bool
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    rows: tuple[SiteRow, ...] = ()


Named = list[tuple[Item, list[SiteRow]]]


def select(
    model: nn.Module,
    on: Sequence[Item | str] | None = None,
    exclude: Sequence[Item | str] = (),
    layers: Sequence[int] | None = None,
    *,
    adaptable: Callable[[nn.Module], bool] = is_adaptable,
) -> Selection:
    """The modules that `on ... except ... layers ...` names.

    Without `on` these are the linear maps of attention and MLP inside the repeated blocks; in a model whose
    names are in no table every linear map but the head's, and a note says so.

    Args:
        layers: numbers of blocks, counted from 0 in each tower.
        adaptable: whether a module can carry the spec.

    Raises:
        SpecTargetError: an item or a layer is not in the model, or nothing is left.
        SpecErrors: several of these.

    >>> from specdsl.runtime.architectures import build
    >>> chosen = select(build("deberta-v3-base"), ["attention"], layers=[0, 1])
    >>> len(chosen.targets), chosen.targets[0].name
    (8, 'encoder.layer.0.attention.self.query_proj')
    """
    rows = locate(model)
    named, errors = _resolve(on or (), lambda item: _carriers(item, model, rows, adaptable))
    excluded, more = _resolve(exclude, lambda item: _carriers(item, model, rows, adaptable))
    raise_all([*errors, *more, *check_layers(layers, rows, named)])

    wanted = _names(named) if on else _default(model, rows)
    taken = {row.name: item for item, found in reversed(excluded) for row in found}
    why = {
        row.name: _why_not(row, wanted, taken, layers, able=adaptable(row.module), default=not on)
        for row in rows
        if adaptable(row.module) or (row.name in wanted and _holds_parameters(row.module, recurse=False))
    }
    kept = [row for row in rows if why.get(row.name, "") is None]
    if not kept:
        raise _nothing_left(wanted, excluded, layers)
    targets = tuple(_joined(kept, rows))
    for target in targets:
        why |= {name: f"holds the weight of `{target.name}`" for name in target.shares if name in why}
    return Selection(
        targets=targets,
        default=not on,
        notes=tuple(_notes(model, targets, excluded, wanted, default=not on)),
        skipped=tuple((name, reason) for name, reason in why.items() if reason),
        rows=tuple(rows),
    )


def select_modules(model: nn.Module, train: Sequence[Item | str]) -> list[tuple[str, nn.Module]]:
    """The modules that `train ITEM, ...` names, whole and in model order.

    A head is taken with all it contains. A module inside another that is named too is left out, so that no
    parameter comes twice.

    Raises:
        SpecTargetError: an item is not in the model, or what it names holds no parameters.
        SpecErrors: several of these.
    """
    modules = dict(model.named_modules())
    rows = [replace(row, module=modules[row.name]) for row in locate(model) if row.name in modules]
    named, errors = _resolve(train, lambda item: _trainable(item, model, rows))
    raise_all(errors)
    chosen = {row.name: row.module for row in rows if row.name in _names(named)}
    return [
        (name, module) for name, module in chosen.items() if not any(name.startswith(f"{outer}.") for outer in chosen)
    ]


def _resolve(items: Sequence[Item | str], find: Callable[[Item], list[SiteRow]]) -> tuple[Named, list[SpecError]]:
    """What each item names, and the errors of those that name nothing."""
    named: Named = []
    errors: list[SpecError] = []
    for item in map(Item.of, items):
        try:
            named.append((item, find(item)))
        except SpecTargetError as error:
            errors.append(error)
    return named, errors


def _carriers(
    item: Item, model: nn.Module, rows: Sequence[SiteRow], adaptable: Callable[[nn.Module], bool]
) -> list[SiteRow]:
    """The modules that the item names, of which one at least can carry a spec."""
    found = matches(item, model, rows)
    if not any(adaptable(row.module) for row in found):
        raise SpecTargetError(f"{item} names only modules that cannot carry a spec: {_types(found)}", item.span)
    return found


def _trainable(item: Item, model: nn.Module, rows: Sequence[SiteRow]) -> list[SiteRow]:
    """The modules that the item names and that hold parameters."""
    whole = dict(heads(model)) if item.text == "head" else {}
    found = [row for row in rows if row.name in whole] or matches(item, model, rows)
    able = [row for row in found if _holds_parameters(row.module)]
    if not able:
        raise SpecTargetError(f"{item} names only modules without parameters: {_types(found)}", item.span)
    return able


def _holds_parameters(module: nn.Module, recurse: bool = True) -> bool:
    return next(module.parameters(recurse), None) is not None


def _types(rows: Sequence[SiteRow]) -> str:
    return ", ".join(dict.fromkeys(type(row.module).__name__ for row in rows))


def _names(named: Named) -> set[str]:
    return {row.name for _, found in named for row in found}


def _default(model: nn.Module, rows: Sequence[SiteRow]) -> set[str]:
    linear = [row for row in rows if is_linear(row.module) and row.role != "head"]
    if find_family(model) is None:
        return {row.name for row in linear}
    return {row.name for row in linear if any(answers(row.role, group) for group in GROUPS)}


def _why_not(
    row: SiteRow,
    wanted: set[str],
    taken: Mapping[str, Item],
    layers: Sequence[int] | None,
    *,
    able: bool,
    default: bool,
) -> str | None:
    """Why a module does not carry the spec; None if it does."""
    if row.name not in wanted:
        return f"{row.role or 'no role'}, not adapted by default" if default else "not named by `on`"
    if not able:
        return f"a {type(row.module).__name__} cannot carry a spec"
    if row.name in taken:
        return f"excepted by {taken[row.name]}"
    if layers is not None and row.layer not in layers:
        return f"not in layers {ranges(layers)}"
    return None


def _nothing_left(wanted: set[str], excluded: Named, layers: Sequence[int] | None) -> SpecTargetError:
    if not wanted:
        return SpecTargetError("this model has no linear map to adapt", hint="`on` can name other modules")
    where = f" in layers {ranges(layers)}" if layers is not None else ""
    message = f"nothing is left to adapt{where}"
    if not excluded:
        return SpecTargetError(message)
    items = ", ".join(str(item) for item, _ in excluded)
    return SpecTargetError(f"{message}: `except` takes all of it, {items}", excluded[0][0].span)


def _joined(kept: Sequence[SiteRow], rows: Sequence[SiteRow]) -> Iterator[Target]:
    """One target for each weight."""
    groups, chosen, done = tied_groups(rows), {row.name for row in kept}, set[str]()
    for row in kept:
        if row.name in done:
            continue
        others = [other for other in groups[row.name] if other is not row]
        tied = {o.name: module for o in others if o.name in chosen and (module := tied_module(row.module, o.module))}
        shares = [o.name for o in others if o.name not in tied]
        done.update(tied, shares)
        yield Target(row.name, row.module, row.role, row.layer, tuple(tied), tuple(shares), tuple(tied.values()))


def _notes(
    model: nn.Module, targets: Sequence[Target], excluded: Named, wanted: set[str], *, default: bool
) -> Iterator[str]:
    family, model_type = find_family(model), model_type_of(model)
    if default and family is None:
        kind = f"model type `{model_type}`" if model_type else "this model"
        yield f"the roles of {kind} are not known: every linear map but the output head is adapted"
    for part, whole in family.fused.items() if family else ():
        if not whole.endswith("qkv") and any(answers(target.role, whole) for target in targets):
            yield f"`{whole}` holds `{part}` too in this model, and both are adapted as one matrix"
    for item, found in excluded:
        if not any(row.name in wanted for row in found):
            yield f"`except` {item} takes nothing away"
    for target in targets:
        if target.tied:
            yield f"{_listed(target.name, *target.tied)} hold one weight and take the same factors"
        for name in target.shares:
            yield f"`{name}` holds the weight of `{target.name}` and stays as it is"


def _listed(*names: str) -> str:
    return " and ".join([", ".join(f"`{name}`" for name in names[:-1]), f"`{names[-1]}`"])
