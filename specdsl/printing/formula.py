"""The formula of a spec, without its factors: the adapted values and what the author defined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specdsl.printing.explain import limit_text
from specdsl.printing.latex import equations
from specdsl.printing.plain_math import plain_math

if TYPE_CHECKING:
    from specdsl.spec import Spec


def formula_blocks(spec: Spec) -> list[tuple[str, list[str]]]:
    """For every part of a spec where it holds (empty for one that holds everywhere) and its equations in LaTeX.

    >>> import specdsl
    >>> formula_blocks(specdsl.parse("W + A@B"))
    [('', ["W' &= W + A B"])]
    """
    if spec.parts:
        return [(limit_text(part), equations(part)) for part in spec.parts]
    return [("", equations(spec))]


def plain_formula(spec: Spec) -> list[str]:
    """The equations as lines of text, each part's after where it holds.

    >>> import specdsl
    >>> plain_formula(specdsl.parse("W + alpha/r * A@B"))
    ['W′ = W + (α/r) A B']
    """
    lines: list[str] = []
    for place, rows in formula_blocks(spec):
        lines += [f"{place}:"] if place else []
        lines += [plain_math(row) for row in rows]
    return lines
