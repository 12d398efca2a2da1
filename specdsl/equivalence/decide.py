"""`equivalent`: everything that is known of how two specs relate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from specdsl.equivalence.cells import Question, question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.differences import differences, penalties
from specdsl.equivalence.evidence import certificate, conditions
from specdsl.equivalence.pointwise import pointwise
from specdsl.equivalence.reach import Bounds, Reach, reach
from specdsl.equivalence.start import start
from specdsl.equivalence.subject import subjects, with_same_values
from specdsl.equivalence.verdict import Dimension, Result, Sense, SetResult, StartResult, Status, Verdict
from specdsl.errors import SpecSettingError
from specdsl.printing.text import spec_line
from specdsl.spec import Spec, parse


class Contradiction(RuntimeError):
    """The checker proved two things that exclude each other; nothing that it says can be trusted then."""


def equivalent(
    a: Spec | str | Path,
    b: Spec | str | Path,
    *,
    assume: Sequence[str] = (),
    where: Sequence[str] = (),
    shape: Mapping[str, int] | None = None,
    sense: Sense | None = None,
    budget: float | None = None,
) -> Verdict:
    """How two specs relate: as functions of their factors, as reachable sets, and at the start.

    Args:
        a, b: specs, their texts, files or library names.
        assume: what holds beside the defaults, `"W full row rank"`, `"n = m"`.
        where: relations of sizes, `"r < n"`.
        shape: fixed sizes.
        sense: the only sense that is wanted; the others may stay unknown.
        budget: seconds, after which what is not decided stays unknown.

    Raises:
        SpecError: a spec or a condition is wrong.
        SpecNotBuiltError: the specs cannot be compared.

    >>> from specdsl import equivalent
    >>> equivalent("W + A@G@B | G : r x r ~ eye", "W + A@B").set.relation
    '='
    """
    began = time.perf_counter()
    one, other = (spec if isinstance(spec, Spec) else parse(spec) for spec in (a, b))
    asked = question(*with_same_values(*subjects(one, other)), Conditions.of(assume, where, shape))
    if not asked.cells:
        raise SpecSettingError("no module's sizes meet the conditions of both specs", hint="see `specdsl explain`")
    reaches: list[Reach] = []
    for cell in asked.cells:
        if budget is not None and reaches and time.perf_counter() - began > budget:
            break
        reaches.append(reach(asked.a, asked.b, cell, only_pointwise=sense == "pointwise"))
    is_complete = len(reaches) == len(asked.cells)
    assumed = tuple(dict.fromkeys([*asked.texts, *_defaults(asked)]))
    wanted = sense is None
    late = "not decided in the time given" if not is_complete else "not asked for"
    found_pointwise = (
        pointwise(asked.a, asked.b, reaches, asked.conditions.holds, assumed)
        if (wanted or sense == "pointwise") and is_complete
        else Result("?", "unknown", assumptions=assumed, reason=late)
    )
    found_set = (
        _set(asked, reaches, assumed)
        if (wanted or sense == "set") and is_complete
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
    _refuse_contradiction(found_pointwise, found_set)
    return Verdict(
        str(a) if not isinstance(a, Spec) else a.label, str(b) if not isinstance(b, Spec) else b.label,
        spec_line(one.tree), spec_line(other.tree),
        found_pointwise, found_set, found_start, _dimension(reaches),
        str(one.facts.trained + one.facts.shared), str(other.facts.trained + other.facts.shared),
        penalties(asked.a, asked.b, reaches), differences(asked.a, asked.b), assumed,
        time.perf_counter() - began,
    )  # fmt: skip


def _defaults(asked: Question) -> list[str]:
    said = [] if asked.conditions else ["W generic of full rank, with distinct singular values that are not zero"]
    shown = [
        f"{cell.name}: {', '.join(_sizes(cell.samples[0]))}{' and larger' if len(cell.samples) > 1 else ''}"
        for cell in asked.cells
    ]
    return [*said, "sizes " + "; ".join(shown)]


def _sizes(sample: Mapping[str, object]) -> list[str]:
    return [f"{name} = {sample[name]}" for name in ("n", "m", "r") if name in sample]


def _refuse_contradiction(one: Result, other: SetResult) -> None:
    if one.relation == "=" and one.status == "proved" and other.relation in ("<", ">", "x"):
        raise Contradiction("the checker proved that two specs are equal, and that their sets are not")


def _dimension(reaches: Sequence[Reach]) -> Dimension:
    if not reaches:
        return Dimension(None, None, "")
    last = reaches[len(reaches) // 2]
    one, other = last.dimensions
    return Dimension(
        _shown_dimension(one), _shown_dimension(other),
        ", ".join(_sizes(last.sizes)), bool(one and one.is_known), bool(other and other.is_known),
    )  # fmt: skip


def _shown_dimension(bounds: Bounds | None) -> int | None:
    """The dimension, or a bound from below that says something."""
    return bounds.low if bounds and bounds.is_rigorous and (bounds.low or bounds.is_known) else None


def _set(asked: Question, reaches: Sequence[Reach], assumed: tuple[str, ...]) -> SetResult:
    relations = {one.cell.name: one.relation for one in reaches}
    closures = {one.closure for one in reaches}
    relation = reaches[0].relation if len(set(relations.values())) == 1 else "?"
    closure = closures.pop() if len(closures) == 1 else "?"
    first = reaches[len(reaches) // 2]
    status: Status = "unknown" if relation == "?" else "refuted" if relation == "x" else "proved"
    translate = all(one.translate for one in reaches)
    reason = _reason(first, relation, relations)
    return SetResult(
        relation, status, certificate(reaches), None, tuple(dict.fromkeys([*assumed, *conditions(reaches)])), reason,
        closure=closure, translate=translate, by_shape={} if len(set(relations.values())) == 1 else relations,
    )  # fmt: skip


def _reason(first: Reach, relation: str, relations: Mapping[str, str]) -> str:
    if relation == "?" and len(set(relations.values())) > 1:
        return "it depends on the shape: " + ", ".join(f"{name}: {found}" for name, found in relations.items())
    if relation == "?":
        return first.problem or "neither a certificate nor an invariant was found"
    said = [one.says for one in (first.a_not_in_b, first.b_not_in_a) if one is not None]
    if relation == "=":
        return "every value of one is a value of the other, by exact substitutions"
    return "; ".join(said)
