"""Sizes are held to the conditions of both specs."""

from __future__ import annotations

import specdsl
from specdsl.equivalence.exact.shapes import has_open_rank, meets
from specdsl.equivalence.subject import subjects

BLOCKS = "W + blockdiag(A) | A : 2 x n/2 x m/2 ~ zeros"


def test_sizes_meet_the_conditions_of_both_specs() -> None:
    pair = subjects(specdsl.parse(BLOCKS), specdsl.parse("W + A@B"))
    assert meets(pair, {"n": 4, "m": 6, "r": 2})
    assert not meets(pair, {"n": 3, "m": 6, "r": 2})


def test_given_conditions_are_met() -> None:
    pair = subjects(specdsl.parse("W + A@B"), specdsl.parse("W + A@B"))
    assert not meets(pair, {"n": 4, "m": 6, "r": 2}, lambda sizes: sizes["r"] > sizes["n"])


def test_a_rank_that_a_spec_sets_is_not_open() -> None:
    assert has_open_rank(specdsl.parse("W + A@B").ir)
    assert not has_open_rank(specdsl.parse("W + A@B | r = 4").ir)
    assert not has_open_rank(specdsl.parse("W@diag(t)").ir)
