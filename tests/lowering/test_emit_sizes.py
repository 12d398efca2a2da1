"""Sizes as Python: what is written has the size's value, and divides whole numbers without a remainder."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

import specdsl
from specdsl.interpret import Sizes
from specdsl.ir import Scalar
from specdsl.lowering.emit_code import Names
from specdsl.lowering.emit_functions import near_root
from specdsl.lowering.emit_sizes import SizeNames, SizeWriter
from specdsl.sizes import Size

NUMBERS = {"n": 24, "m": 36, "r": 4, "alpha": 6, "k": 3}


def size(text: str) -> Size:
    """A size as a spec writes it."""
    spec = specdsl.parse(f"r = 4 | alpha = 6 | k = 3 | s = n*m*r*alpha*k | c = {text} | W + s/s*c*A@B")
    node = spec.ir.definitions["c"]
    assert isinstance(node, Scalar)
    return node.size


def writer(**defined: Size) -> SizeWriter:
    return SizeWriter(SizeNames(Sizes(NUMBERS, [NUMBERS, {**NUMBERS, "n": 50}]), Names(), defined))


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("alpha/sqrt(n)", "alpha / math.sqrt(n)"),
        ("n/3", "n / 3"),
        ("alpha/(n + 1)", "alpha / (n + 1)"),
        ("min(n, m) - 1", "min(m, n) - 1"),
        ("n//5 + m", "m + n // 5"),
        ("n^2*m", "m * n**2"),
        ("n^(1/4)", "n**0.25"),
        ("2 if n > m else 3", "2 if n > m else 3"),
        ("max(layers(n))", "max_n"),
        ("near_root(m)", "near_root(m)"),
        ("1/n - m", "-m + 1 / n"),
    ],
)
def test_a_number_is_written_as_one_would(written: str, code: str) -> None:
    value = size(written)
    found = writer().number(value)
    assert found.text == code
    scope = {**NUMBERS, "math": math, "near_root": near_root, "max_n": 50}
    expected = Sizes(NUMBERS, [NUMBERS, {**NUMBERS, "n": 50}]).number(value)
    assert eval(found.text, scope) == pytest.approx(float(expected), rel=1e-15)


N, M, K = (Size.symbol(name) for name in "nmk")


@pytest.mark.parametrize(
    ("whole", "code"),
    [
        (N / K, "n // k"),
        (K * (K - 1) / 2, "(k**2 - k) // 2"),
        (N / K + M / 4, "(k * m + 4 * n) // (4 * k)"),
        (M.power(Fraction(1, 2)), "round(math.sqrt(m))"),
    ],
)
def test_a_whole_number_is_divided_exactly(whole: Size, code: str) -> None:
    found = writer().whole(whole)
    assert found.text == code
    assert eval(found.text, {**NUMBERS, "math": math}) == Sizes(NUMBERS).integer(whole)


def test_a_size_that_the_spec_names_is_written_by_its_name() -> None:
    p = size("near_root(n)")
    sizes = writer(p=p)
    assert sizes.whole(N / p).text == "n // p"
    assert sizes.definition(p).text == "near_root(n)"
    assert list(sizes.used) == ["n", "p"]
