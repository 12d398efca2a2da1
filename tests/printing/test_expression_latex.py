"""Formulas of single expressions: brackets where the mathematics needs them, and only there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from specdsl import tree
from specdsl.parser import parse_tree
from specdsl.printing.expression_latex import ExpressionLatex, latex_escaped, latex_name
from tests.printing.latex_grammar import assert_is_latex
from tests.spec_strategies import expressions


def latex(text: str) -> str:
    clause = parse_tree(text).clauses[0]
    assert isinstance(clause, tree.Bare)
    return ExpressionLatex().expression(clause.values[0])


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("W + A@(B - C)", "W + A (B - C)"),
        ("(A@B)@C", "(A B) C"),
        ("-(A + B)@C", "-(A + B) C"),
        ("A@-B", "A (-B)"),
        ("A - (B - C)", "A - (B - C)"),
        ("A + -B", "A + (-B)"),
        ("2*3*r", r"2 \cdot 3\, r"),
        ("s*A@B/r", r"\frac{s\, A B}{r}"),
        ("(A + B)/(r + 1)", r"\frac{A + B}{r + 1}"),
        ("W .* (1 + A@B)", r"W \odot (1 + A B)"),
        ("W .* A * B", r"(W \odot A)\, B"),
        ("u ./ v .* w", r"u \oslash v \odot w"),
        ("layer // 4", r"\left\lfloor \frac{\mathrm{layer}}{4} \right\rfloor"),
        ("r % 2 + 1", r"r \bmod 2 + 1"),
        ("A.T", r"A^\top"),
        ("(A + B).T", r"(A + B)^\top"),
        ("A.T.T", r"{A^\top}^\top"),
        ("A.T^2", r"{A^\top}^{2}"),
        ("A1.T", r"A_{1}^\top"),
        ("A1[:r, 0]", r"{A_{1}}_{:r, 0}"),
        ("(A^2)^3", r"(A^{2})^{3}"),
        ("e.^2", r"e^{\circ 2}"),
        ("W'.T", r"{W'}^\top"),
        ("r^(1/4)", r"r^{\frac{1}{4}}"),
        ("v[::2]", "v_{::2}"),
        ("W[I, :]", "W_{I, :}"),
        ("inverse(A + B)", "(A + B)^{-1}"),
        ("inverse(A1)", "A_{1}^{-1}"),
        ("inverse(A.T)", r"(A^\top)^{-1}"),
        ("kron(A, B@C)@W", r"(A \otimes (B C)) W"),
        ("W@outer(u, v)", r"W u v^\top"),
        ("cayley(A/2)", r"\left(I - \frac{A}{2}\right)\left(I + \frac{A}{2}\right)^{-1}"),
        ("diag(u/r)", r"\operatorname{diag}\left(\frac{u}{r}\right)"),
        ("sqrt((S/r))", r"\sqrt{\frac{S}{r}}"),
        ("norm(A)^2", r"\left\lVert A \right\rVert_F^{2}"),
        ("2*sum(A)@B", r"2\, \left(\sum A\right) B"),
        ("sum(A, axis=0)", r"\operatorname{sum}(A, \mathrm{axis} = 0)"),
        ("max(n, m, r)", r"\max(n, m, r)"),
        ("max(layers(n))*r", r"\left(\max_{\text{layers}} n\right)\, r"),
        ("prod(H(i) for i < k)@W", r"\left(\prod_{i < k} \operatorname{H}(i)\right) W"),
        ("[A for i < k]", r"\left[ A \right]_{i < k}"),
        ("init(A@B)", "(A B)^{(0)}"),
        ("init(A)", "A^{(0)}"),
        ("eye + A", "I + A"),
        ("eye(n/k)", r"I_{\frac{n}{k}}"),
        ("[A, B; C, D]", r"\begin{bmatrix} A & B \\ C & D \end{bmatrix}"),
        ("A if n >= m else B", r"\begin{cases} A & \text{if } n \ge m \\ B & \text{otherwise} \end{cases}"),
        ("1e-5", "10^{-5}"),
        ("2.5e3*A", r"2.5 \cdot 10^{3}\, A"),
        ("near_root(n)", r"\operatorname{near\_root}(n)"),
        ('rearrange(A, "a b -> b")', r"\operatorname{rearrange}(A, \text{“a b -> b”})"),
    ],
)
def test_formula(text: str, formula: str) -> None:
    assert latex(text) == formula


@settings(derandomize=True, deadline=None, max_examples=150)
@given(expressions)
def test_any_expression_gives_valid_latex(expression: tree.Expr) -> None:
    assert_is_latex(ExpressionLatex().expression(expression))


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("W", "W"),
        ("alpha", r"\alpha"),
        ("Gamma", r"\Gamma"),
        ("lam", r"\mathrm{lam}"),
        ("U12", "U_{12}"),
        ("sigma_3", r"\sigma_{3}"),
        ("W_q", r"W_{\mathrm{q}}"),
        ("on_off", r"\mathrm{on\_off}"),
        ("_", r"\_"),
    ],
)
def test_names_become_symbols(name: str, symbol: str) -> None:
    assert latex_name(name) == symbol


def test_names_of_the_spec_hide_operators() -> None:
    clause = parse_tree("normal@lower(A)").clauses[0]
    assert isinstance(clause, tree.Bare)
    printer = ExpressionLatex(names=frozenset({"normal", "lower"}))
    assert printer.expression(clause.values[0]) == r"\mathrm{normal}\, \mathrm{lower}(A)"


def test_text_is_escaped() -> None:
    assert latex_escaped(r"a_b {c}^2 50% \ ~&#$") == (
        r"a\_b \{c\}\textasciicircum{}2 50\% \textbackslash{} \textasciitilde{}\&\#\$"
    )
