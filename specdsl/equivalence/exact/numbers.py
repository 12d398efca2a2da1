"""The numbers of a spec, entered exactly: `alpha/sqrt(r)` has its root in the ring, `0.1` is one tenth."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.exact.ring import exact_fraction
from specdsl.interpret import Sizes
from specdsl.sizes import Environment, Number, Opaque, Size, Symbol


class ExactSizes(Sizes):
    """The numbers behind the symbols in one module, for evaluation over a ring.

    Args:
        xp: the namespace that they enter.
        values, layers: as in `Sizes`.
    """

    def __init__(self, xp: ExactArrays, values: Environment, layers: Iterable[Environment] | None = None) -> None:
        super().__init__(values, layers)
        self.xp = xp

    def scalar(self, size: Size) -> ExactArray:
        value = self.number(size)
        if isinstance(value, float) and not value.is_integer():
            return self._with_roots(size)
        return self.xp.array(exact_fraction(value))

    def option(self, size: Size) -> Number:
        value = self.number(size)
        if isinstance(value, float):
            raise NotExact("number", f"{size} has a root")
        return Fraction(value)

    def _with_roots(self, size: Size) -> ExactArray:
        total = self.xp.array(0)
        for monomial, coefficient in size.terms:
            product = self.xp.array(coefficient)
            for atom, exponent in monomial:
                product = product * self._power(self._atom(atom), exponent)
            total = total + product
        return total

    def _atom(self, atom: Symbol | Opaque) -> ExactArray:
        if isinstance(atom, Opaque) and atom.function == "power":
            base, exponent = atom.arguments
            if exponent.constant is not None:
                return self._power(self._with_roots(base), exponent.constant)
        if isinstance(atom, Opaque) and atom.function == "/":
            return self._power(self._with_roots(atom.arguments[0]), Fraction(-1))
        return self.xp.array(exact_fraction(self.number(_alone(atom))))

    def _power(self, base: ExactArray, exponent: Fraction) -> ExactArray:
        try:
            return base**exponent
        except NoPoint:
            raise NotExact("sqrt", "a number of the spec has no root in this field") from None


def _alone(atom: Symbol | Opaque) -> Size:
    return Size.symbol(atom.name) if isinstance(atom, Symbol) else Size((((((atom, Fraction(1)),)), Fraction(1)),))
