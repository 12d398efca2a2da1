"""The checker against itself: results of one pair that exclude each other are an error in the checker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from specdsl.equivalence.bounds import Bounds
from specdsl.equivalence.reach import Reach
from specdsl.equivalence.subject import Subject
from specdsl.equivalence.verdict import Result, SetResult, StartResult
from specdsl.ir import Apply, topological

_CLOSURES = {"=": "=", "<": "<=?", ">": ">=?", "x": "x=<>?", "?": "x=<>?"}


class Contradiction(RuntimeError):
    """The checker proved two things that exclude each other; nothing that it says can be trusted then."""


def refuse_contradictions(
    a: Subject, b: Subject, pointwise: Result, sets: SetResult, start: StartResult, reaches: Sequence[Reach]
) -> None:
    """Stop where two results cannot both be right.

    Raises:
        Contradiction: they cannot.
    """
    for found in (*_between_senses(a, b, pointwise, sets, start, reaches), *_of_sets(sets, reaches)):
        raise Contradiction(f"the checker contradicts itself: {found}")


def _between_senses(
    a: Subject, b: Subject, pointwise: Result, sets: SetResult, start: StartResult, reaches: Sequence[Reach]
) -> Iterator[str]:
    if pointwise.relation != "=" or pointwise.status != "proved":
        return
    if {sets.relation, *sets.by_shape.values()} & {"<", ">", "x"}:
        yield "the specs are the same function of their factors, and reach different sets"
    if sets.closure not in ("=", "?"):
        yield "the specs are the same function of their factors, and the closures of their sets differ"
    if start.kernel not in ("same", "?") and _start_alike(a, b) and all(map(_keeps_names, reaches)):
        yield f"the specs are the same function with the same starts, and their kernels are {start.kernel}"


def _keeps_names(reach: Reach) -> bool:
    """Whether every factor stands for the one of its name."""
    names = {} if reach.pointwise is None else reach.pointwise.names
    return reach.pointwise is not None and all(found == (name, False) for name, found in names.items())


def _start_alike(a: Subject, b: Subject) -> bool:
    """Whether all factors are called, start and learn alike, and nothing is stopped."""
    one, other = a.ir, b.ir
    if a.hyper != b.hyper or {name: f.shape for name, f in one.factors.items()} != {
        name: f.shape for name, f in other.factors.items()
    }:
        return False
    alike = all(
        (f.start, f.lr) == (other.factors[name].start, other.factors[name].lr) for name, f in one.factors.items()
    )
    return alike and not any(_stops(subject) for subject in (a, b))


def _stops(subject: Subject) -> bool:
    return any(isinstance(node, Apply) and node.operator == "stop" for node in topological(subject.values.values()))


def _of_sets(sets: SetResult, reaches: Sequence[Reach]) -> Iterator[str]:
    if sets.closure not in _CLOSURES[sets.relation]:
        yield f"the sets are {sets.relation} and their closures {sets.closure}"
    for reach in reaches:
        if reach.a_in_b is not None and reach.a_not_in_b is not None:
            yield f"a is contained in b and is not ({reach.cell.name})"
        if reach.b_in_a is not None and reach.b_not_in_a is not None:
            yield f"b is contained in a and is not ({reach.cell.name})"
        if reach.equal is not None and (reach.a_not_in_b is not None or reach.b_not_in_a is not None):
            yield f"the sets are equal and are not ({reach.cell.name})"
        for one, other in (reach.dimensions, *reach.larger_dimensions):
            larger = _larger(one, other)
            if (
                (larger and reach.relation == "=")
                or (larger == "a" and reach.a_in_b)
                or (larger == "b" and reach.b_in_a)
            ):
                yield f"the sets are {reach.relation} and that of {larger} has the larger dimension ({reach.cell.name})"


def _larger(one: Bounds | None, other: Bounds | None) -> str:
    """The spec whose dimension is proved to be the larger."""
    if one is None or other is None:
        return ""
    if one.is_rigorous and other.high is not None and one.low > other.high:
        return "a"
    return "b" if other.is_rigorous and one.high is not None and other.low > one.high else ""
