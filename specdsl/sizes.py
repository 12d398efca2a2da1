"""Sizes and numbers of a spec as exact algebra over symbols: `n`, `r`, `k*(k - 1)/2`, `alpha/sqrt(r)`.

A `Size` is a sum of terms, each a rational coefficient times powers of atoms. An atom is a symbol or a function
that algebra cannot open (`min(n, m)`). Equal sizes are equal objects, so unification and comparison are exact and
hold for all values at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

from specdsl import limits
from specdsl.errors import SpecLimitError

Number = Any
"""An `int`, a `Fraction` or a `float`: exact wherever no root or logarithm occurs."""
Environment = Mapping[str, Number]


@dataclass(frozen=True, order=True)
class Symbol:
    """A named size or hyper-parameter; a name that begins with `?` is still to be found."""

    name: str

    @property
    def is_unknown(self) -> bool:
        return self.name.startswith("?")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Opaque:
    """A function of sizes that algebra does not open: `min(n, m)`, `near_root(n)`, `n // 2`."""

    function: str
    arguments: tuple[Size, ...]

    def __str__(self) -> str:
        if self.function in ("//", "%"):
            left, right = self.arguments
            return f"{left.bracketed()} {self.function} {right.bracketed()}"
        if self.function == "/":
            return f"1/{self.arguments[0].bracketed()}"
        if self.function == "power":
            return "^".join(argument.bracketed() for argument in self.arguments)
        if self.function == "if":
            test, yes, no = self.arguments
            return f"({yes} if {test} else {no})"
        if self.function in _COMPARISONS:
            return f"{self.arguments[0]} {self.function} {self.arguments[1]}"
        if self.function.startswith("layers."):
            return f"{self.function[7:]}(layers({self.arguments[0]}))"
        return f"{self.function}({', '.join(map(str, self.arguments))})"


Atom = Symbol | Opaque
Monomial = tuple[tuple[Atom, Fraction], ...]


def _atom_key(atom: Atom) -> tuple[int, str]:
    return (0, atom.name) if isinstance(atom, Symbol) else (1, str(atom))


Polynomial = tuple[int, list[tuple[int, list[tuple[str, int]]]]]
"""A denominator, and numerators with the symbols and exponents that multiply them."""


def _polynomial_value(polynomial: Polynomial, environment: Environment) -> Fraction | None:
    """The value in whole numbers, which is much faster; None where a symbol has another one, or none."""
    below, terms = polynomial
    total = 0
    for number, powers in terms:
        for name, exponent in powers:
            value = environment.get(name)
            if type(value) is not int:
                if not isinstance(value, Fraction) or value.denominator != 1:
                    return None
                value = value.numerator
            number *= value if exponent == 1 else value**exponent
        total += number
    return Fraction(total, below) if below != 1 else Fraction(total)


class UnknownSize(LookupError):
    """`Size.value` met a symbol that has no value; `args[0]` is its name."""


@dataclass(frozen=True, repr=False)
class Size:
    """A size or number; see the module. Build with `Size.of`, `Size.symbol` and arithmetic."""

    terms: tuple[tuple[Monomial, Fraction], ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (self.terms,)  # without the hash, which is another one in another process

    # construction

    @staticmethod
    def of(value: int | Fraction | Size) -> Size:
        if isinstance(value, Size):
            return value
        return Size((((), Fraction(value)),)) if value else Size(())

    @staticmethod
    @cache
    def symbol(name: str) -> Size:
        return Size(((((Symbol(name), Fraction(1)),), Fraction(1)),))

    @staticmethod
    def opaque(function: str, *arguments: Size) -> Size:
        """A function of sizes, folded where its arguments are known numbers."""
        numbers = [argument.constant for argument in arguments]
        if all(number is not None for number in numbers) and not function.startswith("layers."):
            folded = _FUNCTIONS[function](*[number for number in numbers if number is not None])
            if isinstance(folded, int | Fraction):
                return Size.of(folded)
        if function in ("min", "max"):
            distinct = sorted(set(arguments), key=str)
            if len(distinct) == 1:
                return distinct[0]
            arguments = tuple(distinct)
        return Size(((((Opaque(function, tuple(arguments)), Fraction(1)),), Fraction(1)),))

    @staticmethod
    def _collect(terms: Iterable[tuple[Monomial, Fraction]]) -> Size:
        total: dict[Monomial, Fraction] = {}
        for monomial, coefficient in terms:
            total[monomial] = total.get(monomial, Fraction(0)) + coefficient
        kept = [(monomial, coefficient) for monomial, coefficient in total.items() if coefficient]
        if len(kept) > limits.TERMS:
            raise SpecLimitError(f"a size or number has more than {limits.TERMS} terms")
        for _, coefficient in kept:
            if max(coefficient.numerator.bit_length(), coefficient.denominator.bit_length()) > 20 * limits.TERMS:
                raise SpecLimitError("a number has too many digits")
        kept.sort(key=lambda term: (-len(term[0]), [(_atom_key(a), -e) for a, e in term[0]]))
        return Size(tuple(kept))

    # arithmetic

    def __add__(self, other: Size | int) -> Size:
        return Size._collect((*self.terms, *Size.of(other).terms))

    def __neg__(self) -> Size:
        return Size(tuple((monomial, -coefficient) for monomial, coefficient in self.terms))

    def __sub__(self, other: Size | int) -> Size:
        return self + -Size.of(other)

    def __mul__(self, other: Size | int) -> Size:
        if len(self.terms) * len(Size.of(other).terms) > 20 * limits.TERMS:
            raise SpecLimitError(f"a size or number has more than {limits.TERMS} terms")
        return Size._collect((_join(left, right), a * b) for left, a in self.terms for right, b in Size.of(other).terms)

    def __truediv__(self, other: Size | int | Fraction) -> Size:
        divisor = Size.of(other)
        if not divisor.terms:
            raise ZeroDivisionError
        return self * divisor.power(Fraction(-1))

    def power(self, exponent: Fraction) -> Size:
        """`self ^ exponent`, for sizes taken as positive."""
        if exponent.denominator == 1 and 0 <= exponent <= 16:
            result = Size.of(1)
            for _ in range(int(exponent)):
                result = result * self
            return result
        if len(self.terms) == 1:
            (monomial, coefficient) = self.terms[0]
            root = _exact_power(coefficient, exponent)
            if root is not None:
                return Size((((tuple((atom, e * exponent) for atom, e in monomial)), root),))
        if exponent == -1:
            return Size.opaque("/", self)
        return Size.opaque("power", self, Size.of(exponent))

    def __floordiv__(self, other: Size) -> Size:
        return Size.opaque("//", self, other)

    def __mod__(self, other: Size) -> Size:
        return Size.opaque("%", self, other)

    # inspection

    @cached_property
    def constant(self) -> Fraction | None:
        """The number this is for all values of its symbols, if it is one."""
        if not self.terms:
            return Fraction(0)
        if len(self.terms) == 1 and not self.terms[0][0]:
            return self.terms[0][1]
        return None

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The names of all symbols in it, those inside functions included."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _ in monomial:
                if isinstance(atom, Symbol):
                    found.add(atom.name)
                else:
                    found.update(*(argument.symbols for argument in atom.arguments))
        return frozenset(found)

    @cached_property
    def unknowns(self) -> frozenset[str]:
        return frozenset(name for name in self.symbols if name.startswith("?"))

    @property
    def as_symbol(self) -> str | None:
        """The symbol's name if the size is nothing but one symbol."""
        if len(self.terms) == 1 and self.terms[0][1] == 1 and len(self.terms[0][0]) == 1:
            atom, exponent = self.terms[0][0][0]
            if isinstance(atom, Symbol) and exponent == 1:
                return atom.name
        return None

    def has_layers(self, kind: str = "") -> bool:
        """Whether it reads the sizes of other modules, by `max(layers(...))` and its like, or by one of these alone."""
        return any(
            isinstance(atom, Opaque)
            and (atom.function.startswith(f"layers.{kind}") or any(one.has_layers(kind) for one in atom.arguments))
            for monomial, _ in self.terms
            for atom, _ in monomial
        )

    def substitute(self, values: Mapping[str, Size]) -> Size:
        if not (self.symbols & values.keys()):
            return self
        total = Size.of(0)
        for monomial, coefficient in self.terms:
            product = Size.of(coefficient)
            for atom, exponent in monomial:
                if isinstance(atom, Symbol):
                    base = values.get(atom.name, Size.symbol(atom.name))
                else:
                    base = Size.opaque(atom.function, *(arg.substitute(values) for arg in atom.arguments))
                product = product * base.power(exponent)
            total = total + product
        return total

    def solve_for(self, name: str) -> Size | None:
        """The value of `name` that makes this size zero, if it occurs in one linear term alone."""
        rest, coefficient = Size.of(0), None
        for monomial, factor in self.terms:
            term = Size(((monomial, factor),))
            if name not in term.symbols:
                rest = rest + term
            elif coefficient is None and (Symbol(name), Fraction(1)) in monomial:
                others = tuple(power for power in monomial if power != (Symbol(name), Fraction(1)))
                coefficient = Size(((others, factor),))
                if name in coefficient.symbols:
                    return None
            else:
                return None
        return None if coefficient is None else -rest / coefficient

    def value(self, environment: Environment, layers: Iterable[Environment] | None = None) -> Number:
        """The number under `environment`; exact where no root or logarithm occurs.

        Args:
            environment: the value of every symbol.
            layers: the environments of all adapted modules, for `max(layers(n))`.

        Raises:
            UnknownSize: a symbol has no value.
        """
        if self._polynomial is not None:
            exact = _polynomial_value(self._polynomial, environment)
            if exact is not None:
                return exact
        total: Number = Fraction(0)
        for monomial, coefficient in self.terms:
            product: Number = coefficient
            for atom, exponent in monomial:
                base = _atom_value(atom, environment, layers)
                product = product * _number_power(base, exponent)
            total = total + product
        return total

    @cached_property
    def _polynomial(self) -> Polynomial | None:
        """The terms over one denominator, where all are products of symbols."""
        if any(isinstance(atom, Opaque) or exponent.denominator != 1 or exponent < 0
               for monomial, _ in self.terms for atom, exponent in monomial):  # fmt: skip
            return None
        below = math.lcm(*(coefficient.denominator for _, coefficient in self.terms))
        return below, [
            (coefficient.numerator * (below // coefficient.denominator),
             [(atom.name, int(exponent)) for atom, exponent in monomial if isinstance(atom, Symbol)])
            for monomial, coefficient in self.terms
        ]  # fmt: skip

    def integer(self, environment: Environment, layers: Iterable[Environment] | None = None) -> int:
        """The value as a whole number; ValueError if it is none."""
        value = self.value(environment, layers)
        if isinstance(value, Fraction) and value.denominator == 1:
            return value.numerator
        nearest = round(value)
        if abs(value - nearest) > 1e-9:
            raise ValueError(f"{self} = {format_number(value)} is not a whole number")
        return int(nearest)

    # text

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        if len(self.terms) == 1 and self.terms[0][1] == 1 and len(self.terms[0][0]) == 1:
            atom, exponent = self.terms[0][0][0]
            if exponent == 1:
                return str(atom)
        text = ""
        for monomial, coefficient in sorted(self.terms, key=lambda term: term[1] < 0):
            shown = _term_text(monomial, abs(coefficient))
            sign = ("-" if coefficient < 0 else "") if not text else (" - " if coefficient < 0 else " + ")
            text += sign + shown
        return text

    def bracketed(self) -> str:
        text = str(self)
        return text if self.as_symbol or text.isalnum() else f"({text})"


def format_number(value: Number) -> str:
    """A number as a user would write it."""
    if isinstance(value, float):
        return _short(f"{value:.6g}")
    if Fraction(value).denominator == 1:
        return str(int(value))
    return _short(f"{float(value):.6g}")


def _short(text: str) -> str:
    """`1e-05` as `1e-5`."""
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def _join(left: Monomial, right: Monomial) -> Monomial:
    powers: dict[Atom, Fraction] = dict(left)
    for atom, exponent in right:
        powers[atom] = powers.get(atom, Fraction(0)) + exponent
    kept = [(atom, exponent) for atom, exponent in powers.items() if exponent]
    return tuple(sorted(kept, key=lambda power: _atom_key(power[0])))


def _exact_power(value: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator == 1:
        return Fraction(value ** int(exponent)) if abs(exponent) <= 64 else None
    if exponent.denominator == 2 and value > 0:
        top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
        if top * top == value.numerator and bottom * bottom == value.denominator:
            return Fraction(Fraction(top, bottom) ** int(exponent * 2))
    return Fraction(1) if value == 1 else None


def is_zero(number: Number) -> bool:
    """Whether a number is zero, up to rounding where it is no exact one."""
    return abs(number) < 1e-9 if isinstance(number, float) else bool(number == 0)


def _number_power(base: Number, exponent: Fraction) -> Number:
    if exponent == 1:
        return base
    if exponent.denominator == 1 and not isinstance(base, float):
        return Fraction(base) ** int(exponent)
    return float(base) ** float(exponent)


def _term_text(monomial: Monomial, coefficient: Fraction) -> str:
    top: list[str] = []
    bottom: list[str] = []
    for atom, exponent in monomial:
        if isinstance(atom, Opaque) and atom.function == "/":
            (bottom if exponent > 0 else top).append(_power_text(_bracketed_atom(atom), abs(exponent)))
        else:
            (top if exponent > 0 else bottom).append(_power_text(atom, abs(exponent)))
    if _is_decimal(coefficient) and (coefficient.numerator != 1 or coefficient.denominator > 64 or not top):
        top.insert(0, format_number(coefficient))
    else:
        if coefficient.numerator != 1 or not top:
            top.insert(0, str(coefficient.numerator))
        if coefficient.denominator != 1:
            bottom.append(str(coefficient.denominator))
    return "*".join(top) + "".join(f"/{part}" for part in bottom)


def _bracketed_atom(atom: Opaque) -> Symbol:
    """The divisor of `1/(r + 1)`, to be printed as one part."""
    return Symbol(atom.arguments[0].bracketed())


def _is_decimal(value: Fraction) -> bool:
    """Whether a coefficient reads better as `0.01` than as a fraction, and is that number exactly."""
    if value.denominator == 1:
        return False
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    is_readable = (rest == 1 and value.denominator > 4) or value.denominator > 1000
    return is_readable and Fraction(format_number(value)) == value


def _power_text(atom: Atom, exponent: Fraction) -> str:
    base = str(atom)
    if isinstance(atom, Opaque) and atom.function in ("//", "%", "/"):
        base = f"({base})"
    if exponent == 1:
        return base
    if isinstance(atom, Opaque) and atom.function == "power":
        base = f"({base})"
    if exponent == Fraction(1, 2):
        return f"sqrt({atom})"
    return f"{base}^{exponent}" if exponent.denominator == 1 else f"{base}^({exponent})"


def near_root(value: int) -> int:
    """The largest divisor of `value` that is not above its square root.

    >>> near_root(768)
    24
    """
    return next(divisor for divisor in range(math.isqrt(value), 0, -1) if value % divisor == 0)


def _near_root(value: Number) -> Number:
    if Fraction(value).denominator != 1 or not 1 <= value <= 2**31:
        raise ValueError("near_root takes a positive whole number")
    return near_root(int(value))


def _power(base: Number, exponent: Number) -> Number:
    is_exact = not isinstance(base, float) and not isinstance(exponent, float)
    exact = _exact_power(Fraction(base), Fraction(exponent)) if is_exact and base > 0 else None
    return float(base) ** float(exponent) if exact is None else exact


def _log(value: Number) -> Number:
    return 0 if value == 1 else math.log(value)


_OVER_LAYERS: dict[str, Callable[[list[Number]], Number]] = {
    "max": max,
    "min": min,
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
}
_COMPARISONS: dict[str, Callable[[Number, Number], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "min": min,
    "max": max,
    "//": lambda a, b: int(a // b),
    "%": lambda a, b: Fraction(a) % Fraction(b),
    "/": lambda a: 1 / Fraction(a),
    "floor": math.floor,
    "ceil": math.ceil,
    "abs": abs,
    "near_root": _near_root,
    "power": _power,
    "log": _log,
    "exp": math.exp,
    "if": lambda test, yes, no: yes if test else no,
    **{name: (lambda compare: lambda a, b: int(compare(a, b)))(rule) for name, rule in _COMPARISONS.items()},
}
SIZE_FUNCTIONS = ("min", "max", "floor", "ceil", "abs", "near_root", "sqrt", "log", "exp")
"""The functions a size or hyper-parameter may use."""


def _atom_value(atom: Atom, environment: Environment, layers: Iterable[Environment] | None) -> Number:
    if isinstance(atom, Symbol):
        if atom.name not in environment:
            raise UnknownSize(atom.name)
        return environment[atom.name]
    if atom.function == "layers.before":
        inner, own = atom.arguments[0], environment["layer"]
        return sum((inner.value(one) for one in layers or () if one["layer"] < own), Fraction(0))
    if atom.function.startswith("layers."):
        inner = atom.arguments[0]
        values = [inner.value(one) for one in (layers if layers is not None else [environment])]
        return _OVER_LAYERS[atom.function[7:]](values)
    return _FUNCTIONS[atom.function](*(argument.value(environment, layers) for argument in atom.arguments))
