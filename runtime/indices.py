"""The values of `index` factors that are given at attach: whole numbers, as many as asked for, places that exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Any

from specdsl.errors import SpecSettingError, did_you_mean
from specdsl.ir import Apply, Factor, SpecIR, topological
from specdsl.sizes import Size
from specdsl.spec import Spec


def check_indices(spec: Spec, given: Mapping[str, Any]) -> dict[str, list[int]]:
    """The indices as lists: every one that states no start, and none that the spec does not have.

    Raises:
        SpecSettingError: one is missing, unknown, no list of whole numbers, or not as long as a setting says.
    """
    ir = spec.ir
    wanted = [name for name, factor in ir.factors.items() if factor.kind == "index"]
    for name in given:
        if name not in wanted:
            raise SpecSettingError(f"the spec has no index `{name}`", hint=did_you_mean(name, wanted))
    for name in wanted:
        if ir.factors[name].start is None and name not in given:
            raise SpecSettingError(
                f"the index `{name}` has no value",
                ir.factors[name].span,
                f"give it when attaching: `{name}=[3, 17, 256]`",
            )
    found = {name: _listed(name, value) for name, value in given.items()}
    for name, places in found.items():
        _check_length(spec, name, places)
    return found


def _listed(name: str, value: Any) -> list[int]:
    plain = value.tolist() if hasattr(value, "tolist") else value
    try:
        if isinstance(plain, str) or not isinstance(plain, Iterable):
            raise TypeError
        found = [index(place) for place in plain]
    except TypeError:
        hint = f"for example `{name}=[3, 17, 256]`"
        raise SpecSettingError(f"the index `{name}` is no list of whole numbers: {value!r}", hint=hint) from None
    if not found:
        raise SpecSettingError(f"the index `{name}` is empty")
    return found


def _check_length(spec: Spec, name: str, places: Sequence[int]) -> None:
    """A hyper-parameter that is the length of an index is its real length, and nothing else if it is set."""
    shape = spec.ir.factors[name].shape
    symbol = shape[0].as_symbol if shape else None
    if symbol is not None and symbol in spec.settings and spec.settings[symbol] != len(places):
        raise SpecSettingError(
            f"the index `{name}` has {len(places)} places, but `{symbol}` is set to {spec.settings[symbol]}",
            hint=f"leave `{symbol}` unset: it is the length of `{name}`",
        )


def check_places(name: str, places: Sequence[int], ranges: Sequence[int]) -> None:
    """Raise unless an index stays within all that it picks from.

    Raises:
        SpecSettingError: a place is negative or beyond the end.
    """
    if min(places) < 0:
        raise SpecSettingError(f"the index `{name}` has a negative place")
    if ranges and max(places) >= min(ranges):
        raise SpecSettingError(f"the index `{name}` has a place outside 0..{min(ranges) - 1}")


def index_ranges(ir: SpecIR, name: str) -> list[Size]:
    """For every use of an index as such: how many places it picks from."""
    return [
        size([one.shape for one in node.arguments], dict(node.options))
        for node in topological(ir.roots())
        if isinstance(node, Apply)
        for position, size in (node.definition.index_ranges or {}).items()
        if isinstance(array := node.arguments[position], Factor) and array.name == name
    ]
