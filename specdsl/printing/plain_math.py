"""Formulas as one line of plain text, for terminals: `W′ = W + (α/r) A B`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from specdsl.printing.formula_tree import (
    GAP,
    SIGN,
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

_RAISED = dict(zip("0123456789+−-=()in⊤′", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁱⁿᵀ′", strict=True))
_LOWERED = dict(zip("0123456789aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_ROW = re.compile(r"[^&]*&(=|\\in|\\le)")
_LOOSE = re.compile(r"[⌊⌈\[] | [⌋⌉\]]")


def plain_math(latex: str) -> str:
    r"""A formula as text.

    >>> plain_math(r"W' = W + \frac{\alpha}{r}\, A B")
    'W′ = W + (α/r) A B'
    >>> plain_math(r"(A^\top A)^{-1} x_{1}")
    '(Aᵀ A)⁻¹ x₁'
    """
    text = " ".join(_text(formula_tree(latex.replace("&", "", 1) if _ROW.match(latex) else latex)).split())
    return _LOOSE.sub(lambda found: found[0].strip(), text)


def _text(formula: Formula) -> str:
    match formula:
        case Symbol():
            return formula.text
        case Line(items):
            return "".join(_in_line(items, place) for place in range(len(items)))
        case Fraction(top, bottom):
            return f"{_operand(top)}/{_operand(bottom)}"
        case Root(body):
            return f"√{_operand(body)}"
        case Scripted():
            return _scripted(formula)
        case Fenced(opening, body, closing):
            return f"{opening}{_text(body).strip()}{closing}"
        case Table(kind, rows):
            text = "; ".join(" ".join(map(_text, row)) if kind == "cases" else ", ".join(map(_text, row))
                             for row in rows)  # fmt: skip
            return f"{{{text}}}" if kind == "cases" else f"[{text}]"


def _in_line(items: Sequence[Formula], place: int) -> str:
    """An item of a line: a fraction in brackets where a factor follows or comes before."""
    item = items[place]
    text = _text(item)
    if not isinstance(item, Fraction):
        return text
    return f"({text})" if _is_factor(items[place + 1 :]) or _is_factor(items[:place][::-1]) else text


def _is_factor(beside: Sequence[Formula]) -> bool:
    """Whether what stands beside is multiplied, and no sign, comma or bracket."""
    for item in beside:
        if isinstance(item, Symbol) and item.style == GAP:
            continue
        return not (isinstance(item, Symbol) and item.style == SIGN and item.text != "(")
    return False


def _operand(formula: Formula) -> str:
    text = _text(formula)
    return text if _is_single(text) else f"({text})"


def _is_single(text: str) -> bool:
    """Whether a text reads as one operand: a word, or one pair of brackets, perhaps with a function before it."""
    if not any(sign in text.partition("(")[0] for sign in " +−/·") and "(" not in text:
        return True
    depth, name = 0, text.partition("(")[0]
    if any(sign in name for sign in " +−/·"):
        return False
    text = text[len(name) :]
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return place == len(text) - 1 and text[0] == "("
    return False


def _scripted(formula: Scripted) -> str:
    text = _text(formula.base)
    above = "" if formula.above is None else _exponent(_text(formula.above))
    if above == "′":
        text, above = f"{text}′", ""
    if formula.below is not None:
        text += _index(_text(formula.below))
    return text + above


def _index(text: str) -> str:
    if text.isdigit() or (len(text) == 1 and text in _LOWERED):
        return "".join(_LOWERED[character] for character in text)
    return f"_{text}" if len(text) == 1 else f"[{text}]"


def _exponent(text: str) -> str:
    if all(character in _RAISED for character in text):
        return "".join(_RAISED[character] for character in text)
    return f"^{text}" if _is_single(text) else f"^({text})"
