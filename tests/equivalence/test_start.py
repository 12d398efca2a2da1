"""Starts: the values and the tangent kernels, which draws may be one draw, and what a ratio is said of."""

from __future__ import annotations

import pytest

from specdsl.equivalence.decide import equivalent

ELSEWHERE = "\nstarts: elsewhere"
DEFAULT = "W + A@B | A : n x r ~ kaiming | B : r x m ~ zeros"
FROZEN = "W + P.T@B | frozen P : n x n ~ normal | B : n x m ~ zeros"


@pytest.mark.parametrize(
    ("a", "b", "same_value", "is_equal"),
    [
        ("W + A@B", "W + C@D", True, True),
        ("W + A@A.T | A : n x r ~ kaiming" + ELSEWHERE, "W + C@C.T | C : n x r ~ kaiming" + ELSEWHERE, True, True),
        ("W + s*W | s : 1 ~ 1" + ELSEWHERE, "W + s*W | s : 1 ~ 2" + ELSEWHERE, False, False),
        ("W + A@A.T | A : n x r ~ kaiming" + ELSEWHERE, "W + A@B", False, False),
    ],
)
def test_specs_start_alike_if_values_and_kernels_do(a: str, b: str, same_value: bool, is_equal: bool) -> None:
    verdict = equivalent(a, b, sense="start")
    assert (verdict.start.same_value, verdict.is_equal("start")) == (same_value, is_equal)


@pytest.mark.parametrize(
    ("a", "b", "kernel"),
    [
        ("W + A.T@B | A : r x n ~ kaiming | B : r x m ~ zeros", DEFAULT, "?"),
        ("W + A.T@B | A : r x n | B : r x m ~ zeros", DEFAULT, "same"),
        (FROZEN, "W + Q@B | frozen Q : n x n ~ normal | B : n x m ~ zeros", "same"),
    ],
    ids=["scales of rows and of columns", "one scale", "square"],
)
def test_a_transposed_draw_is_the_same_draw_only_at_the_same_scale(a: str, b: str, kernel: str) -> None:
    assert equivalent(a, b, sense="start").start.kernel == kernel


def test_a_ratio_that_depends_on_the_weight_is_no_number() -> None:
    start = equivalent("c*W | c : 1 ~ 1", "W + c*norm(W)*W | c : 1 ~ 0", sense="start").start
    assert (start.kernel, start.ratio) == ("proportional", None)


def test_a_rank_that_one_spec_sets_may_be_that_of_the_other() -> None:
    assert equivalent("W + A@B", "W + A@B | r = 2", sense="start").start.kernel == "?"
    assert equivalent("W + A@B", "W + A@B | r = 2", where=["r = 2"], sense="start").start.kernel == "same"


@pytest.mark.parametrize(("rate", "kernel", "ratio"), [("1/9", "same", "1"), ("1/3", "proportional", "3")])
def test_a_rate_is_the_fraction_that_was_written(rate: str, kernel: str, ratio: str) -> None:
    found = equivalent(f"W + 3*A@B | B : r x m ~ zeros, lr = {rate}", "W + A@B").start
    assert (found.kernel, found.ratio) == (kernel, ratio)


def test_what_is_supported_states_its_chance() -> None:
    assert "d / 2^31" in equivalent("W + A@B", "W + A@B").start.reason
