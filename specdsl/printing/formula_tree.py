r"""Formulas as trees: what `specdsl.printing.latex` writes, read back to be set as MathML or as plain text.

Only the few commands that the LaTeX printer and the operators' own formats use are known; another one is shown by its
name, as LaTeX users would read it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME, UPRIGHT, NUMBER, SIGN, BIG, TEXT, GAP = "name", "upright", "number", "sign", "big", "text", "gap"

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|\d+(?:\.\d+)?|.", re.DOTALL)
_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ", "Phi": "Φ", "Psi": "Ψ",
    "Omega": "Ω",
}  # fmt: skip
_SIGNS = {
    "odot": "⊙", "oslash": "⊘", "otimes": "⊗", "oplus": "⊕", "cdot": "·", "times": "×", "circ": "∘", "in": "∈",
    "sim": "∼", "le": "≤", "ge": "≥", "ne": "≠", "lVert": "‖", "rVert": "‖", "lfloor": "⌊", "rfloor": "⌋",
    "lceil": "⌈", "rceil": "⌉", "lvert": "|", "rvert": "|",
}  # fmt: skip
_SPACES = {",": " ", " ": " ", "quad": "  "}
_BIG = {"sum": "∑", "prod": "∏"}
_WORDS = frozenset({"min", "max", "log", "exp", "sin", "cos", "tanh"})
_DOUBLE = {"R": "ℝ", "N": "ℕ"}
_SCRIPT = {"F": "ℱ", "L": "ℒ", "U": "𝒰"}


@dataclass(frozen=True)
class Symbol:
    """One sign; `style` is NAME, UPRIGHT, NUMBER, SIGN, BIG, TEXT or GAP."""

    text: str
    style: str


@dataclass(frozen=True)
class Line:
    items: tuple[Formula, ...]


@dataclass(frozen=True)
class Fraction:
    top: Formula
    bottom: Formula


@dataclass(frozen=True)
class Root:
    body: Formula


@dataclass(frozen=True)
class Scripted:
    """A base with an index, an exponent or both."""

    base: Formula
    below: Formula | None
    above: Formula | None


@dataclass(frozen=True)
class Fenced:
    """A formula in brackets that are as tall as it."""

    opening: str
    body: Formula
    closing: str


@dataclass(frozen=True)
class Table:
    """`kind` is `bmatrix` or `cases`."""

    kind: str
    rows: tuple[tuple[Formula, ...], ...]


Formula = Symbol | Line | Fraction | Root | Scripted | Fenced | Table


def formula_tree(latex: str) -> Formula:
    r"""The tree of a formula.

    >>> formula_tree(r"\frac{a}{2}")
    Fraction(top=Symbol(text='a', style='name'), bottom=Symbol(text='2', style='number'))
    """
    return _Reader(_TOKEN.findall(latex)).line(frozenset())


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0

    @property
    def ahead(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def next(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1]

    def line(self, stops: frozenset[str]) -> Formula:
        """Everything up to one of `stops`, which stays ahead."""
        items: list[Formula] = []
        while self.ahead and self.ahead not in stops:
            if self.ahead in ("^", "_", "'"):
                items.append(self._scripted(items.pop() if items else Symbol("", TEXT)))
            elif self.ahead.isspace():
                self.next()
                items.append(Symbol(" ", GAP))
            else:
                items.append(self.atom())
        return _line(items)

    def atom(self) -> Formula:
        token = self.next()
        match token:
            case "{":
                return self._until("}")
            case r"\frac":
                return Fraction(self._argument(), self._argument())
            case r"\sqrt":
                return Root(self._argument())
            case r"\left":
                opening = self._bracket()
                body = self.line(frozenset({r"\right"}))
                self.next()
                return Fenced(opening, body, self._bracket())
            case r"\begin":
                return self._table()
            case r"\text" | r"\operatorname" | r"\mathrm":
                style = TEXT if token == r"\text" else UPRIGHT
                return Symbol(self._plain_text(), style)
            case r"\mathbb":
                return Symbol(_DOUBLE.get(text := self._plain_text(), text), NAME)
            case r"\mathcal":
                return Symbol(_SCRIPT.get(text := self._plain_text(), text), NAME)
            case r"\mathbf":
                return Symbol(self._plain_text(), UPRIGHT)
        return _symbol(token)

    def _until(self, closing: str) -> Formula:
        body = self.line(frozenset({closing}))
        self.next()
        return body

    def _argument(self) -> Formula:
        while self.ahead.isspace():
            self.next()
        return self.atom()

    def _scripted(self, base: Formula) -> Formula:
        below, above = None, None
        while self.ahead in ("^", "_", "'"):
            sign = self.next()
            if sign == "_":
                below = self._argument()
            else:
                above = Symbol("′", SIGN) if sign == "'" else self._argument()
        return Scripted(base, below, above)

    def _bracket(self) -> str:
        token = self.next()
        return _SIGNS.get(token[1:], token[1:]) if token.startswith("\\") else token

    def _plain_text(self) -> str:
        """The text of a group that holds no formula."""
        self.next()
        text, depth = "", 0
        while self.ahead != "}" or depth:
            token = self.next()
            depth += {"{": 1, "}": -1}.get(token, 0)
            if token in ("{", "}"):
                continue
            named = {r"\textbackslash": "\\", r"\textasciicircum": "^", r"\textasciitilde": "~"}
            text += named.get(token, token[1:] if token.startswith("\\") else token)
        self.next()
        return text

    def _table(self) -> Table:
        kind = self._word()
        rows: list[tuple[Formula, ...]] = []
        row: list[Formula] = []
        while True:
            row.append(_trimmed(self.line(frozenset({"&", r"\\", r"\end"}))))
            token = self.next()
            if token != "&":
                rows.append(tuple(row))
                row = []
            if token == r"\end":
                self._word()
                return Table(kind, tuple(rows))

    def _word(self) -> str:
        """The name of an environment, in braces."""
        return self._plain_text()


def _symbol(token: str) -> Symbol:
    name = token[1:] if token.startswith("\\") and len(token) > 1 else ""
    if not name:
        style = NUMBER if token[0].isdigit() else NAME if token.isalpha() else SIGN
        return Symbol("−" if token == "-" else token, style)
    if name in _SPACES:
        return Symbol(_SPACES[name], GAP)
    if name in _BIG:
        return Symbol(_BIG[name], BIG)
    if name in _SIGNS:
        return Symbol(_SIGNS[name], SIGN)
    if name == "top":
        return Symbol("⊤", SIGN)
    if name in _GREEK:
        return Symbol(_GREEK[name], NAME)
    return Symbol(name, UPRIGHT if name in _WORDS or name.isalpha() else SIGN)


def _line(items: list[Formula]) -> Formula:
    return items[0] if len(items) == 1 else Line(tuple(items))


def _trimmed(formula: Formula) -> Formula:
    """Without gaps at both ends."""
    if not isinstance(formula, Line):
        return formula
    items = list(formula.items)
    for end in (0, -1):
        while items and isinstance(items[end], Symbol) and items[end].style == GAP:  # type: ignore[union-attr]
            items.pop(end)
    return _line(items)
