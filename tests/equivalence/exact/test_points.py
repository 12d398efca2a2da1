"""Points: what is drawn meets what the spec says of it, couplings are kept, numbers enter exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import specdsl
from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.field import PRIMES, Field
from specdsl.equivalence.exact.points import Point, Rename, sample, starts, values
from specdsl.equivalence.exact.rational import Rationals
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.subject import Subject, subjects

P = PRIMES[0]
SVD = "U, S, V = svd(W) | W' = U@diag(S + d)@V | d ~ zeros"
PISSA = (
    "U, S, V = svd(W) | A : n x r ~ U[:, :r]@diag(sqrt(S[:r])) | B : r x m ~ diag(sqrt(S[:r]))@V[:r, :]"
    " | W' = W - init(A)@init(B) + A@B"
)
DORA = "V = W + A@B | g : m ~ colnorm(W) | W' = V@diag(g ./ colnorm(V))"
SHAPES = pytest.mark.parametrize(("n", "m"), [(4, 6), (5, 5), (6, 4)])


def pair(a: str, b: str | None = None) -> tuple[Subject, Subject]:
    return subjects(specdsl.parse(a), specdsl.parse(a if b is None else b))


def environment(n: int = 5, m: int = 4, r: int = 2) -> dict[str, Any]:
    return {"n": n, "m": m, "r": r, "tokens": 3}


def same(left: ExactArray, right: ExactArray) -> bool:
    return bool(np.array_equal(left.value, right.value))


def parts(point: Point) -> Any:
    (found,) = point.known.values()
    return found


@SHAPES
@pytest.mark.parametrize("ring", [Field(), Rationals()], ids=["field", "rationals"])
def test_singular_vectors_are_orthonormal_and_make_up_the_base(n: int, m: int, ring: Any) -> None:
    xp = ExactArrays(ring)
    point = sample(pair(SVD), environment(n, m), 0, arrays=xp)
    U, S, V = parts(point)
    one = xp.eye(min(n, m))
    assert same(xp.permute(U, (1, 0)) @ U, one)
    assert same(V @ xp.permute(V, (1, 0)), one)
    assert same(U * S @ V, point.site["W"])


def test_rational_singular_values_descend_and_signs_are_those_of_the_interpreter() -> None:
    for seed in range(6):
        point = sample(pair(SVD), environment(4, 3), seed, arrays=ExactArrays(Rationals()), kind="small")
        W, (U, S, V) = point.site["W"], parts(point)
        expected = specdsl.arrays.numpy_arrays.NUMPY.svd(decimals(W))
        for exact, wanted in zip((U, S, V), expected, strict=True):
            assert np.allclose(decimals(exact), wanted)


def decimals(array: ExactArray) -> Any:
    return np.vectorize(lambda entry: float(entry.p) / float(entry.q), otypes=[float])(array.value)


def test_both_components_of_the_orthogonal_matrices_are_drawn() -> None:
    signs = set()
    for seed in range(12):
        point = sample(pair(SVD), environment(4, 4), seed, arrays=ExactArrays(Rationals()))
        signs.add(round(np.linalg.det(decimals(parts(point)[0]))))
    assert signs == {1, -1}


@pytest.mark.parametrize("shape", ["n x r", "r x n"])
def test_a_factor_with_orthonormal_columns_or_rows_has_them(shape: str) -> None:
    product = "A@B" if shape == "n x r" else "A.T@B"
    a, b = pair(f"W + {product} | A : {shape}, orthonormal | B : r x m ~ zeros")
    point = sample((a, b), environment(), 3)
    A = point.side(a).trained["A"]
    xp = point.arrays
    turned = xp.permute(A, (1, 0))
    assert same(turned @ A if shape == "n x r" else A @ turned, xp.eye(2))


def test_a_start_in_terms_of_the_base_is_the_base_at_the_start() -> None:
    a, b = pair(PISSA)
    point = sample((a, b), environment(), 0)
    assert same(starts(a, point)["W'"], point.site["W"])
    assert not same(values(a, point)["W'"], point.site["W"])
    at_start = sample((a, b), environment(), 0, kind="start")
    assert same(values(a, at_start)["W'"], at_start.site["W"])


def test_norms_of_columns_find_points_with_roots() -> None:
    a, b = pair(DORA)
    point = sample((a, b), environment(6, 6, 2), 0, with_starts=True)
    assert point.roots > 0
    assert same(starts(a, point)["W'"], point.site["W"])


def test_coupled_factors_and_starts_are_equal_also_transposed() -> None:
    a, b = pair("W + A@B | frozen A : n x r ~ kaiming", "W + C.T@D | frozen C : r x n ~ normal | D : r x m ~ zeros")
    coupling = {"C": Rename("A", True), "D": Rename("B")}
    point = sample((a, b), environment(), 1, coupling=coupling)
    assert same(values(a, point)["W'"], values(b, point)["W'"])
    apart = sample((a, b), environment(), 1)
    assert not same(values(a, apart)["W'"], values(b, apart)["W'"])


def test_equal_explicit_seeds_draw_equal_starts() -> None:
    a, b = pair("W + A@B | frozen A : n x r ~ normal(seed=3)", "W + Q@B | frozen Q : n x r ~ normal(seed=3)")
    point = sample((a, b), environment(), 1, coupling={"B": Rename("B")})
    assert same(values(a, point)["W'"], values(b, point)["W'"])


def test_a_deviation_of_a_normal_start_scales_the_draw() -> None:
    a, b = pair("W + A@B | frozen A : n x r ~ normal", "W + A@B | frozen A : n x r ~ normal(std=0.1)")
    point = sample((a, b), environment(), 1, coupling={"A": Rename("A")})
    A, scaled = (point.side(one).starting.factor("A") for one in (a, b))
    assert same(A, scaled * 10)


def test_decimals_and_roots_of_sizes_enter_exactly() -> None:
    a, b = pair("W + 0.1*A@B", "W + A@B/10")
    names = {"A": Rename("A"), "B": Rename("B")}
    point = sample((a, b), environment(), 0, coupling=names)
    assert same(values(a, point)["W'"], values(b, point)["W'"])
    c, d = pair("W + c/sqrt(r)*A@B | c = 2", "W + sqrt(2)*A@B | r = 2")
    point = sample((c, d), environment(), 0, coupling=names)
    assert same(values(c, point)["W'"], values(d, point)["W'"])


def test_a_rank_that_a_spec_sets_stays() -> None:
    a, b = pair("W + A@B | r = 3", "W + A@B")
    point = sample((a, b), environment(r=2), 0)
    assert point.side(a).trained["A"].shape == (5, 3)
    assert point.side(b).trained["A"].shape == (5, 2)


def test_functions_of_zero_are_exact_at_the_start() -> None:
    a, b = pair("y' = y + tanh(x@A@B)")
    point = sample((a, b), environment(), 0, kind="start")
    assert same(values(a, point)["y'"], point.site["y"])
    with pytest.raises(NotExact, match="`tanh`"):
        sample((a, b), environment(), 0)


def test_an_index_picks_different_places_within_its_range() -> None:
    a, b = pair("index I : k\nW' = W + scatter(v, I, n, m)\nv : k ~ zeros\nk = 9")
    index = sample((a, b), environment(), 0).side(a).starting.factors["I"]
    assert len(set(index.tolist())) == 9
    assert index.max() < 20


def test_what_decomposes_more_than_the_base_is_refused() -> None:
    a, b = pair("U, S, V = svd(2*W) | W' = W + U@diag(d)@V | d ~ zeros")
    with pytest.raises(NotExact, match="`svd`"):
        sample((a, b), environment(), 0)


def test_the_transposed_base_is_decomposed_alike() -> None:
    a, b = pair("U, S, V = svd(W.T) | W' = (U@diag(S + d)@V).T | d ~ zeros")
    point = sample((a, b), environment(), 0)
    assert same(starts(a, point)["W'"], point.site["W"])


@pytest.mark.parametrize("formula", ["Q, R = qr(W) | W' = Q@(R + D)", "P, Q, R = lu(W) | W' = P@Q@(R + D)"])
def test_other_decompositions_of_the_base_are_known_too(formula: str) -> None:
    a, b = pair(f"{formula} | D : min(n, m) x m ~ zeros")
    point = sample((a, b), environment(), 0)
    assert same(starts(a, point)["W'"], point.site["W"])
