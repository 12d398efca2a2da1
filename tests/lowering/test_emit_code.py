"""Brackets only where Python needs them, spaces where ruff wants them, names that nothing else has."""

from __future__ import annotations

import pytest

from specdsl.lowering.emit_code import (
    ATOM,
    LOOSE,
    POWER,
    PRODUCT,
    SUM,
    UNARY,
    WIDTH,
    Code,
    Names,
    power,
    slice_text,
    wrapped,
)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("a if b else c", LOOSE),
        ("a + b @ c", SUM),
        ("-a * b", PRODUCT),
        ("-a", UNARY),
        ("a**2", POWER),
        ("f(a + b)", ATOM),
        ("a.T[:, 1]", ATOM),
        ("(a + b)", ATOM),
        ("(a) + (b)", SUM),
    ],
)
def test_an_expression_knows_how_tightly_it_binds(text: str, level: int) -> None:
    assert Code(text).level == level


def test_brackets_are_put_where_they_are_needed() -> None:
    total = Code("a + b")
    assert f"{total:sum} - c" == "a + b - c"
    assert f"{total:product} @ c" == "(a + b) @ c"
    assert f"{Code('f(a)'):atom}.T" == "f(a).T"


def test_a_statement_needs_no_brackets_around_its_value() -> None:
    assert Code("(a + b)").alone == "a + b"
    assert Code("(a) + (b)").alone == "(a) + (b)"


@pytest.mark.parametrize(
    ("base", "exponent", "text"),
    [
        ("a", "2", "a**2"),
        ("self.a", "-1", "self.a**-1"),
        ("f(a)", "2", "f(a) ** 2"),
        ("a + b", "k / 2", "(a + b) ** (k / 2)"),
    ],
)
def test_powers_of_names_stand_close(base: str, exponent: str, text: str) -> None:
    assert power(Code(base), Code(exponent)).text == text


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (("", "r"), ":r"),
        (("1", "n", "2"), "1:n:2"),
        (("n - r", ""), "n - r :"),
        (("", "min(n, m)"), ": min(n, m)"),
        (("a + 1", "b"), "a + 1 : b"),
        (("", "", "k + 1"), ":: k + 1"),
        (("", "", "2"), "::2"),
    ],
)
def test_slices_are_spaced_by_what_is_in_them(bounds: tuple[str, ...], text: str) -> None:
    assert slice_text(*bounds) == text


def test_a_name_is_given_out_once() -> None:
    names = Names({"torch"})
    wanted = ["A", "A", "torch", "lambda", "l", "max", "a b"]
    assert [names.fresh(name) for name in wanted] == ["A", "A_2", "torch_2", "lambda_", "l_", "max_", "a_b"]


def test_an_attribute_may_be_called_like_a_builtin_but_not_like_a_keyword() -> None:
    names = Names(are_attributes=True)
    assert [names.fresh(name) for name in ("l", "max", "is")] == ["l", "max", "is_"]


def test_long_lines_go_on_further_to_the_right() -> None:
    lines = wrapped("word " * 40, WIDTH, "# ")
    assert len(lines) > 1
    assert all(len(line) <= WIDTH for line in lines)
    assert all(line.startswith("#     word") for line in lines[1:])


def test_what_cannot_be_printed_becomes_a_blank() -> None:
    assert wrapped("a\x0cb\u2028c", WIDTH, "# ") == ["# a b c"]
