"""Names, numbers and text as LaTeX symbols."""

from __future__ import annotations

import re

from specdsl.printing.latex_template import ATOM, POWER, PRODUCT, Level

_GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
})  # fmt: skip
_FUNCTIONS = frozenset({"min", "max", "log", "exp", "sin", "cos", "tanh"})
_ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
}  # fmt: skip


def latex_name(name: str) -> str:
    r"""A name as a symbol: Greek letters, digits and what follows `_` as an index, long names upright.

    >>> print(latex_name("alpha"), latex_name("A1"), latex_name("W_q"), latex_name("on_off"))
    \alpha A_{1} W_{\mathrm{q}} \mathrm{on\_off}
    """
    if name == "_":
        return r"\_"
    found = re.fullmatch(r"(.*?)_?(\d+)", name)
    base, index = (found[1], found[2]) if found and found[1].strip("_") else (name, "")
    head, _, tail = base.partition("_")
    if tail and not index and (len(head) == 1 or head in _GREEK):
        base, index = head, rf"\mathrm{{{latex_escaped(tail)}}}"
    if base in _GREEK:
        symbol = f"\\{base}"
    else:
        symbol = base if len(base) == 1 and base != "_" else rf"\mathrm{{{latex_escaped(base)}}}"
    return f"{symbol}_{{{index}}}" if index else symbol


def latex_escaped(text: str) -> str:
    r"""Text for `\text{...}`."""
    return "".join(_ESCAPED.get(character, character) for character in text)


def latex_number(text: str) -> Level:
    """A number as written; `1e-5` as a power of ten."""
    digits, _, exponent = text.lower().partition("e")
    if not exponent:
        return digits, ATOM
    power = f"10^{{{int(exponent)}}}"
    return (power, POWER) if float(digits) == 1 else (rf"{digits} \cdot {power}", PRODUCT)


def function_symbol(name: str) -> str:
    """The name of a function, upright."""
    return f"\\{name}" if name in _FUNCTIONS else rf"\operatorname{{{latex_escaped(name)}}}"
