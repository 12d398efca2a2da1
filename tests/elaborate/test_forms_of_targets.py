"""Targets that are no plain equation: replaced rows, the homogeneous form, views of W, added rows, limited clauses."""

from __future__ import annotations

import numpy as np
import pytest

import specdsl

RANDOM = np.random.default_rng(4)
W, b = RANDOM.normal(size=(6, 4)), RANDOM.normal(size=(4,))


def test_replaced_rows_are_those_of_the_factor_and_the_others_stay() -> None:
    rows, P = np.array([4, 1]), RANDOM.normal(size=(2, 4))
    spec = "index I : 2 | P ~ W[I, :] | W'[I, :] = P"
    adapted, _ = specdsl.weight(spec, W, factors={"I": rows, "P": P})
    expected = W.copy()
    expected[rows] = P
    np.testing.assert_array_equal(adapted, expected)


def test_the_homogeneous_form_adapts_weight_and_bias_together() -> None:
    D = RANDOM.normal(size=(7, 4))
    adapted, bias = specdsl.weight("D ~ zeros | [W'; b'] = [W; b] + D", W, b, {"D": D})
    np.testing.assert_allclose(adapted, W + D[:6], rtol=1e-12)
    np.testing.assert_allclose(bias, b + D[6], rtol=1e-12)


def test_a_fused_projection_is_seen_as_its_parts() -> None:
    D = RANDOM.normal(size=(6, 4))
    spec = "W : n x 2 x m/2 | D : n x m/2 ~ zeros | W' = W + reshape([D, 2*D], n, 2, m/2)"
    adapted, _ = specdsl.weight(spec, W, factors={"D": D[:, :2]})
    np.testing.assert_allclose(adapted, W + np.concatenate([D[:, :2], 2 * D[:, :2]], 1), rtol=1e-12)


def test_a_kernel_is_seen_with_its_axes() -> None:
    spec = specdsl.parse("W : c x m x kh x kw | G : kh x kw ~ zeros | W' = W + W .* G")
    assert [str(condition) for condition in spec.ir.conditions] == ["n = c*kh*kw"]
    assert str(spec.ir.factors["G"].shape[0]) == "kh"


def test_clauses_limited_to_modules_make_a_spec_of_each() -> None:
    spec = specdsl.parse("s = 2 | on attention: b' = b + s*d | on attention.key: W' = W + A@B | on mlp: x' = x .* k")
    assert [sorted(part.ir.targets) for part in spec.parts] == [["b"], ["W", "b"], ["x"]]
    assert [sorted(part.ir.factors) for part in spec.parts] == [["d"], ["A", "B", "d"], ["k"]]
    assert spec.facts.mergeable
    assert specdsl.parse(str(spec)) == spec


def test_where_a_target_holds_everywhere_the_other_modules_are_a_part_too() -> None:
    spec = specdsl.parse("W + A@B | on attention.key: b' = b + d")
    assert [sorted(part.ir.targets) for part in spec.parts] == [["W", "b"], ["W"]]


def test_added_rows_are_counted_and_not_compared_with_the_start() -> None:
    spec = specdsl.parse("k = 20 | P : k x m ~ normal(0.02) | y' = [P; y] | on embedding")
    assert str(spec.facts.added_rows) == "k"
    assert not spec.facts.mergeable


REFUSED = {
    "W'[:3, :] = P": "whole rows are replaced",
    "index I : 2 ~ choice(n) | W'[I, :2] = P": "whole rows are replaced",
    "[W'; b'] = [W; b] | W' = W + A@B": "assigned twice",
    "W : m x n | W + A@B": "no view of W",
    "W : n x m ~ zeros | W + A@B": "the module's own",
    "s = 2 | on mlp: b' = b + d": "nothing reads `s`",
    "on mlp: b' = b + d | on mlp: b' = b + d": "assigned twice",
    "frozen noise u : n ~ normal(1) | diag(1 + u)@W": "a kind of its own",
    "noise u : n ~ zeros | W + diag(u)@A@B": "how it is drawn",
    "noise u : n ~ normal(1), lr = 2 | W + diag(u)@A@B": "no attributes",
    "W + A@B | at stepp: A = A": "did you mean `step`",
    "W + A@B | at every: A = A": "`every\\(k\\)`",
    "W + A@B | at step: W = W": "an event cannot assign `W`",
    "W + A@B | at step: A = B": "`A` is n x r, but this is r x m",
    "W + A@B | at step: grad(A) = grad(A)": "at backward",
    "W + ema(A, 0.5)@B": "known while training",
    "W + A@B | at step: A = mean(workers(A))": "at round",
    "W + top(layers(A), 3)@B": r"\[layer\]",
    "b' = b + split(v, layers(m))": r"that of this module is `split\(v, layers\(m\)\)\[layer\]`",
    "b' = b + split(v, layers(m))[layer] | v ~ zeros": "as large as all modules together",
    "b' = b + split(v, m)[layer] | shared v : m": r"for example `split\(v, layers\(m\)\)`",
    "b' = b + split(v, layers(W))[layer] | shared v : m ~ zeros": "pieces of a size each",
    "b' = b + split(v, layers(m))[layer] | shared v : 5 ~ zeros": r"5 is not sum\(layers\(m\)\)",
    "W + A@cov(x, sample=3)": "did you mean `samples`",
    "W + A@fisher(x)": "takes a factor, W or b",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=REFUSED)
def test_forms_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(specdsl.SpecError, match=message):
        specdsl.parse(text)
