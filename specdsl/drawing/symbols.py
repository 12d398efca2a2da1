"""Names and sizes as a drawing writes them: `α/r`, `A₁`, `n × r`."""

from __future__ import annotations

from functools import cache

from specdsl.operators.registry import Shape
from specdsl.printing.expression_latex import ExpressionLatex
from specdsl.printing.latex_symbols import latex_name
from specdsl.printing.plain_math import plain_math
from specdsl.printing.size_syntax import size_syntax
from specdsl.sizes import Size


@cache
def name_text(name: str) -> str:
    """A name with Greek letters and indices.

    >>> name_text("alpha"), name_text("A1")
    ('α', 'A₁')
    """
    return plain_math(latex_name(name))


@cache
def size_text(size: Size) -> str:
    """A size or number.

    >>> size_text(Size.symbol("alpha") / Size.symbol("r"))
    'α/r'
    """
    return plain_math(ExpressionLatex().inside(size_syntax(size)))


def shape_text(shape: Shape) -> str:
    """The sizes of the axes.

    >>> shape_text((Size.symbol("n"), Size.symbol("r")))
    'n × r'
    """
    return " × ".join(_factor(size_text(size)) for size in shape)


def _factor(text: str) -> str:
    """A size in brackets where it is a sum."""
    return f"({text})" if " + " in text or " − " in text else text
