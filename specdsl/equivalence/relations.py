"""Relations between sizes, and whether any sizes satisfy several of them.

The test is elimination of one size after the other (Fourier and Motzkin) over what is linear; a product or a function
counts as one more unknown, `min` and `max` with their bounds. So `False` is a proof and `True` may be a lack of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from specdsl.sizes import Atom, Environment, Opaque, Size, Symbol, UnknownSize

_NEGATED = {"<": ">=", "<=": ">", "=": "!=", "!=": "=", ">=": "<", ">": "<="}
WHOLE = frozenset({"n", "m", "r", "kh", "kw", "tokens"})
"""Whole and at least 1 in every spec; another name may be a hyper-parameter, which is any number."""
_MOST_ROWS = 400
"""More inequalities than this are not eliminated further."""

Row = tuple[tuple[tuple[str, Fraction], ...], Fraction, bool]
"""`sum of coefficient * unknown + constant >= 0`, or `> 0` where it is strict."""


@dataclass(frozen=True)
class Relation:
    """`left sign right` between sizes.

    >>> str(Relation(Size.symbol("r"), "<", Size.symbol("n")))
    'r < n'
    """

    left: Size
    sign: str
    right: Size

    @property
    def symbols(self) -> frozenset[str]:
        return self.left.symbols | self.right.symbols

    def holds(self, environment: Environment) -> bool | None:
        """Whether it is true of these sizes; None where one has no value."""
        try:
            left, right = self.left.value(environment), self.right.value(environment)
        except UnknownSize:
            return None
        return bool(
            {
                "<": left < right, "<=": left <= right, "=": left == right,
                "!=": left != right, ">=": left >= right, ">": left > right,
            }[self.sign]
        )  # fmt: skip

    def negated(self) -> Relation:
        return Relation(self.left, _NEGATED[self.sign], self.right)

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


def fixed_sizes(relations: Iterable[Relation]) -> dict[str, int]:
    """The sizes that equations fix, one after the other: `n = m` and `m = 4` fix both."""
    equations = [relation.left - relation.right for relation in relations if relation.sign == "="]
    found: dict[str, int] = {}
    for _ in equations:
        known = {name: Size.of(value) for name, value in found.items()}
        for equation in equations:
            rest = equation.substitute(known)
            if len(rest.symbols) == 1:
                (name,) = rest.symbols
                solved = rest.solve_for(name)
                value = None if solved is None else solved.constant
                if value is not None and value.denominator == 1 and value > 0:
                    found[name] = int(value)
    return found


def are_possible(relations: Sequence[Relation]) -> bool:
    """Whether some sizes may satisfy all relations; False is proved."""
    fixed = fixed_sizes(relations)
    known = {name: Size.of(value) for name, value in fixed.items()}
    if any(relation.holds(fixed) is False for relation in relations):
        return False
    put_in = [Relation(one.left.substitute(known), one.sign, one.right.substitute(known)) for one in relations]
    unequal = [relation for relation in put_in if relation.sign == "!="]
    rest = [relation for relation in put_in if relation.sign != "!="]
    for signs in product("<>", repeat=min(len(unequal), 6)):
        sides = [Relation(one.left, sign, one.right) for one, sign in zip(unequal, signs, strict=False)]
        if _is_possible([*rest, *sides]):
            return True
    return False


def _is_possible(relations: Sequence[Relation]) -> bool:
    unknowns: dict[Size, str] = {}
    rows = [row for relation in relations for row in _rows(relation, unknowns)]
    rows += list(_bounds(unknowns))
    sizes = {name for relation in relations for name in relation.symbols}
    rows += [(((name, Fraction(1)),), Fraction(-1), False) for name in sorted(sizes & WHOLE)]
    return not _contradict(rows)


def _rows(relation: Relation, unknowns: dict[Size, str]) -> Iterator[Row]:
    difference = relation.right - relation.left
    counts = is_whole(difference)
    for sign, value in ((("<", "<=", "="), difference), ((">", ">=", "="), -difference)):
        if relation.sign in sign:
            coefficients, constant = _linear(value, unknowns)
            strict = relation.sign in ("<", ">")
            if strict and counts:  # of whole numbers, `a < b` is `a + 1 <= b`
                constant, strict = constant - 1, False
            yield coefficients, constant, strict


def is_whole(size: Size) -> bool:
    """Whether the value is whole for whole sizes, by its form."""
    return all(
        coefficient.denominator == 1
        and all(exponent.denominator == 1 and exponent > 0 and _is_whole_atom(atom) for atom, exponent in monomial)
        for monomial, coefficient in size.terms
    )


def _is_whole_atom(atom: Atom) -> bool:
    if isinstance(atom, Symbol):
        return atom.name in WHOLE
    return atom.function in ("min", "max") and all(map(is_whole, atom.arguments))


def _linear(size: Size, unknowns: dict[Size, str]) -> tuple[tuple[tuple[str, Fraction], ...], Fraction]:
    """A size as a linear form in its symbols; every other product counts as one unknown."""
    found: dict[str, Fraction] = {}
    constant = Fraction(0)
    for monomial, coefficient in size.terms:
        if not monomial:
            constant += coefficient
            continue
        unit = Size(((monomial, Fraction(1)),))
        name = unit.as_symbol or unknowns.setdefault(unit, f" {len(unknowns)}")
        found[name] = found.get(name, Fraction(0)) + coefficient
    return tuple(sorted(found.items())), constant


def _bounds(unknowns: dict[Size, str]) -> Iterator[Row]:
    """What is known of products of sizes, `min` and `max`; the arguments of these may be unknowns again."""
    done: set[Size] = set()
    while len(done) < len(unknowns):
        for unit in [one for one in unknowns if one not in done]:
            done.add(unit)
            (monomial, _), *_ = unit.terms
            if is_whole(unit):
                yield ((unknowns[unit], Fraction(1)),), Fraction(-1), False
            (atom, exponent), *others = monomial
            if others or exponent != 1 or not isinstance(atom, Opaque) or atom.function not in ("min", "max"):
                continue
            sign = "<=" if atom.function == "min" else ">="
            for argument in atom.arguments:
                yield from _rows(Relation(unit, sign, argument), unknowns)


def _contradict(rows: Sequence[Row]) -> bool:
    """Whether the inequalities have no solution; False where there are too many to say."""
    left = list(dict.fromkeys(rows))
    while True:
        if any(not form and (constant < 0 or (strict and constant == 0)) for form, constant, strict in left):
            return True
        names = {name for form, _, _ in left for name, _ in form}
        if not names or len(left) > _MOST_ROWS:
            return False
        left = _without(min(names, key=lambda name: (_pairs(name, left), name)), left)


def _pairs(name: str, rows: Sequence[Row]) -> int:
    signs = [value > 0 for form, _, _ in rows for other, value in form if other == name]
    return sum(signs) * (len(signs) - sum(signs))


def _without(name: str, rows: Sequence[Row]) -> list[Row]:
    """The inequalities that follow for the other unknowns."""
    kept: list[Row] = [row for row in rows if name not in dict(row[0])]
    above = [row for row in rows if dict(row[0]).get(name, 0) > 0]
    below = [row for row in rows if dict(row[0]).get(name, 0) < 0]
    for upper, lower in product(above, below):
        kept.append(_combined(name, upper, lower))
    return list(dict.fromkeys(kept))


def _combined(name: str, upper: Row, lower: Row) -> Row:
    left, right = dict(upper[0]), dict(lower[0])
    up, down = left.pop(name), -right.pop(name)
    total: Mapping[str, Fraction] = {
        other: left.get(other, Fraction(0)) / up + right.get(other, Fraction(0)) / down for other in {*left, *right}
    }
    form = tuple(sorted((other, value) for other, value in total.items() if value))
    return form, upper[1] / up + lower[1] / down, upper[2] or lower[2]
