"""Whether concrete sizes are those of a module that two specs can adapt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from specdsl.equivalence.subject import Subject
from specdsl.ir import Node, SpecIR, topological
from specdsl.node_sizes import own_sizes
from specdsl.sizes import Environment, Number, UnknownSize


def reads_rank(ir: SpecIR) -> bool:
    """Whether a spec depends on r, set or open."""
    return "r" in read_sizes(ir)


def has_open_rank(ir: SpecIR) -> bool:
    """Whether a spec reads r and leaves it open."""
    return "r" in ir.hyper and ir.hyper["r"].is_default and reads_rank(ir)


@lru_cache(maxsize=512)
def _read_symbols(roots: tuple[Node, ...]) -> frozenset[str]:
    return frozenset(name for node in topological(roots) for size in own_sizes(node) for name in size.symbols)


def read_sizes(ir: SpecIR) -> set[str]:
    """The sizes and hyper-parameters that a spec reads, those behind others too."""
    names = set(_read_symbols(tuple(ir.roots())))
    names |= {name for factor in ir.factors.values() for size in factor.shape for name in size.symbols}
    for _ in ir.hyper:
        names |= {inner for name in names & ir.hyper.keys() for inner in ir.hyper[name].value.symbols}
    return names


def meets(
    subjects: Sequence[Subject], sizes: Environment, conditions: Callable[[Environment], bool] | None = None
) -> bool:
    """Whether sizes meet the size conditions of all specs, and others."""
    together: dict[str, Number] = {}
    try:
        for subject in subjects:
            environment = all_sizes(subject.ir, sizes)
            together = {**environment, **together}
            if not all(condition.holds(environment) for condition in subject.ir.conditions):
                return False
            if any(size.value(environment) < 1 for factor in subject.ir.factors.values() for size in factor.shape):
                return False
        return conditions is None or bool(conditions(together))
    except (UnknownSize, ZeroDivisionError, ValueError, OverflowError):
        return False


def all_sizes(ir: SpecIR, sizes: Environment) -> dict[str, Number]:
    """Sizes and the hyper-parameters of a spec; an `r` that it leaves open is that of the sizes."""
    given = {"r": sizes["r"]} if has_open_rank(ir) and "r" in sizes else {}
    return {**sizes, **ir.hyper_values(given)}
