"""Sizes and hyper-parameters as Python expressions: `n // k` where a whole number is wanted, `alpha / r` else."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from fractions import Fraction

from specdsl.interpret import Sizes
from specdsl.lowering.emit_code import UNARY, Code, Names, power
from specdsl.sizes import Atom, Monomial, Number, Opaque, Size, Symbol

_WHOLE = ("near_root", "min", "max", "floor", "ceil", "//", "%")
"""Functions of whole numbers that are whole numbers."""

_NAMES = {"floor": "math.floor", "ceil": "math.ceil", "log": "math.log", "exp": "math.exp"}


class SizeNames:
    """The names that stand for sizes in a class: of the layer, of the spec, and of the other adapted layers.

    Args:
        sizes: the numbers behind them.
        names: gives out attribute names.
        defined: sizes that the spec names, `p = near_root(n)`.
    """

    def __init__(self, sizes: Sizes, names: Names, defined: Mapping[str, Size]) -> None:
        self.sizes = sizes
        self._names = names
        self._known: dict[Size, str] = {}
        self.defined = {size: name for name, size in defined.items() if _is_whole_function(size)}

    def name(self, size: Size) -> str:
        """The name of a symbol, of a defined size, or of a number over all layers such as `max(layers(n))`."""
        if size not in self._known:
            wanted = self.defined.get(size) or size.as_symbol or _plain(str(size))
            self._known[size] = self._names.fresh(wanted)
        return self._known[size]

    def settings(self, of_layer: Container[str]) -> list[tuple[str, Size]]:
        """The names whose values are neither read off the layer nor computed from other sizes."""
        found = [(name, size) for size, name in self._known.items() if size not in self.defined]
        own = [(name, size) for name, size in found if size.as_symbol not in of_layer]
        order = list(self.sizes.values)
        return sorted(own, key=lambda pair: order.index(pair[1].as_symbol or order[-1]))

    def named_definitions(self) -> list[tuple[Size, str]]:
        """The defined sizes in use, those that others are defined by first."""
        found = [(size, name) for size, name in self._known.items() if size in self.defined]
        return sorted(found, key=lambda pair: len(str(pair[0])))

    def number(self, size: Size) -> Number:
        return self.sizes.number(size)


def _is_whole_function(size: Size) -> bool:
    if len(size.terms) != 1:
        return False
    ((monomial, coefficient),) = size.terms
    if coefficient != 1 or len(monomial) != 1:
        return False
    ((atom, exponent),) = monomial
    return exponent == 1 and isinstance(atom, Opaque) and atom.function in _WHOLE


def _plain(text: str) -> str:
    """`max(layers(n))` as `max_n`."""
    words = "".join(character if character.isalnum() else " " for character in text.replace("layers", "")).split()
    return "_".join(words)


class SizeWriter:
    """Writes the sizes of one function, and notes the names it uses.

    Args:
        names: of the class.
    """

    def __init__(self, names: SizeNames) -> None:
        self.names = names
        self.used: dict[str, Size] = {}

    def number(self, size: Size) -> Code:
        """The size as a number."""
        text = ""
        for monomial, coefficient in size.terms:
            term = self._product(monomial, abs(coefficient))
            if text:
                text += f" - {term:product}" if coefficient < 0 else f" + {term:product}"
            else:
                text = f"-{term:product}" if coefficient < 0 else term.text
        return Code(text or "0")

    def whole(self, size: Size) -> Code:
        """The size as a whole number, exactly."""
        bottom = _common_denominator(size)
        if bottom is None:
            return Code(f"round({self.number(size)})")
        if bottom == Size.of(1):
            return self.number(size)
        return Code(f"{self.number(size * bottom):unary} // {self.number(bottom):unary}")

    def parts(self, size: Size) -> tuple[Code, Code] | None:
        """Numerator and denominator, where both are whole numbers."""
        bottom = _common_denominator(size)
        return None if bottom is None else (self.number(size * bottom), self.number(bottom))

    def shape(self, shape: tuple[Size, ...]) -> str:
        """The sizes with commas."""
        return ", ".join(self.whole(size).text for size in shape)

    # -------------------------------------------------------------------------------------------- terms

    def _product(self, monomial: Monomial, coefficient: Fraction) -> Code:
        top: list[Code] = []
        bottom: list[Code] = []
        for atom, exponent in monomial:
            if isinstance(atom, Opaque) and atom.function == "/" and exponent == 1:
                bottom.append(self.number(atom.arguments[0]))
            else:
                (top if exponent > 0 else bottom).append(self._power(atom, abs(exponent)))
        if _is_decimal(coefficient):
            top.insert(0, Code(repr(float(coefficient))))
        else:
            if coefficient.numerator != 1 or not top:
                top.insert(0, Code(str(coefficient.numerator)))
            if coefficient.denominator != 1:
                bottom.append(Code(str(coefficient.denominator)))
        text = " * ".join(part.at(UNARY) for part in top)
        if not bottom:
            return top[0] if len(top) == 1 else Code(text)
        below = " * ".join(part.at(UNARY) for part in bottom)
        return Code(f"{text} / {below}" if len(bottom) == 1 else f"{text} / ({below})")

    def _power(self, atom: Atom, exponent: Fraction) -> Code:
        base = self._atom(atom)
        if exponent == 1:
            return base
        if exponent == Fraction(1, 2):
            return Code(f"math.sqrt({base})")
        if exponent.denominator == 1:
            return power(base, Code(str(exponent)))
        return power(base, Code(repr(float(exponent))))

    def _atom(self, atom: Atom) -> Code:
        if isinstance(atom, Symbol):
            return self._named(Size.symbol(atom.name))
        size = Size(((((atom, Fraction(1)),), Fraction(1)),))
        if atom.function.startswith("layers.") or size in self.names.defined:
            return self._named(size)
        return self.function(atom)

    def _named(self, size: Size) -> Code:
        name = self.names.name(size)
        self.used[name] = size
        return Code(name)

    def definition(self, size: Size) -> Code:
        """A defined size in terms of others."""
        ((((atom, _),), _),) = size.terms
        assert isinstance(atom, Opaque)
        return self.function(atom)

    def function(self, atom: Opaque) -> Code:
        """A function of sizes."""
        arguments = [self.number(argument) for argument in atom.arguments]
        match atom.function, arguments:
            case "//" | "%" | "<" | ">" | "<=" | ">=" | "==" | "!=" as sign, [left, right]:
                return Code(f"{left:unary} {sign} {right:unary}")
            case "/", [below]:
                return Code(f"1 / {below:unary}")
            case "if", [test, yes, no]:
                return Code(f"{yes:sum} if {test} else {no:sum}")
            case "power", [base, exponent]:
                return power(base, exponent)
            case name, _:
                return Code(f"{_NAMES.get(name, name)}({', '.join(part.text for part in arguments)})")


def _common_denominator(size: Size) -> Size | None:
    """The smallest product that makes every term of `size` whole; None where there are roots."""
    exponents: dict[Atom, Fraction] = {}
    numbers = [1]
    for monomial, coefficient in size.terms:
        numbers.append(coefficient.denominator)
        for atom, exponent in monomial:
            is_real = isinstance(atom, Opaque) and atom.function in ("/", "power", "log", "exp")
            if exponent.denominator != 1 or is_real:
                return None
            exponents[atom] = max(exponents.get(atom, Fraction(0)), -exponent)
    atoms = tuple((atom, exponent) for atom, exponent in exponents.items() if exponent)
    return Size(((atoms, Fraction(math.lcm(*numbers))),))


def _is_decimal(value: Fraction) -> bool:
    """Whether a fraction is better written with a decimal point: 0.1, but a / 2."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1 and value.denominator > 4
