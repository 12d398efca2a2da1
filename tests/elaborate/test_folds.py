"""Folds and stacks: what they mean, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import specdsl

RANDOM = np.random.default_rng(3)
W = RANDOM.normal(size=(6, 4))


def factors(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {name: RANDOM.normal(size=shape) for name, shape in shapes.items()}


def test_a_sum_over_an_index_is_the_sum_of_its_terms() -> None:
    given = factors(A=(3, 6, 2), B=(3, 2, 4))
    spec = "k = 3 | A : k x n x r | B : k x r x m | W + sum(A[i]@B[i]/(i + 1) for i < k)"
    adapted, _ = specdsl.weight(spec, W, factors=given, r=2)
    expected = W + sum(given["A"][i] @ given["B"][i] / (i + 1) for i in range(3))
    np.testing.assert_allclose(adapted, expected, rtol=1e-12)


def test_a_product_over_an_index_multiplies_from_left_to_right() -> None:
    given = factors(G=(3, 6, 6))
    adapted, _ = specdsl.weight("k = 3 | G : k x n x n | prod(eye + G[i] for i < k) @ W", W, factors=given)
    expected = W
    for matrix in given["G"][::-1]:
        expected = (np.eye(6) + matrix) @ expected
    np.testing.assert_allclose(adapted, expected, rtol=1e-12)


def test_a_stack_has_one_entry_for_every_value_of_its_index() -> None:
    given = factors(A=(6, 2), B=(2, 4))
    spec = "k = 3 | W + sum([i * A@B for i < k], axis=0)"
    adapted, _ = specdsl.weight(spec, W, factors=given, r=2)
    np.testing.assert_allclose(adapted, W + 3 * given["A"] @ given["B"], rtol=1e-12)


def test_a_fold_runs_as_far_as_a_size_of_the_module() -> None:
    u = RANDOM.normal(size=(6,))
    adapted, _ = specdsl.weight("u : n ~ zeros | W + sum(i * u[i] for i < n) * W", W, factors={"u": u})
    np.testing.assert_allclose(adapted, (1 + np.arange(6) @ u) * W, rtol=1e-12)


def test_folds_nest_and_an_inner_count_reads_the_outer_index() -> None:
    G = RANDOM.normal(size=(3, 3))
    spec = "k = 3 | G : k x k ~ zeros | W + sum(sum(G[i, j] for j < i + 1) for i < k) * W"
    adapted, _ = specdsl.weight(spec, W, factors={"G": G})
    np.testing.assert_allclose(adapted, (1 + np.tril(G).sum()) * W, rtol=1e-12)


def test_a_stack_of_matrices_is_multiplied_entry_by_entry() -> None:
    given = factors(A=(2, 6, 2), B=(2, 2, 2))
    spec = 'A : 2 x n x r | B : 2 x r x m/2 | W + rearrange(A@B, "k n m -> n (k m)")'
    adapted, _ = specdsl.weight(spec, W, factors=given, r=2)
    expected = W + np.concatenate([given["A"][0] @ given["B"][0], given["A"][1] @ given["B"][1]], axis=1)
    np.testing.assert_allclose(adapted, expected, rtol=1e-12)


def test_a_matrix_is_added_to_every_entry_of_a_stack() -> None:
    D = RANDOM.normal(size=(3, 2, 2))
    adapted, _ = specdsl.weight("D : n/2 x 2 x 2 ~ zeros | blockdiag(eye + D) @ W", W, factors={"D": D})
    blocks = np.zeros((6, 6))
    for i in range(3):
        blocks[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = np.eye(2) + D[i]
    np.testing.assert_allclose(adapted, blocks @ W, rtol=1e-12)


def test_a_stack_that_multiplies_the_weight_starts_as_the_identity() -> None:
    spec = specdsl.parse("W' = blockdiag([cayley(skew(Q[i])) for i < n/k]) @ W | k = 4 | Q : n/k x k x k")
    assert spec.ir.factors["Q"].start_reason == "`cayley` of zero is the identity, so it starts at zero"


REFUSED = {
    "W + sum(A@B for n < 3)": "`n` is taken and cannot count",
    "W + max(A@B for i < 3)": "is no fold",
    "k = 3 | A : k x n x r | B : k x r x m | W + sum(A[i]@B[i] for i < k + 1)": "beyond the end",
    "W + sum(A[:, :i]@B[:i, :] for i < 3)": "has to take something",
    "G : 3 x n x r | r = 2 | W + A@prod(G[i] for i < 3)": "multiplies square matrices",
    "k = 100000 | W + sum(i*A@B for i < k)": "would have more than",
    "A : 2 x n x r | B : 3 x r x m | W + sum(A@B, axis=0)": "2 is not 3",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=REFUSED)
def test_folds_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(specdsl.SpecError, match=message):
        specdsl.parse(text)
