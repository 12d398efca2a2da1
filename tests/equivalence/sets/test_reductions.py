"""Every rule of the reductions fires where it may and nowhere else, and every theorem behind one holds in numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.equivalence.cells import question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.reach import images
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.reductions import RULES, reduced
from specdsl.operators import find_operator
from tests.equivalence.consistency import both
from tests.equivalence.form_values import reference

ELSEWHERE = "| starts: elsewhere"
FIRES = {
    "shift": ("U, S, V = svd(W) | W' = U@diag(S + d)@V | d ~ zeros", "what is added to a free factor"),
    "unit_coefficient": ("W + 2*A@B", "a number goes into a free factor"),
    "companion": ("W .* X | X : n x m ~ ones", "what stands beside a free factor"),
    "apart": ("W + A[0]@B + A[1]@C | A : 2 x n x r | B : r x m ~ zeros | C : r x m ~ zeros", "never read together"),
    "merged_beside": ("W + A@diag(d)@B | d ~ ones", "a factor beside"),
    "merged_product": ("W + A@G@B | G : r x r ~ eye", "room inside"),
    "entrywise": ("W + relu(X) | X : n x m ~ normal " + ELSEWHERE, "relu of a free factor"),
    "powers": ("W@diag(t.*t)", "to the power 2 runs over"),
    "rotations": ("cayley(skew(K))@W | K : n x n ~ zeros", "Cayley transforms"),
    "reflections": ("householder(Q)@W | Q : n x 2 ~ normal " + ELSEWHERE, "Cartan-Dieudonne"),
    "unconstrained": ("W + A@B | A : n x r, orthonormal | B : r x m ~ zeros", "QR"),
    "surjective": ("W + P@X | frozen P : n x n ~ normal | X : n x m ~ zeros", "of full rank in front"),
    "low_rank": ("W + A@B", "every matrix of rank at most"),
    "full_rank": ("W + A@B | A : n x n", "room inside"),
    "summed": ("W + A@B + C@D", "a sum of ranks"),
}  # fmt: skip
OTHER = "frozen G : n x n ~ normal | frozen P : r x m ~ normal"
STAYS = [
    ("shift", "W + A@W | A : n x n, orthonormal " + ELSEWHERE, "added to a free"),
    ("unit_coefficient", "W + 2*A@B + 3*A@B@H | frozen H : m x m ~ normal", "a number goes into a free factor"),
    ("unit_coefficient", "W + (r - 2)*A@B", "a number goes into a free factor"),
    ("unit_coefficient", "W + 2*A@B | A : n x r, orthonormal | frozen B : r x m ~ normal " + ELSEWHERE, "a number"),
    ("companion", "W .* X + X@H | X : n x m ~ normal | frozen H : m x m ~ normal " + ELSEWHERE, "what stands beside"),
    ("companion", "relu(X) .* W | X : n x m ~ ones", "what stands beside"),
    ("apart", "W + A[:, :2]@B + A@C | A : n x r | B : 2 x m ~ zeros | C : r x m ~ zeros | r = 4", "never read"),
    ("powers", "W@diag(t.*t.*t + t) | t ~ normal " + ELSEWHERE, "to the power"),
    ("apart", "W + A[:, :2]@B + A[:, 1:3]@C | A : n x r | B : 2 x m ~ zeros | C : 2 x m ~ zeros | r = 4",
     "never read together"),
    ("merged_beside", "W + A@diag(d)@B + A@B@H | d ~ ones | frozen H : m x m ~ normal", "a factor beside"),
    ("merged_product", "W + A@G@A.T@W | G : n x n ~ zeros | A : n x n", "room inside"),
    ("merged_product", "W + A@B + G@A@P | A : n x n ~ normal | B : n x m ~ zeros | frozen G : n x n ~ normal "
     "| frozen P : n x m ~ normal " + ELSEWHERE, "room inside"),
    ("entrywise", "W + relu(X) + X | X : n x m ~ normal " + ELSEWHERE, "relu of a free factor"),
    ("entrywise", "W + relu(A@B) | A ~ normal | B ~ normal " + ELSEWHERE, "relu of a free factor"),
    ("rotations", "cayley(skew(K))@W + K@W | K : n x n ~ zeros", "Cayley transforms"),
    ("rotations", "cayley(K)@W | K : n x n ~ zeros", "Cayley transforms"),
    ("rotations", "cayley(skew(A@B))@W | A : n x r | B : r x n ~ zeros", "Cayley transforms"),
    ("reflections", "householder(Q)@W + Q@B | Q : n x 2 ~ normal | B : 2 x m ~ normal " + ELSEWHERE, "Cartan"),
    ("unconstrained", "W + A@A.T@W | A : n x r, orthonormal " + ELSEWHERE, "QR"),
    ("unconstrained", f"W + A@B + G@A@P | A : n x r, orthonormal | B : r x m ~ normal | {OTHER} {ELSEWHERE}", "QR"),
    ("unconstrained", "W + A@diag(d)@B | A : n x r, orthonormal | B : r x m, orthonormal | frozen d : r ~ normal "
     + ELSEWHERE, "SVD"),
    ("surjective", "W + P@B | frozen P : n x r ~ normal", "of full rank in front"),
    ("surjective", "W + P@B + B | frozen P : n x n ~ normal | B : n x m ~ zeros", "of full rank in front"),
    ("surjective", "W + P@B | index I : n ~ balanced(n) | P = take(eye(n), I) | B : n x m ~ zeros",
     "of full rank in front"),
    ("low_rank", f"W + A@B + G@A@P | A : n x r ~ normal | B : r x m ~ normal | {OTHER} {ELSEWHERE}",
     "every matrix of rank at most"),
    ("low_rank", "W + A@A.T@W | A : n x r ~ normal " + ELSEWHERE, "every matrix of rank at most"),
    ("full_rank", "W + A@B", "is no bound"),
    ("full_rank", "W + A@B | A : n x 10", "is no bound"),
    ("summed", "W + A@B + (C@D) .* H | D : r x m ~ zeros | frozen H : n x m ~ normal", "a sum of ranks"),
]  # fmt: skip


def steps(text: str) -> list[str]:
    """The rules that fired, in the cell where n is below m."""
    return [step.rule for step in reduced(image(text)).steps]


def image(text: str) -> Image:
    one, other = both(text, text)
    cell = question(one, other, Conditions.of()).cells[0]
    return images(one, other, cell, cell.world())[0]


def test_every_rule_is_tried_here() -> None:
    assert {rule.__name__ for rule in RULES} == set(FIRES) == {name for name, _, _ in STAYS}


@pytest.mark.parametrize("rule", FIRES)
def test_a_rule_fires_where_it_may(rule: str) -> None:
    text, said = FIRES[rule]
    assert any(said in one for one in steps(text)), steps(text)


@pytest.mark.parametrize(("rule", "text", "said"), STAYS, ids=[f"{rule}: {text}" for rule, text, _ in STAYS])
def test_a_rule_does_not_fire_where_it_may_not(rule: str, text: str, said: str) -> None:
    assert not any(said in one for one in steps(text)), steps(text)


@pytest.mark.parametrize("rule", FIRES)
def test_what_a_rule_leaves_reaches_the_old_values(rule: str) -> None:
    """The value at a random point is the value of the reduced form at the new factors that the rule says."""
    text, _ = FIRES[rule]
    one, other = both(text, text)
    cell = question(one, other, Conditions.of()).cells[0]
    before = images(one, other, cell, cell.world())[0]
    after = reduced(before)
    wanted, known = reference(one, cell.samples[0])
    assert_allclose(known.form(before.forms["W'"]), wanted["W'"], atol=1e-9)
    assert len(after.factors) <= len(before.factors)


# ------------------------------------------------------------------------------------------ theorems in numbers

random = np.random.default_rng(0)


def value(name: str, *arrays: Any) -> Any:
    operator = find_operator(name)
    assert operator is not None
    return operator.value(NUMPY, *arrays)


def test_a_matrix_of_rank_r_is_a_product() -> None:
    T = random.normal(size=(5, 2)) @ random.normal(size=(2, 6))
    U, S, V = np.linalg.svd(T)
    A, B = U[:, :2] * S[:2], V[:2]
    assert_allclose(A @ B, T, atol=1e-9)


def test_a_sum_of_ranks_is_one_matrix_and_every_such_matrix_is_a_sum() -> None:
    T = random.normal(size=(6, 3)) @ random.normal(size=(3, 7))
    U, S, V = np.linalg.svd(T)
    first, rest = (U[:, :1] * S[:1]) @ V[:1], (U[:, 1:3] * S[1:3]) @ V[1:3]
    assert (np.linalg.matrix_rank(first), np.linalg.matrix_rank(rest)) == (1, 2)
    assert_allclose(first + rest, T, atol=1e-9)


def test_a_product_with_a_free_factor_has_an_orthonormal_left_one() -> None:
    A, B = random.normal(size=(5, 2)), random.normal(size=(2, 4))
    Q, R = np.linalg.qr(A)
    assert_allclose(Q @ (R @ B), A @ B, atol=1e-9)


def test_a_product_is_an_orthonormal_one_around_a_diagonal() -> None:
    T = random.normal(size=(5, 2)) @ random.normal(size=(2, 4))
    U, S, V = np.linalg.svd(T, full_matrices=False)
    assert_allclose(U[:, :2] @ np.diag(S[:2]) @ V[:2], T, atol=1e-9)
    assert (S >= 0).all()


def test_every_rotation_without_minus_one_is_a_cayley_transform_of_a_skew_matrix() -> None:
    K = random.normal(size=(4, 4))
    Q = value("cayley", (K - K.T) / 2)
    back = (np.eye(4) - Q) @ np.linalg.inv(np.eye(4) + Q)
    assert_allclose(back, -back.T, atol=1e-9)
    assert_allclose(value("cayley", back), Q, atol=1e-9)
    assert_allclose(2 * np.linalg.inv(np.eye(4) + (K - K.T) / 2) - np.eye(4), Q, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_orthogonal_matrix_beside_the_identity_is_a_product_of_as_many_reflections(count: int) -> None:
    H = value("householder", random.normal(size=(5, count)))
    columns, left = [], H
    while np.abs(left - np.eye(5)).max() > 1e-9 and len(columns) <= count:
        x = random.normal(size=5)
        u = left @ x - x  # the reflection that takes the image of x back; what was fixed stays fixed
        columns.append(u)
        left = left - np.outer(2 * u / (u @ u), u @ left)
    assert len(columns) <= count
    assert_allclose(value("householder", np.array(columns).T), H, atol=1e-8)


def test_zero_columns_are_no_reflections() -> None:
    Q = random.normal(size=(4, 2))
    assert_allclose(value("householder", np.hstack([Q, np.zeros((4, 2))])), value("householder", Q), atol=1e-9)


PREIMAGES: Mapping[str, tuple[Callable[[Any], Any], Any]] = {
    "relu": (lambda y: y, [0.0, 0.5, 3.0]),
    "abs": (lambda y: y, [0.0, 0.5, 3.0]),
    "exp": (np.log, [0.1, 1.0, 9.0]),
    "sigmoid": (lambda y: np.log(y / (1 - y)), [0.1, 0.5, 0.9]),
    "tanh": (np.arctanh, [-0.9, 0.0, 0.9]),
    "sin": (np.arcsin, [-1.0, 0.0, 1.0]),
    "cos": (np.arccos, [-1.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("name", PREIMAGES)
def test_functions_of_entries_reach_their_whole_range(name: str) -> None:
    inverse, reached = PREIMAGES[name]
    assert_allclose(value(name, inverse(np.array(reached))), reached, atol=1e-9)


def test_a_matrix_of_full_row_rank_reaches_everything() -> None:
    P, X = random.normal(size=(3, 5)), random.normal(size=(3, 4))
    assert_allclose(P @ (np.linalg.pinv(P) @ X), X, atol=1e-9)
