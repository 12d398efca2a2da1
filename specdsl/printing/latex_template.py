"""Operators' LaTeX formats (`"{0}^{{-1}}"`) filled in, with brackets where an argument needs them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from string import Formatter

COMPARISON, SUM, ELEMENTWISE, PRODUCT, POWER, ATOM = range(6)
"""How tightly a formula binds, loosest first."""

Level = tuple[str, int]
"""A formula and how tightly it binds."""

_OPENING = ("(", "{", "[", "&", ",", r"\lfloor", r"\lceil", r"\lVert", r"\left|", r"\begin{bmatrix}", r"\\")
_CLOSING = (")", "}", "]", "&", ",", r"\right", r"\rfloor", r"\rceil", r"\rVert", r"\end", r"\\")
_TALL = re.compile(r"\\(frac|begin|left|sum|prod|max|min)(?![a-z])")
_INFIX = re.compile(r"\\(otimes|odot|oslash|oplus|times|circ|cdot|sum|prod)(?![a-z])")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_DEEPER = {"(", "{", "[", r"\left", r"\begin", r"\lfloor", r"\lceil"}
_SHALLOWER = {")", "}", "]", r"\right", r"\end", r"\rfloor", r"\rceil"}


def bracketed(text: str) -> str:
    r"""The formula in round brackets, as tall as it is.

    >>> print(bracketed("A B"), bracketed(r"\frac{a}{b}"))
    (A B) \left(\frac{a}{b}\right)
    """
    return rf"\left({text}\right)" if _TALL.search(text) else f"({text})"


def template_text(template: str, arguments: Sequence[Level], options: Mapping[str, Level]) -> Level | None:
    r"""The format filled in, or None where it has no place for an argument or option, or asks for another.

    >>> print(template_text("{0}^{{-1}}", [("A + B", SUM)], {})[0])
    (A + B)^{-1}
    """
    pieces = _pieces(template)
    values = {str(position): value for position, value in enumerate(arguments)} | dict(options)
    if {name for _, name in pieces if name is not None} != values.keys():
        return None
    text = ""
    is_tall = any(_TALL.search(value[0]) for value in values.values())
    for place, (literal, name) in enumerate(pieces):
        text += _stretched(literal) if is_tall else literal
        if name is not None:
            following = pieces[place + 1][0] if place + 1 < len(pieces) else ""
            text += _placed(values[name], literal.rstrip(), following.lstrip())
    return text, _template_level(template)


def scripted(text: str, sign: str) -> str:
    """The formula as what an index (`_`) or exponent (`^`) is put on: in braces where it has such a one already.

    >>> print(scripted("A_{1}", "^"), scripted("A_{1}", "_"))
    A_{1} {A_{1}}
    """
    outside = _outside(text)
    return f"{{{text}}}" if sign in outside or (sign == "^" and "'" in outside) else text


def _placed(value: Level, before: str, after: str) -> str:
    text, level = value
    if before.endswith(_OPENING) and after.startswith(_CLOSING):
        return text
    if after.startswith(("^", "_")):
        return scripted(text if level == ATOM else bracketed(text), after[0])
    is_term = before.endswith((*_OPENING, "+", "-")) and after.startswith((*_CLOSING, "+", "-"))
    return text if level >= (ELEMENTWISE if is_term else POWER) else bracketed(text)


def _stretched(literal: str) -> str:
    """The literal with round brackets that grow with what they hold."""
    return re.sub(r"(?<!\\left)\(", r"\\left(", re.sub(r"(?<!\\right)\)", r"\\right)", literal))


@cache
def _pieces(template: str) -> list[tuple[str, str | None]]:
    """The fields of a format, each with all of the literal text before it; the text at the end has None."""
    pieces: list[tuple[str, str | None]] = []
    before = ""
    for literal, name, _, _ in Formatter().parse(template):
        before += literal
        if name is not None:
            pieces.append((before, name))
            before = ""
    return [*pieces, (before, None)]


def _outside(text: str) -> str:
    """What stands outside all brackets; a closed round bracket leaves a `|`."""
    depth, outside = 0, ""
    for token in _TOKEN.findall(text):
        depth -= token in _SHALLOWER
        if depth == 0:
            outside += "|" if token == ")" else "" if token in _SHALLOWER else token
        depth += token in _DEEPER
    return outside


@cache
def _template_level(template: str) -> int:
    """How tightly the filled-in format binds, read off what stands outside all brackets."""
    sample = "".join(literal + ("X" if name is not None else "") for literal, name in _pieces(template)).strip()
    outside = _outside(sample)
    if re.search(r"[+-]", outside):
        return SUM
    if _INFIX.search(outside):
        return ELEMENTWISE
    if " " in outside or "|(" in outside or re.search(r"X\s*X", outside):
        return PRODUCT
    return POWER if "^" in outside else ATOM
