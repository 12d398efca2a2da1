"""Small concrete sizes at which two specs are compared, in each of the cells `n < m`, `n = m` and `n > m`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from specdsl.equivalence.subject import Subject
from specdsl.ir import Node, SpecIR, topological
from specdsl.node_sizes import own_sizes
from specdsl.rank import rank_bound
from specdsl.sizes import Environment, Number, UnknownSize

CELLS = ("n < m", "n = m", "n > m")
LARGEST = 24
"""The most rows or columns of a base weight."""
_LARGE = 4
_KERNEL = 2
_MODULE = frozenset({"n", "m", "c", "kh", "kw", "tokens"})


@dataclass(frozen=True)
class Shape:
    """Concrete sizes.

    Attributes:
        cell: of `CELLS`.
        sizes: of the module, and the `r` that specs leave open.
        hyper: for every spec hyper-parameters that are made small, as sizes alone; all by the same factor.
    """

    cell: str
    sizes: Mapping[str, Number]
    hyper: tuple[Mapping[str, Number], ...]

    def __str__(self) -> str:
        shown = {name: value for name, value in self.sizes.items() if name not in ("layer", "layers")}
        for changed in self.hyper:
            shown |= changed
        return ", ".join(f"{name}={value}" for name, value in shown.items())


def shapes_for(
    subjects: Sequence[Subject],
    r: int | None = None,
    conditions: Callable[[Environment], bool] | None = None,
    *,
    larger_than: int | None = None,
    tokens: int = 3,
    largest: int = LARGEST,
) -> dict[str, Shape]:
    """The smallest sizes of each cell that meet the size conditions of all specs; cells without any are absent.

    Args:
        r: the rank where a spec leaves it open; by default the smallest from 2 that the conditions allow.
        conditions: what else has to hold, of the sizes and hyper-parameters of the first spec that has each.
        larger_than: what n and m are larger than; by default the rank bounds of the specs.
        largest: the largest n and m that are tried.
    """
    found: dict[str, Shape] = {}
    ranks = [r] if r is not None else [2, 3, 4, 1] if conditions is not None else [2, 3, 4]
    for hyper in _small_hyper(subjects):
        for rank in ranks:
            for shape in _with_rank(subjects, rank, hyper, conditions, larger_than, tokens, largest):
                found.setdefault(shape.cell, shape)
            if found:
                return {cell: found[cell] for cell in CELLS if cell in found}
    return found


def environments(subjects: Sequence[Subject], shape: Shape) -> list[dict[str, Number]]:
    """All sizes and hyper-parameters, for every spec."""
    return [_environment(subject.ir, shape.sizes, hyper) for subject, hyper in zip(subjects, shape.hyper, strict=True)]


def is_open(ir: SpecIR) -> bool:
    """Whether a spec reads a rank and leaves it open."""
    return "r" in ir.hyper and ir.hyper["r"].is_default and "r" in _read(ir)


@lru_cache(maxsize=512)
def _read_symbols(roots: tuple[Node, ...]) -> frozenset[str]:
    return frozenset(name for node in topological(roots) for size in own_sizes(node) for name in size.symbols)


def _read(ir: SpecIR) -> set[str]:
    """The sizes and hyper-parameters that a spec reads, those behind others too."""
    names = set(_read_symbols(tuple(ir.roots())))
    names |= {name for factor in ir.factors.values() for size in factor.shape for name in size.symbols}
    for _ in ir.hyper:
        names |= {inner for name in names & ir.hyper.keys() for inner in ir.hyper[name].value.symbols}
    return names


def _environment(ir: SpecIR, sizes: Environment, hyper: Mapping[str, Number]) -> dict[str, Number]:
    given = {"r": sizes["r"]} if is_open(ir) and "r" in sizes else {}
    return {**sizes, **ir.hyper_values({**given, **hyper})}


def _with_rank(
    subjects: Sequence[Subject], rank: int, hyper: tuple[Mapping[str, Number], ...],
    conditions: Callable[[Environment], bool] | None, larger_than: int | None, tokens: int, largest: int,
) -> Iterator[Shape]:  # fmt: skip
    fixed: dict[str, Number] = {"tokens": tokens, "layer": 0, "layers": 1}
    if any(is_open(subject.ir) for subject in subjects):
        fixed["r"] = rank
    low = max(3, 1 + (_bound(subjects, fixed, hyper) if larger_than is None else larger_than))
    seen: set[str] = set()
    has_kernel = any(_reads_kernel(subject.ir) for subject in subjects)
    for total in range(2 * low, 2 * largest + 1):
        for n in range(max(low, total - largest), min(total - low, largest) + 1):
            m = total - n
            cell = CELLS[(n >= m) + (n > m)]
            if cell in seen or (has_kernel and n % _KERNEL**2):
                continue
            sizes: dict[str, Number] = {"n": n, "m": m, **fixed}
            if has_kernel:
                sizes |= {"c": n // _KERNEL**2, "kh": _KERNEL, "kw": _KERNEL}
            if meets(subjects, sizes, hyper, conditions):
                seen.add(cell)
                yield Shape(cell, sizes, hyper)
        if len(seen) == len(CELLS):
            return


def meets(
    subjects: Sequence[Subject], sizes: Environment, hyper: Sequence[Mapping[str, Number]],
    conditions: Callable[[Environment], bool] | None = None,
) -> bool:  # fmt: skip
    """Whether sizes meet the size conditions of all specs, and others."""
    together: dict[str, Number] = {}
    try:
        for subject, changed in zip(subjects, hyper, strict=True):
            environment = _environment(subject.ir, sizes, changed)
            together = {**environment, **together}
            if not all(condition.holds(environment) for condition in subject.ir.conditions):
                return False
            if any(size.value(environment) < 1 for factor in subject.ir.factors.values() for size in factor.shape):
                return False
        return conditions is None or bool(conditions(together))
    except (UnknownSize, ZeroDivisionError, ValueError, OverflowError):
        return False


def _bound(subjects: Sequence[Subject], fixed: Environment, hyper: Sequence[Mapping[str, Number]]) -> int:
    """The largest rank that a spec's update can have whatever n and m are."""
    bounds = [0]
    for subject, changed in zip(subjects, hyper, strict=True):
        weight = subject.values.get("W'")
        bound = None if weight is None else rank_bound(subject.ir, weight)
        if bound is not None and not (bound.symbols & _MODULE):
            bounds.append(math.ceil(bound.value(_environment(subject.ir, fixed, changed))))
    return max(bounds)


def _reads_kernel(ir: SpecIR) -> bool:
    sizes = [size for node in topological(ir.roots()) for size in node.shape]
    sizes += [size for condition in ir.conditions for size in (condition.left, condition.right)]
    return any(size.symbols & {"c", "kh", "kw"} for size in sizes)


def _small_hyper(subjects: Sequence[Subject]) -> Iterator[tuple[Mapping[str, Number], ...]]:
    """Large hyper-parameters that are sizes divided by one number, so that their ratios stay; last as they are."""
    large = [_large_sizes(subject.ir) for subject in subjects]
    values = [int(value) for names in large for value in names.values()]
    if values:
        common = math.gcd(*values)
        divisors = [divisor for divisor in range(common, 1, -1) if common % divisor == 0]
        for divisor in itertools.islice((d for d in divisors if min(values) // d >= 2), 8):
            yield tuple({name: Fraction(value) / divisor for name, value in names.items()} for names in large)
    yield tuple({} for _ in subjects)


def _large_sizes(ir: SpecIR) -> dict[str, Number]:
    """Set hyper-parameters that are sizes and large."""
    names = {name for factor in ir.factors.values() for size in factor.shape for name in size.symbols}
    for node in topological(ir.roots()):
        names.update(name for size in node.shape for name in size.symbols)
    for condition in ir.conditions:
        names |= condition.left.symbols | condition.right.symbols
    open_rank = {"r"} if is_open(ir) else set()
    actual = {name: value for name, value in ir.hyper_values().items() if name in names - open_rank}
    own = {name for name, parameter in ir.hyper.items() if not parameter.value.symbols}
    return {
        name: value for name, value in actual.items()
        if name in own and float(value).is_integer() and value > _LARGE
    }  # fmt: skip
