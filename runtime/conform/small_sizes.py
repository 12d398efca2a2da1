"""A small layer that a spec fits: odd sizes that meet its size conditions, and small hyper-parameters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from specdsl.elaborate.start_check import takes_sizes
from specdsl.errors import SpecError
from specdsl.ir import Fold, SpecIR, topological
from specdsl.runtime.conform.axes import ORDERS
from specdsl.runtime.conform.layer_type import LayerType
from specdsl.sizes import UnknownSize
from specdsl.spec import Spec, parse_text

VALUES = (3, 2, 4)
"""What hyper-parameters that are sizes are made, in this order, if they are larger."""

TOKENS = (4, 3, 6, 8)
LARGEST = 48
_TRIED = 60
"""As many sizes are tried, where an operator refuses some that meet the conditions."""
_CHOSEN_FREELY = 2
"""As many hyper-parameters get every combination of values; the others all get one."""


def small(spec: Spec, layer: LayerType, order: str) -> tuple[Spec, dict[str, int]] | None:
    """The spec with small hyper-parameters, and sizes (`tokens` too) of a layer that meets its conditions.

    Args:
        spec: any spec without limited clauses.
        layer: the type of the layer.
        order: of n and m, if the conditions leave a choice.

    Returns:
        None if there is no such layer among small ones.
    """
    orders = (order, *(one for one in ORDERS if one != order))
    for settings in _settings(spec):
        hyper = spec.ir.hyper_values(settings)
        for one in orders:
            fitting = itertools.islice(_fitting(spec.ir, layer, one, hyper), _TRIED)
            sizes = next(fitting, None)
            if sizes is None:
                continue
            made = _with(spec, tuple(sorted(settings.items())))
            if made is None:
                break  # these values do not start; sizes do not matter for that
            usual = {"layer": 0, "layers": 1, **made.ir.hyper_values()}
            for chosen in (sizes, *fitting):
                if takes_sizes(made.ir, {**usual, **chosen}):
                    return made, chosen
    return None


@lru_cache(maxsize=64)
def _with(spec: Spec, settings: tuple[tuple[str, int], ...]) -> Spec | None:
    """The spec with these settings and without what it trains beside its factors; None where they are impossible."""
    try:
        made = parse_text(spec.text, spec.name, **{**spec.settings, **dict(settings)})
    except SpecError:
        return None
    made.clauses.train.clear()  # the small model has no such modules
    return made


def _settings(spec: Spec) -> Iterator[dict[str, int]]:
    names = [name for name in _large_sizes(spec.ir) if name not in spec.settings]
    free, others = names[:_CHOSEN_FREELY], names[_CHOSEN_FREELY:]
    for values in itertools.product(VALUES, repeat=len(free)):
        rest = values[-1] if values else VALUES[0]
        yield {**dict(zip(free, values, strict=True)), **dict.fromkeys(others, rest)}
    if names:
        yield {}


def _large_sizes(ir: SpecIR) -> list[str]:
    """Hyper-parameters with a number of their own that are sizes, and large."""
    used: set[str] = set()
    shapes = [factor.shape for factor in ir.factors.values()] + [given.shape for given in ir.given.values()]
    for shape in (*shapes, *(node.shape for node in topological(ir.roots()))):
        used.update(*(size.symbols for size in shape))
    for node in topological(ir.roots()):
        used |= node.count.symbols if isinstance(node, Fold) else frozenset()
    for condition in ir.conditions:
        used |= condition.left.symbols | condition.right.symbols
    values = ir.hyper_values()
    return [
        name
        for name, one in ir.hyper.items()
        if name in used and one.measured is None and not one.value.symbols
        and float(values[name]).is_integer() and values[name] > max(VALUES)
    ]  # fmt: skip


def _fitting(ir: SpecIR, layer: LayerType, order: str, hyper: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    for n, m in _pairs(order):
        for sizes in layer.sizes(n, m):
            for tokens in TOKENS:
                found = {**sizes, "tokens": tokens}
                if _meets(ir, {**hyper, **found}):
                    yield found


@cache
def _pairs(order: str) -> tuple[tuple[int, int], ...]:
    """Sizes by their sum, pairs of odd ones first."""
    numbers = range(4, LARGEST + 1)
    pairs = [(n, m) for n in numbers for m in numbers if order == ("wide" if n < m else "tall" if n > m else "square")]
    return tuple(sorted(pairs, key=lambda pair: (sum(pair) + 6 * (2 - pair[0] % 2 - pair[1] % 2), pair)))


def _meets(ir: SpecIR, environment: Mapping[str, Any]) -> bool:
    layers = [{**environment, "layer": layer, "layers": 2} for layer in range(2)]
    try:
        return all(condition.holds(one, layers) for one in layers for condition in ir.conditions)
    except (UnknownSize, ZeroDivisionError, ValueError):
        return False
