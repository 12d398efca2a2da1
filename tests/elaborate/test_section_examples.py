"""Specs and one-liners of the language's definition: each checks, or says what is not built yet."""

import pytest

import specdsl

DORA = """
title: DoRA
cite: arXiv:2402.09353

V = W + alpha/r * A@B
g ~ colnorm(V)
W' = V @ diag(g ./ stop(colnorm(V)))
"""
PISSA = """
title: PiSSA
cite: arXiv:2404.02948

s = alpha/r
U, S, V = svd(W)
A ~ U[:, :r] @ diag(sqrt(S[:r]/s))
B ~ diag(sqrt(S[:r]/s)) @ V[:r, :]
W' = W + s * (A@B - init(A@B))
"""
VERA = """
title: VeRA

r = 256
frozen shared A : max(layers(n)) x r
        ~ kaiming(seed=0)
frozen shared B : r x max(layers(m))
        ~ kaiming(seed=1)
d ~ 0.1
W' = W + A[:n, :]@diag(d)@B[:, :m]@diag(e)
"""
ADALORA = """
r = 12
A, B ~ normal(0.02)
W' = W + alpha/(r + 1e-5) * A@diag(e)@B
penalty 0.1 * mean(layers([norm(A.T@A - eye), norm(B@B.T - eye)]))
"""
CHECKED = {
    "U*diag(s)*W*diag(t)": "U s t",
    "W + A@G@B | orth(A)": "A G B",
    "W + A@B": "A B",
    "W + alpha/r * A@B | r = 16 | alpha = 32 | on attention.query, attention.value": "A B",
    "y + relu(x@A)@B": "A B",
    "y + alpha/r * dropout(x, 0.1)@A@B": "A B",
    "b + d": "d",
    "W.*(1 + A@B)": "A B",
    "attend(Z) = softmax(Z@Z.T / sqrt(r)) @ Z\ny' = y + attend(x@A)@B": "A B",
    "y' = y + x@A@B + y@C@D": "A B C D",
    DORA: "A B g",
    PISSA: "A B",
    VERA: "A d B e",
    ADALORA: "A e B",
}


@pytest.mark.parametrize(("text", "factors"), CHECKED.items())
def test_specs_of_the_definition_check(text: str, factors: str) -> None:
    assert " ".join(specdsl.parse(text).ir.factors) == factors


IN_FULL = {
    "k = 3\nq : k x n*(n - 1)/2 ~ zeros\nW' = prod(cayley(skew_from(q[i])) for i < k) @ W": "q",
    "index I : r ~ choice(n, seed=layer)\nP ~ W[I, :]\nW'[I, :] = P": "I P",
    "V = blocks(W, r, r)\nD : m/r x r x r ~ zeros\nW' = unblocks(V + D@V + D)": "D",
    "e ~ zeros\nA, B ~ kaiming\nW' = W + A@diag(e)@B\nat every(10): e = e .* top(layers(abs(e)), 4)[layer]": "A e B",
    "V, explained = pca(x)\nr = allocate(layers(explained), 8)[layer]\nA ~ V[:, :r]\nW' = W + A@B": "A B",
    "k = 20\nP ~ W[choice(n, k), :]\ny' = [P; y]\non embedding": "P",
    "on attention.key, attention.value: y' = y .* l\non mlp.down: x' = x .* k": "l k",
}


@pytest.mark.parametrize(("text", "factors"), IN_FULL.items())
def test_specs_beyond_sums_and_products_check(text: str, factors: str) -> None:
    assert " ".join(specdsl.parse(text).ir.factors) == factors
