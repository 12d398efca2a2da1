"""Dimensions of reachable sets that are known in closed form, and derivatives with stops and constraints."""

from __future__ import annotations

import pytest

import specdsl
from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.jacobian import dimension_lower_bound, jacobian
from specdsl.equivalence.exact.points import sample
from specdsl.equivalence.subject import Subject, subjects

LORA = "W + A@B"
DORA = "V = W + A@B | g : m ~ colnorm(W) | W' = V@diag(g ./ stop(colnorm(V)))"
ORTHONORMAL = "W + A@diag(d)@B | A : n x r, orthonormal | B : r x m, orthonormal | d ~ zeros"
SIZES = [(6, 6, 2), (6, 8, 2), (8, 6, 3)]


def subject(text: str) -> Subject:
    spec = specdsl.parse(text)
    return subjects(spec, spec)[0]


@pytest.mark.parametrize(("n", "m", "r"), SIZES)
@pytest.mark.parametrize(
    ("text", "formula"),
    [
        (LORA, lambda n, m, r: r * (n + m - r)),
        ("W + A@G@B | G : r x r ~ eye", lambda n, m, r: r * (n + m - r)),
        ("diag(s)@W@diag(t)", lambda n, m, r: n + m - 1),
        ("W@diag(t)", lambda n, m, r: m),
        ("U, S, V = svd(W) | W' = U@diag(S + d)@V | d ~ zeros", lambda n, m, r: min(n, m)),
        (ORTHONORMAL, lambda n, m, r: r * (n + m - r)),
        ("W + A@B | frozen A : n x r ~ kaiming", lambda n, m, r: r * m),
        (DORA, lambda n, m, r: min(n * m, r * (n + m - r) + m)),
    ],
)  # fmt: skip
def test_the_rank_is_the_known_dimension(text: str, formula: object, n: int, m: int, r: int) -> None:
    found = dimension_lower_bound(subject(text), {"n": n, "m": m, "r": r})
    assert found.dimension == formula(n, m, r)  # type: ignore[operator]
    assert found.is_rigorous == ("colnorm" not in text)


@pytest.mark.parametrize(("n", "m", "r"), SIZES)
def test_the_bias_is_part_of_the_set(n: int, m: int, r: int) -> None:
    found = dimension_lower_bound(subject("W' = W + A@B\nb' = b + c | c : m ~ zeros"), {"n": n, "m": m, "r": r})
    assert found.dimension == r * (n + m - r) + m


def test_at_the_start_only_the_factor_beside_a_zero_one_moves_nothing() -> None:
    one = subject(LORA)
    point = sample([one], {"n": 5, "m": 4, "r": 2}, 0, kind="start")
    found = jacobian(one, point)
    assert not found.of("A").any()
    assert found.rank == elimination.rank(found.of("B"), found.prime) == 2 * 4


def test_stop_changes_the_tangent_of_training_alone() -> None:
    one = subject(DORA)
    point = sample([one], {"n": 5, "m": 4, "r": 1}, 0, kind="start")
    trained, reachable = jacobian(one, point, stops=True), jacobian(one, point)
    assert (trained.matrix != reachable.matrix).any()
    assert (trained.of("g") == reachable.of("g")).all()


def test_equal_sets_have_equal_tangent_spaces_at_the_start() -> None:
    a, b = subjects(specdsl.parse(LORA), specdsl.parse("W + 3*A@B"))
    point = sample((a, b), {"n": 5, "m": 4, "r": 2}, 0, kind="start", coupling={})
    first, second = jacobian(a, point), jacobian(b, point)
    assert first.rank == second.rank
    assert first.columns == second.columns


def test_a_function_of_tokens_has_a_row_for_every_token() -> None:
    one = subject("y' = y + x@A@B")
    point = sample([one], {"n": 5, "m": 4, "r": 2, "tokens": 3}, 0)
    assert jacobian(one, point).matrix.shape[0] in (3 * 4, 5 * 4)
