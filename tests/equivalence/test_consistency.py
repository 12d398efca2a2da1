"""The checker does not contradict itself: within a verdict, under swapping, over three specs, at fixed sizes."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from specdsl.equivalence.bounds import Bounds
from specdsl.equivalence.cells import question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.consistency import Contradiction, refuse_contradictions
from specdsl.equivalence.decide import equivalent
from specdsl.equivalence.exact.shapes import reads_rank
from specdsl.equivalence.reach import Reach, reach
from specdsl.equivalence.sets.invariants import Separation, separated
from specdsl.equivalence.verdict import Result, SetResult, StartResult, Verdict
from tests.equivalence.consistency import both

ROWS = list(
    csv.DictReader(
        Path(__file__).with_name("pairs.tsv").read_text(encoding="utf-8").splitlines(),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
)
PAIRS = pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])


def assumed(row: dict[str, str]) -> list[str]:
    return [row["assume"]] if row["assume"] else []


# ------------------------------------------------------------------------------------------------ one verdict

EQUAL = Result("=", "proved")
UNKNOWN = Result("?", "unknown")
OPEN = SetResult("?", "unknown")
KERNEL = StartResult("?", "unknown")


def refuse(
    pointwise: Result = UNKNOWN, sets: SetResult = OPEN, start: StartResult = KERNEL, reaches: tuple[Reach, ...] = ()
) -> None:
    refuse_contradictions(*both("W + A@B", "W + A@B"), pointwise, sets, start, reaches)


@pytest.mark.parametrize(
    ("sets", "start"),
    [
        (SetResult("<", "proved", closure="<"), KERNEL),
        (SetResult("?", "unknown", by_shape={"n<m": "=", "n>m": "x"}), KERNEL),
        (SetResult("=", "proved", closure="?"), KERNEL),
        (SetResult("=", "proved", closure="="), replace(KERNEL, kernel="contained")),
    ],
)
def test_equal_functions_have_equal_sets_closures_and_kernels(sets: SetResult, start: StartResult) -> None:
    refuse(sets=SetResult("=", "proved", closure="="), pointwise=EQUAL, start=replace(KERNEL, kernel="same"))
    with pytest.raises(Contradiction):
        refuse(EQUAL, sets, start)


@pytest.mark.parametrize(("relation", "closure"), [("=", "<"), ("<", ">"), (">", "<"), ("<", "x")])
def test_closures_follow_the_sets(relation: str, closure: str) -> None:
    with pytest.raises(Contradiction):
        refuse(sets=SetResult(relation, "proved", closure=closure))


def reached(a: str = "W + A@B", b: str = "W + X | X : n x m ~ zeros") -> Reach:
    one, other = both(a, b)
    return reach(one, other, question(one, other, Conditions.of()).cells[0])


def test_a_contained_set_has_no_larger_dimension() -> None:
    found = reached()
    refuse(reaches=(found,))
    with pytest.raises(Contradiction, match="larger dimension"):
        refuse(reaches=(replace(found, dimensions=(Bounds(9, 9, True), Bounds(8, 8, True))),))
    refuse(reaches=(replace(found, dimensions=(Bounds(9, 9, False), Bounds(8, 8, True))),))


def test_what_is_contained_is_not_also_outside() -> None:
    found = reached()
    with pytest.raises(Contradiction, match="a is contained in b and is not"):
        refuse(reaches=(replace(found, a_not_in_b=Separation("", True, found.sizes)),))


@PAIRS
def test_no_invariant_tells_a_contained_set_apart(row: dict[str, str]) -> None:
    one, other = both(row["a"], row["b"])
    for cell in question(one, other, Conditions.of(assumed(row))).cells[:1]:
        found = reach(one, other, cell)
        a, b = found.a_reduced, found.b_reduced
        if a is not None and b is not None and (found.a_in_b or found.equal):
            assert separated(a, b, cell.samples[0]) is None
        if a is not None and b is not None and (found.b_in_a or found.equal):
            assert separated(b, a, cell.samples[0]) is None


# ------------------------------------------------------------------------------------------------ fixed sizes


@PAIRS
def test_fixed_sizes_do_not_contradict_the_general_verdict(row: dict[str, str]) -> None:
    one, other = both(row["a"], row["b"])
    general = equivalent(row["a"], row["b"], assume=assumed(row), sense="set").set
    is_open = any(reads_rank(one.ir) and "r" not in one.hyper for one in (one, other))
    names = ["n", "m", *(["r"] if is_open else [])]
    cells = question(one, other, Conditions.of(assumed(row))).cells
    cell = cells[int(row["id"]) % len(cells)]
    for sample in (cell.samples[0], cell.samples[-1]):
        sizes = {name: int(sample[name]) for name in names}
        found = equivalent(row["a"], row["b"], assume=assumed(row), shape=sizes, sense="set").set
        wanted = general.by_shape.get(cell.name, general.relation)
        assert found.relation in (wanted, "?") or wanted == "?", (sizes, found.relation, wanted)


# ------------------------------------------------------------------------------------------------ three specs

SPECS = (
    "W + A@B", "W + A@diag(d)@B", "W + A@B | frozen A : n x r ~ kaiming", "W + X | X : n x m ~ zeros",
    "(W + A@B)@diag(t)", "W@diag(t)", "diag(s)@W@diag(t)",
)  # fmt: skip
INCLUDED = {("=", "="): "=", ("=", "<"): "<", ("<", "="): "<", ("<", "<"): "<"}


@cache
def relation(a: str, b: str) -> str:
    found: Verdict = equivalent(a, b, sense="set", assume=["n = m, r < n"])
    return found.set.relation


@pytest.mark.parametrize("middle", SPECS)
def test_verdicts_on_three_specs_fit_together(middle: str) -> None:
    for a, b in itertools.product(SPECS, repeat=2):
        wanted = INCLUDED.get((relation(a, middle), relation(middle, b)))
        if wanted is not None:
            assert relation(a, b) in (wanted, "?"), (a, middle, b)


@pytest.mark.parametrize("a", SPECS)
def test_swapping_the_specs_mirrors_the_verdict(a: str) -> None:
    for b in SPECS:
        assert relation(b, a) == {"<": ">", ">": "<"}.get(relation(a, b), relation(a, b))
