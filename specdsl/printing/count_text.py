"""Numbers of parameters as people write them: `r (n + m)`."""

from __future__ import annotations

import re
from fractions import Fraction
from math import gcd, lcm

from specdsl.sizes import Atom, Monomial, Size

_FIRST = ("n", "m")
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def factored(size: Size) -> str:
    """The size with what its terms share before a bracket, and n before m.

    >>> n, m, r = map(Size.symbol, "nmr")
    >>> factored(r * n + r * m), factored(r * n + r * m + m), factored(n * m), factored(r * r)
    ('r (n + m)', 'r (n + m) + m', 'n m', 'r²')
    """
    if all(number < 0 for _, number in size.terms) and size.terms:
        return f"-{factored(-size)}"
    atom = _shared(size)
    if atom is None:
        return _sum(size)
    symbol = Size((((((atom, Fraction(1)),)), Fraction(1)),))
    having = Size(tuple(term for term in size.terms if _power(term[0], atom) > 0))
    rest = size - having
    number, inside = _common_number(having / symbol)
    before = "" if number.numerator == 1 else f"{number.numerator} "
    after = "" if number.denominator == 1 else f"/{number.denominator}"
    text = f"{before}{_sum(symbol)} ({_sum(inside)}){after}"
    if not rest.terms:
        return text
    other = factored(rest)
    return f"{text} - {other[1:]}" if other.startswith("-") else f"{text} + {other}"


def _shared(size: Size) -> Atom | None:
    """What most of the terms have, the rank or another inner size where there is a choice."""
    counts: dict[Atom, int] = {}
    for monomial, _ in size.terms:
        for atom, exponent in monomial:
            if exponent > 0:
                counts[atom] = counts.get(atom, 0) + 1
    best = max(
        counts, key=lambda one: (counts[one], str(one) not in _FIRST, str(one) == "r", -len(str(one))), default=None
    )
    return best if best is not None and counts[best] > 1 else None


def _power(monomial: Monomial, atom: Atom) -> Fraction:
    return dict(monomial).get(atom, Fraction(0))


def _common_number(size: Size) -> tuple[Fraction, Size]:
    """`1/2` and `k - 1` of `k/2 - 1/2`."""
    numbers = [number for _, number in size.terms]
    over = lcm(*(number.denominator for number in numbers))
    common = Fraction(gcd(*(int(number * over) for number in numbers)), over)
    return common, Size(tuple((monomial, number / common) for monomial, number in size.terms))


def _sum(size: Size) -> str:
    """The terms, those with n first, as factors side by side."""
    text = ""
    for monomial, number in sorted(size.terms, key=lambda term: (term[1] < 0, _place(Size((term,))))):
        text += (" - " if number < 0 else " + ") if text else ("-" if number < 0 else "")
        text += _product(Size(((monomial, Fraction(abs(number))),)))
    return text or "0"


def _product(term: Size) -> str:
    text = str(term).replace("*", " ").replace("min(m, n)", "min(n, m)").replace("max(m, n)", "max(n, m)")
    text = re.sub(r"\bm n\b", "n m", text)
    return re.sub(r"\^(\d+)", lambda found: found[1].translate(_RAISED), text)


def _place(term: Size) -> tuple[int, int]:
    """Terms of n before those of m, and these before all others."""
    names = [place for place, name in enumerate(_FIRST) if name in term.symbols]
    return (min(names, default=len(_FIRST)), len(str(term)))
