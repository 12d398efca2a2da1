"""Formulas as MathML, which browsers set without any script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from specdsl.printing.formula_tree import (
    BIG,
    GAP,
    NAME,
    NUMBER,
    SIGN,
    TEXT,
    Fenced,
    Formula,
    Fraction,
    Line,
    Root,
    Scripted,
    Symbol,
    Table,
    formula_tree,
)

_FENCES = frozenset("()[]‖|⌊⌋⌈⌉{}")


def mathml(rows: Sequence[str]) -> str:
    r"""LaTeX rows, each `left &= right`, as one block of equations that are aligned at their signs.

    >>> mathml(["a &= b"])[:22]
    '<math display="block">'
    """
    lines = "".join(_row(row) for row in rows)
    return f'<math display="block"><mtable displaystyle="true">{lines}</mtable></math>'


def _row(row: str) -> str:
    left, _, right = row.partition("&")
    return f"<mtr><mtd>{formula_mathml(left.strip())}</mtd><mtd>{formula_mathml(right.strip())}</mtd></mtr>"


def formula_mathml(latex: str) -> str:
    """One formula as the inside of a `math` element."""
    return _set(formula_tree(latex))


def _set(formula: Formula) -> str:
    match formula:
        case Symbol():
            return _symbol(formula)
        case Line(items):
            return f"<mrow>{''.join(map(_set, items))}</mrow>"
        case Fraction(top, bottom):
            return f"<mfrac>{_set(top)}{_set(bottom)}</mfrac>"
        case Root(body):
            return f"<msqrt>{_set(body)}</msqrt>"
        case Scripted():
            return _scripted(formula)
        case Fenced(opening, body, closing):
            return f"<mrow>{_fence(opening, 'prefix')}{_set(body)}{_fence(closing, 'postfix')}</mrow>"
        case Table():
            return _table(formula)


def _symbol(symbol: Symbol) -> str:
    text = escape(symbol.text)
    match symbol.style:
        case style if style == NAME:
            return f"<mi>{text}</mi>"
        case style if style == NUMBER:
            return f"<mn>{text}</mn>"
        case style if style == TEXT:
            return f"<mtext>{text.replace(' ', chr(0xA0))}</mtext>"
        case style if style == GAP:
            return '<mspace width="0.17em"/>'
        case style if style == BIG:
            return f"<mo>{text}</mo>"
        case style if style == SIGN and symbol.text == ":":
            return '<mo lspace="0" rspace="0">:</mo>'
        case style if style == SIGN:
            return f'<mo stretchy="false">{text}</mo>' if symbol.text in _FENCES else f"<mo>{text}</mo>"
    return f'<mi mathvariant="normal">{text}</mi>'


def _scripted(formula: Scripted) -> str:
    is_big = isinstance(formula.base, Symbol) and formula.base.style == BIG
    base = _set(formula.base)
    if formula.below is not None and formula.above is not None:
        if formula.above == Symbol("′", SIGN):
            return f"<msub>{_scripted(Scripted(formula.base, None, formula.above))}{_set(formula.below)}</msub>"
        return f"<msubsup>{base}{_set(formula.below)}{_set(formula.above)}</msubsup>"
    if formula.below is not None:
        tag = "munder" if is_big else "msub"
        return f"<{tag}>{base}{_set(formula.below)}</{tag}>"
    assert formula.above is not None
    if formula.above == Symbol("′", SIGN):
        return f'<mrow>{base}<mo lspace="0" rspace="0">′</mo></mrow>'
    return f"<msup>{base}{_set(formula.above)}</msup>"


def _fence(sign: str, form: str) -> str:
    return f'<mo form="{form}" stretchy="true">{escape(sign)}</mo>' if sign != "." else ""


def _table(table: Table) -> str:
    rows = "".join(f"<mtr>{''.join(f'<mtd>{_set(cell)}</mtd>' for cell in row)}</mtr>" for row in table.rows)
    inside = f"<mtable>{rows}</mtable>"
    closing = _fence("]", "postfix") if table.kind == "bmatrix" else ""
    return f"<mrow>{_fence('[' if closing else '{', 'prefix')}{inside}{closing}</mrow>"
