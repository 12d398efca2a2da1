"""Rectangles of SVG code that are put side by side: each has a size and an axis at which its neighbours are aligned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LABEL, SMALL, SIGN = 14, 10.5, 17
"""Heights of letters: of names, of shapes, of signs."""
_WIDTHS = {"narrow": 0.34, "wide": 0.86, "usual": 0.56}
_NARROW = frozenset("ijlftrI.,:;'′|![]() ₀₁₂₃₄ⁱᵀ⁻¹⁺⁽⁾⁰")
_WIDE = frozenset("mwMW−×⊙⊘⊗∑∏→")


@dataclass(frozen=True)
class Box:
    """SVG code for the area `width` by `above + below`; its origin is at the left end of its axis."""

    width: float
    above: float
    below: float
    code: str

    def moved(self, x: float, y: float) -> str:
        """The code with its origin at (x, y)."""
        return f'<g transform="translate({number(x)} {number(y)})">{self.code}</g>' if self.code else ""


def number(value: float) -> str:
    """A coordinate with one digit after the point."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def text_width(text: str, height: float) -> float:
    """About how wide a text is, without its font being at hand."""
    units = (_WIDTHS["narrow" if one in _NARROW else "wide" if one in _WIDE else "usual"] for one in text)
    return sum(units) * height


def text_code(text: str, x: float, y: float, kind: str) -> str:
    """A text centred at (x, y); `kind` is its class."""
    return f'<text class="{kind}" x="{number(x)}" y="{number(y)}">{escape(text)}</text>'


def word(text: str, kind: str = "label", height: float = LABEL) -> Box:
    """A text on the axis."""
    width = text_width(text, height) + 2
    return Box(width, height * 0.75, height * 0.6, text_code(text, width / 2, height * 0.35, kind))


def side_by_side(boxes: Sequence[Box], gap: float) -> Box:
    """The boxes in a line along their axes."""
    x, code = 0.0, []
    for box in boxes:
        code.append(box.moved(x, 0))
        x += box.width + gap
    return Box(max(x - gap, 0), max(box.above for box in boxes), max(box.below for box in boxes), "".join(code))


def stacked(boxes: Sequence[Box], gap: float) -> Box:
    """The boxes below each other from the left, with the axis through the middle of the whole."""
    height = sum(box.above + box.below for box in boxes) + gap * (len(boxes) - 1)
    y, code = -height / 2, []
    for box in boxes:
        code.append(box.moved(0, y + box.above))
        y += box.above + box.below + gap
    return Box(max(box.width for box in boxes), height / 2, height / 2, "".join(code))
