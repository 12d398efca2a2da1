from __future__ import annotations

from typing import Any

import pytest

from specdsl.equivalence.cells import question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.decide import equivalent
from specdsl.equivalence.exact.shapes import reads_rank
from specdsl.equivalence.size_texts import rank_hint, sizes_text
from specdsl.errors import SpecSettingError
from tests.equivalence.consistency import both

SIZES = {"n": 3, "m": 4, "r": 2, "tokens": 5}


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ("W@diag(t)", "diag(s)@W", "n = 3, m = 4"),
        ("W + A@B", "W@diag(t)", "n = 3, m = 4, r = 2"),
        ("W + A@B | r = 4", "W + A@B", "n = 3, m = 4, r = 4 in a and 2 in b"),
        ("W + A@B | r = 4", "W + C@D | r = 4", "n = 3, m = 4, r = 4"),
    ],
)
def test_sizes_are_those_that_the_specs_read(a: str, b: str, text: str) -> None:
    assert sizes_text(*both(a, b), SIZES) == text


def test_a_rank_counts_where_a_value_reads_it() -> None:
    assert [reads_rank(subject.ir) for subject in both("W + A@B", "W@diag(t)")] == [True, False]


@pytest.mark.parametrize(
    ("a", "b", "where", "text"),
    [
        ("W + A@B | r = 4", "W + A@B", [], 'a sets r = 4 and b leaves it open; `--where "r = 4"`'),
        ("W + A@B", "W + A@B | r = 4", [], 'b sets r = 4 and a leaves it open; `--where "r = 4"`'),
        ("W + A@B | r = 4", "W + A@B", ["r = 4"], ""),
        ("W + A@B | r = 4", "W@diag(t)", [], ""),
        ("W + A@B", "W + C@D", [], ""),
    ],
)
def test_a_rank_that_one_spec_sets_is_hinted_at(a: str, b: str, where: list[str], text: str) -> None:
    hint = rank_hint(question(*both(a, b), Conditions.of(where=where)))
    assert hint.startswith(text) if text else not hint


def test_the_hint_leads_to_a_decision() -> None:
    a, b = "W + A@B | r = 4", "W + A@G@B"
    found = equivalent(a, b, sense="set").set
    assert found.relation == "?"
    assert '--where "r = 4"' in found.reason
    assert equivalent(a, b, sense="set", where=["r = 4"]).set.relation == "="


def test_assumptions_are_one_thing_each() -> None:
    found = equivalent("W@diag(t)", "diag(s)@W").assumptions
    assert found == (
        "W generic of full rank, with distinct singular values that are not zero",
        "n < m, for n = 3, m = 4 and larger sizes",
        "n = m, for n = 3, m = 3 and larger sizes",
        "n > m, for n = 4, m = 3 and larger sizes",
    )


def test_a_rank_below_n_and_m_is_said_where_sizes_are_fixed() -> None:
    found = equivalent("W + A@B", "W + X | X : n x m ~ zeros", shape={"n": 4, "m": 4}).set
    assert found.relation == "<"
    assert "r < min(n, m)" in found.assumptions
    assert equivalent("W + A@B", "W + X | X : n x m ~ zeros", shape={"n": 4, "m": 4, "r": 4}).set.relation == "="


@pytest.mark.parametrize(("where", "relation"), [("r > 3", "="), ("r >= 4, n >= 20", "="), ("n >= 768", "=")])
def test_sizes_are_looked_for_where_the_user_says(where: str, relation: str) -> None:
    assert equivalent("W + A@B", "W + A@G@B", where=[where], sense="set").set.relation == relation


def test_what_rests_on_a_generic_weight_says_so() -> None:
    found = equivalent("W@diag(t)", "diag(s)@W@diag(t)", where=["n >= 2"]).set
    assert found.relation == "<"
    assert any(text.startswith("W generic") for text in found.assumptions)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sense": "sett"}, "there is no sense `sett`"),
        ({"shape": {"q": 3}}, "no size `q` is read by either spec"),
        ({"shape": "n=3"}, "a shape gives a number for each size"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecSettingError, match=message):
        equivalent("W + A@B", "W + A@G@B", **settings)


def test_a_verdict_has_no_truth_of_its_own() -> None:
    with pytest.raises(SpecSettingError, match="three senses"):
        bool(equivalent("W + A@B", "W + A@B"))
