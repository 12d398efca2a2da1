"""`equivalent`: everything that is known of how two specs relate."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from specdsl.equivalence.bounds import Bounds
from specdsl.equivalence.cells import Question, question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.consistency import refuse_contradictions
from specdsl.equivalence.differences import differences, drops_out, penalties
from specdsl.equivalence.evidence import certificate, conditions, reason
from specdsl.equivalence.exact.shapes import read_sizes, reads_rank
from specdsl.equivalence.pointwise import pointwise
from specdsl.equivalence.reach import Reach, reach
from specdsl.equivalence.set_witness import set_witness
from specdsl.equivalence.size_texts import sizes_text
from specdsl.equivalence.start import start
from specdsl.equivalence.subject import Subject, subjects, with_same_values
from specdsl.equivalence.verdict import (
    Dimension,
    Result,
    Sense,
    SetResult,
    StartResult,
    Status,
    Verdict,
    Witness,
    refuse_unknown_sense,
)
from specdsl.errors import SpecSettingError, did_you_mean
from specdsl.printing.text import spec_line
from specdsl.spec import Spec, parse

AnyResult = TypeVar("AnyResult", SetResult, StartResult)


def equivalent(
    a: Spec | str | Path,
    b: Spec | str | Path,
    *,
    assume: Sequence[str] = (),
    where: Sequence[str] = (),
    shape: Mapping[str, int] | None = None,
    sense: Sense | None = None,
    budget: float | None = None,
    with_evidence: bool = True,
) -> Verdict:
    """How two specs relate: as functions of their factors, as reachable sets, and at the start.

    Args:
        a, b: specs, their texts, files or library names.
        assume: what may be taken for granted, `"W full row rank"`, `"n = m"`. With it, `where` or `shape` nothing else
            is said of W; without, W is generic.
        where: relations of sizes, `"r < n"`.
        shape: fixed sizes.
        sense: the only sense that is wanted, of `pointwise`, `set` and `start`; the others may stay unknown.
        budget: seconds, after which what is not decided stays unknown.
        with_evidence: whether certificates and witnesses of reachable sets are written out; without them nothing more
            is decided of sets that are unknown in one relation of n and m.

    Raises:
        SpecError: a spec or a condition is wrong.
        SpecNotBuiltError: the specs cannot be compared.

    >>> from specdsl import equivalent
    >>> equivalent("W + A@G@B | G : r x r ~ eye", "W + A@B").set.relation
    '='
    """
    began = time.perf_counter()
    refuse_unknown_sense(sense)
    one, other = (spec if isinstance(spec, Spec) else parse(spec) for spec in (a, b))
    pair = with_same_values(*subjects(one, other))
    said = Conditions.of(assume, where, shape)
    _refuse_unknown_sizes(pair, shape or {})
    asked = question(*pair, said)
    if not asked.cells:
        raise SpecSettingError(
            f"no module's sizes were found that meet all conditions: {'; '.join(_demands(asked))}",
            hint=_other_sizes(asked),
        )
    reaches: list[Reach] = []
    for cell in asked.cells:
        if budget is not None and reaches and time.perf_counter() - began > budget:
            break
        reaches.append(reach(asked.a, asked.b, cell, only_pointwise=sense == "pointwise"))
        if not with_evidence and reaches[-1].relation == "?" and not reaches[-1].translate:
            break  # the sets stay unknown whatever the other cells say
    is_complete = len(reaches) == len(asked.cells)
    is_open = not with_evidence and reaches[-1].relation == "?"
    assumed = tuple(dict.fromkeys([*_said(asked), *_defaults(asked)]))
    wanted = sense is None
    late = "not decided in the time given" if not (is_complete or is_open) else "not asked for"
    is_cut = is_open and not is_complete
    if is_cut:
        late = "the sets are unknown"
    found_pointwise = (
        pointwise(asked.a, asked.b, reaches, asked.conditions.holds, assumed)
        if (wanted or sense == "pointwise") and (is_complete or (is_open and reaches[-1].pointwise is None))
        else Result("?", "unknown", assumptions=assumed, reason=late)
    )
    found_set = (
        _set(asked, reaches, assumed, with_evidence)
        if (wanted or sense == "set") and (is_complete or is_open)
        else SetResult("?", "unknown", assumptions=assumed, reason=late)
    )
    found_start = (
        start(asked.a, asked.b, reaches, assumed)
        if (wanted or sense == "start") and is_complete
        else StartResult(
            "?", "unknown", assumptions=assumed, reason=late, identity_a=one.facts.starts_at_base,
            identity_b=other.facts.starts_at_base,
        )
    )  # fmt: skip
    if is_cut and found_pointwise.relation == "=":
        found_pointwise = Result("?", "unknown", assumptions=assumed, reason=late)
    if found_pointwise.relation == "=" and found_set.relation == "?" and wanted:
        found_set = _as_functions(found_set, found_pointwise)
    if asked.conditions:
        found_set, found_start = _at_generic_points(found_set), _at_generic_points(found_start)
    refuse_contradictions(asked.a, asked.b, found_pointwise, found_set, found_start, reaches)
    return Verdict(
        str(a) if not isinstance(a, Spec) else a.label, str(b) if not isinstance(b, Spec) else b.label,
        spec_line(one.tree), spec_line(other.tree),
        found_pointwise, found_set, found_start, _dimension(asked, reaches),
        str(one.facts.trained + one.facts.shared), str(other.facts.trained + other.facts.shared),
        penalties(asked.a, asked.b, reaches), differences(asked.a, asked.b), assumed,
        time.perf_counter() - began,
    )  # fmt: skip


def _refuse_unknown_sizes(pair: tuple[Subject, Subject], shape: Mapping[str, int]) -> None:
    known = {"n", "m", "r", "tokens"}.union(*(read_sizes(subject.ir) for subject in pair))
    for name in shape:
        if name not in known:
            raise SpecSettingError(
                f"no size `{name}` is read by either spec",
                hint=did_you_mean(name, known) or f"sizes are {', '.join(sorted(known))}",
            )


def _demands(asked: Question) -> Iterator[str]:
    """All conditions on sizes, with the numbers that the specs put into theirs."""
    yield from asked.conditions.texts
    for subject in (asked.a, asked.b):
        for condition in subject.ir.conditions:
            read = sorted((condition.left.symbols | condition.right.symbols) & subject.hyper.keys())
            numbers = ", ".join(f"{name} = {subject.hyper[name]}" for name in read)
            yield f"{condition}" + (f" ({numbers})" if numbers else "")


def _other_sizes(asked: Question) -> str:
    if asked.conditions.sizes:
        return "take other sizes, or write the spec with other numbers"
    return "`specdsl explain` says of each spec where its conditions come from"


_GENERIC = "W generic of full rank, with distinct singular values that are not zero"


def _as_functions(sets: SetResult, functions: Result) -> SetResult:
    """Equal functions of the same factors have equal sets, known as well as that is."""
    return replace(sets, relation="=", closure="=", translate=False, status=functions.status, by_shape={},
                   certificate=functions.certificate, reason="the same function of the same factors")  # fmt: skip


def _at_generic_points(found: AnyResult) -> AnyResult:
    """What is told apart, or compared as kernels, at random points holds for W that are as random."""
    if found.relation in ("=", "?") and not isinstance(found, StartResult):
        return found
    if found.relation == "?" or any("generic" in text for text in found.assumptions):
        return found
    return replace(found, assumptions=(*found.assumptions, _GENERIC))


def _said(asked: Question) -> Iterator[str]:
    """What the user and the specs say of sizes; of a rank that nothing reads nothing."""
    for text in asked.texts:
        text = text.replace("min(m, n)", "min(n, m)")
        if text in asked.conditions.texts or text != "r <= min(n, m)" or _read_rank(asked):
            yield text


def _read_rank(asked: Question) -> bool:
    return any(reads_rank(subject.ir) for subject in (asked.a, asked.b))


def _defaults(asked: Question) -> list[str]:
    said = [] if asked.conditions else [_GENERIC]
    if any(subject.spec.facts.noise for subject in (asked.a, asked.b)):
        said.append("noise is at its mean, as in evaluation")
    if any(map(drops_out, (asked.a, asked.b))):
        said.append("dropout is off, as in evaluation")
    said += list(dict.fromkeys(text for subject in (asked.a, asked.b) for text in _default_numbers(subject)))
    for cell in asked.cells:
        where, *others = dict.fromkeys(sizes_text(asked.a, asked.b, sizes) for sizes in cell.samples)
        is_stated = {"n", "m"} <= asked.conditions.sizes.keys()
        if others or not is_stated:
            more = " and other ranks" if is_stated else " and larger sizes" if others else ""
            said.append(f"{' '.join(cell.name)}, for {where}{more}")
    return said


def _default_numbers(subject: Subject) -> Iterator[str]:
    """`alpha = r`, where the spec reads alpha and does not set it."""
    for name, parameter in subject.ir.hyper.items():
        if parameter.is_default and name != "r" and name in read_sizes(subject.ir):
            yield f"{name} = {parameter.value}"


def _dimension(asked: Question, reaches: Sequence[Reach]) -> Dimension:
    if not reaches:
        return Dimension(None, None, "")
    last = reaches[len(reaches) // 2]
    one, other = last.dimensions
    return Dimension(
        _shown_dimension(one), _shown_dimension(other),
        sizes_text(asked.a, asked.b, last.sizes), bool(one and one.is_known), bool(other and other.is_known),
    )  # fmt: skip


def _shown_dimension(bounds: Bounds | None) -> int | None:
    """The dimension, or a bound from below that says something."""
    return bounds.low if bounds and bounds.is_rigorous and (bounds.low or bounds.is_known) else None


def _set(
    asked: Question, reaches: Sequence[Reach], assumed: tuple[str, ...], with_evidence: bool
) -> SetResult:  # fmt: skip
    relations = {one.cell.name: one.relation for one in reaches}
    closures = {one.closure for one in reaches}
    relation = reaches[0].relation if len(set(relations.values())) == 1 else "?"
    closure = closures.pop() if len(closures) == 1 and len(reaches) == len(asked.cells) else "?"
    status: Status = "unknown" if relation == "?" else "refuted" if relation == "x" else "proved"
    translate = all(one.translate for one in reaches)
    witnesses = _witnesses(asked, reaches, relation) if with_evidence else []
    lines = certificate(reaches) if with_evidence else ()
    return SetResult(
        relation, status, lines, witnesses[0] if witnesses else None,
        tuple(dict.fromkeys([*assumed, *conditions(reaches)])), _why(asked, reaches, relation),
        closure=closure, translate=translate, by_shape={} if len(set(relations.values())) == 1 else relations,
        other_witness=witnesses[1] if len(witnesses) > 1 else None,
    )  # fmt: skip


def _why(asked: Question, reaches: Sequence[Reach], relation: str) -> str:
    """The reason, with the cell where the others were not looked at."""
    said = reason(asked, reaches, relation)
    return said if len(reaches) == len(asked.cells) else f"where {' '.join(reaches[-1].cell.name)}: {said}"


def _witnesses(asked: Question, reaches: Sequence[Reach], relation: str) -> list[Witness | None]:
    """Values of a that b has not, and of b that a has not, as the relation says."""
    directions = {"<": (True,), ">": (False,), "x": (False, True)}.get(relation, ())
    smallest = min(reaches, key=lambda one: (one.sizes["n"] * one.sizes["m"], one.cell.name))
    return [set_witness(asked.a, asked.b, smallest, is_swapped=swapped) for swapped in directions]
