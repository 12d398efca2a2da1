"""Spacing and brackets of printed expressions and clauses."""

from __future__ import annotations

import pytest

from specdsl import tree
from specdsl.parser import parse_tree
from specdsl.printing.syntax_text import SyntaxText
from tests.spec_strategies import NOWHERE


@pytest.mark.parametrize(
    "text",
    [
        "W + alpha/r * A@B",
        "W + s * (A@B - init(A@B))",
        "V @ diag(g ./ stop(colnorm(V)))",
        "U[:, :r] @ diag(sqrt(S[:r]/s))",
        "W + A[:n, :]@diag(d)@B[:, :m]@diag(e)",
        "(eye - Q)@(eye + Q)^-1",
        "unblocks(V + D@V + D)",
        "y .* l",
        "W .* (1 + A@B)",
        "k*(k - 1)/2",
        "0.1 * mean(layers([norm(A.T@A - eye), norm(B@B.T - eye)]))",
        "[U[:, :r] + A, U[:, r:]] @ diag(S) @ [V[:r, :] + B; V[r:, :]]",
        "Q[:, concept*r : (concept + 1)*r]",
        "-A^2.^-1.T",
        "v[::2]",
        "sum(A[i] for i < k) @ [B for i < k for j < l]",
        "A if n > m else B if n == m else C",
        'f(A, axis=0, label="a  b")',
        "n // 2 * m",
        "e[:r] ./ 2.5e-3",
    ],
)
def test_text_in_the_standard_prints_as_it_is(text: str) -> None:
    assert SyntaxText().clause(parse_tree(text).clauses[0]) == text


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("frozen   shared( role,n )A,B:n x 2*r~kaiming( seed = 0 ),lr=2 ,  float32",
         "frozen shared(role, n) A, B : n x 2*r ~ kaiming(seed=0), lr = 2, float32"),
        ("G:k x n for i<f~zeros", "G : k x n for i < f ~ zeros"),
        ("on attention . query,\"a b\"except norm layers 3..3,5 .. 7",
         'on attention.query, "a b" except norm layers 3, 5..7'),
        ("on mlp . up :x'=x.*k", "on mlp.up: x' = x .* k"),
        ("at every( 10 ):e=e.*top( e,2 )", "at every(10): e = e .* top(e, 2)"),
        ("U,S,V=svd( W )", "U, S, V = svd(W)"),
        ("train head,norm", "train head, norm"),
        ("note:   many\n   lines", "note: many lines"),
    ],
)  # fmt: skip
def test_clauses_print_with_standard_spacing(text: str, printed: str) -> None:
    assert SyntaxText().clause(parse_tree(text).clauses[0]) == printed


def test_brackets_appear_where_a_made_tree_needs_them() -> None:
    a, b = tree.Name(NOWHERE, "a"), tree.Name(NOWHERE, "b")
    total = tree.Sum(NOWHERE, (a, b), ("-",))
    assert SyntaxText().expression(tree.Product(NOWHERE, (a, total), ("@",))) == "a@(a - b)"
    assert SyntaxText().expression(tree.Transpose(NOWHERE, tree.Negative(NOWHERE, a))) == "(-a).T"
    assert SyntaxText().shape((tree.Choose(NOWHERE, a, a, b), b)) == "(a if a else b) x b"
