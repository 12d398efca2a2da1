from __future__ import annotations

import pytest

from specdsl.printing.plain_math import plain_math


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac{\alpha}{r}\, A B", "(α/r) A B"),
        (r"\frac{\alpha}{r} + 1", "α/r + 1"),
        (r"\frac{A + B}{\sqrt{n}}", "(A + B)/√n"),
        (r"\sqrt{n\, m}", "√(n m)"),
        (r"{A}^{-1} B^\top", "A⁻¹ Bᵀ"),
        (r"A^{(0)}", "A⁽⁰⁾"),
        (r"W'_{I, :}", "W′[I, :]"),
        (r"x_{1} + x_{i}", "x₁ + xᵢ"),
        (r"\sum_{i < k} (A_{i} B_{i})", "∑[i < k] (Aᵢ Bᵢ)"),
        (r"\left\lVert W \right\rVert_F", "‖W‖_F"),
        (r"\begin{bmatrix} P \\ y \end{bmatrix}", "[P; y]"),
        (r"\begin{bmatrix} A & B \end{bmatrix}", "[A, B]"),
        (r"\begin{cases} A & \text{if } n > m \\ B & \text{otherwise} \end{cases}", "{A if n > m; B otherwise}"),
        (r"\left\lfloor \frac{n}{2} \right\rfloor", "⌊n/2⌋"),
        (r"6 \cdot 10^{-5}", "6 · 10⁻⁵"),
        (r"W' &= W + A B", "W′ = W + A B"),
    ],
)  # fmt: skip
def test_a_formula_on_one_line(latex: str, text: str) -> None:
    assert plain_math(latex) == text
