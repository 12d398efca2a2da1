"""Sizes by unification: unknown sizes are solved, what must hold of real modules becomes a size condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specdsl.errors import SpecShapeError
from specdsl.ir import Condition
from specdsl.operators.registry import Shape
from specdsl.sizes import Opaque, Size
from specdsl.source import Span

MODULE_SIZES = frozenset({"n", "m", "c", "kh", "kw"})
"""The sizes that a module brings; two of them may have to agree, which is then a size condition."""


def shape_text(shape: Shape) -> str:
    """A shape as a user writes it, `n x r`; a number is called so.

    >>> shape_text((Size.symbol("n"), Size.symbol("r")))
    'n x r'
    """
    return " x ".join(_dimension(size) for size in shape) if shape else "a number"


def _dimension(size: Size) -> str:
    if size.unknowns:
        return "?"
    text = str(size)
    return f"({text})" if " + " in text or " - " in text else text


class ShapeSolver:
    """Collects equalities between sizes while expressions are read, and solves them."""

    def __init__(self, hyper_value: Callable[[Size], Any]) -> None:
        self.bindings: dict[str, Size] = {}
        self.inner: list[Size] = []
        self.conditions: list[Condition] = []
        self.pending: list[tuple[Size, Size, str, Span]] = []
        self.span: Span | None = None
        self.indices: dict[str, Size] = {}  # what counts in the folds around, and how far
        self.takes_rank = False
        self._hyper_value = hyper_value
        self._count = 0

    # what a shape rule may ask (`ShapeContext`)

    def fresh(self) -> Size:
        self._count += 1
        return Size.symbol(f"?{self._count}")

    def resolved(self, size: Size) -> Size:
        while size.unknowns & self.bindings.keys():
            size = size.substitute(self.bindings)
        return size

    def same(self, left: Size, right: Size, why: str) -> None:
        left, right = self.resolved(left), self.resolved(right)
        difference = left - right
        if not difference.terms:
            return
        for name in sorted(difference.unknowns, key=lambda unknown: -int(unknown[1:])):
            value = difference.solve_for(name)
            if value is not None and name not in value.symbols:
                self.bindings[name] = value
                return
        if difference.unknowns:
            self.pending.append((left, right, why, self._here()))
            return
        self._demand_equal(left, right, why)

    def whole(self, size: Size, why: str) -> None:
        size = self.resolved(size)
        if size.unknowns:
            return
        if size.symbols & self.indices.keys():
            for end in self._at_both_ends(size):
                self.whole(end, why)
            return
        value = self._hyper_value(size)
        if _is_evidently_whole(size) and value is None:
            self.not_negative(size, why)
            return
        if value is not None and (value < 1 or abs(value - round(value)) > 1e-9):
            raise SpecShapeError(
                f"{why}: {size} is {float(value):g}, but a size is a whole number, at least 1", self._here()
            )
        if size.symbols and not _is_evidently_whole(size):
            self._record(Condition("whole", size, size, why, self._here()))

    def not_negative(self, size: Size, why: str) -> None:
        """Demand `size >= 0`, said as `r <= n`."""
        taken = Size(tuple((monomial, -number) for monomial, number in size.terms if number < 0))
        if taken.terms and not _is_triangular(size):
            self.at_most(taken, size + taken, why)

    def at_most(self, small: Size, large: Size, why: str) -> None:
        small, large = self.resolved(small), self.resolved(large)
        if small.unknowns or large.unknowns or small == large:
            return
        if (small - large).symbols & self.indices.keys():
            for end in self._at_both_ends(large - small):
                self.not_negative(end, why)
            return
        difference = self._hyper_value(large - small)
        if difference is not None and difference < 0:
            raise SpecShapeError(f"{why}: {small} is more than {large}", self._here())
        if (small - large).symbols and not _is_evidently_at_most(small, large):
            self._record(Condition("at_most", small, large, why, self._here()))

    # the rest

    def _at_both_ends(self, size: Size) -> tuple[Size, Size]:
        """A size inside folds where every index is 0, and where every one is at its last value."""
        first = size.substitute({name: Size.of(0) for name in self.indices})
        last = size
        for name in reversed(self.indices):  # the count of an inner fold may read an outer index
            last = last.substitute({name: self.indices[name] - 1})
        return first, last

    def shape(self, shape: Shape) -> Shape:
        return tuple(self.resolved(size) for size in shape)

    def mark_inner(self, size: Size) -> None:
        """Remember that `size` is the inner size of a product: if nothing fixes it, it is r."""
        self.inner.append(size)

    def settle_inner(self) -> None:
        """Give the default rank to inner sizes that nothing fixes, then retry what had to wait."""
        rank = Size.symbol("r")
        for size in self.inner:
            free = self.resolved(size).as_symbol
            if free is not None and free.startswith("?"):
                self.bindings[free] = rank
                self.takes_rank = True
        waiting, self.pending = self.pending, []
        for left, right, why, span in waiting:
            self.span = span
            self.same(left, right, why)

    def _here(self) -> Span:
        assert self.span is not None
        return self.span

    def _demand_equal(self, left: Size, right: Size, why: str) -> None:
        value = self._hyper_value(left - right)
        if value is not None and abs(value) > 1e-9:
            raise SpecShapeError(f"{why}: {left} is not {right}", self._here(), self._numbers(left, right))
        both_from_module = left.symbols & MODULE_SIZES and right.symbols & MODULE_SIZES
        if value is not None and not (left - right).symbols:
            return
        if value is None and not both_from_module:
            is_known = not (left.unknowns or right.unknowns)
            raise SpecShapeError(f"{why}: {left} is not {right}" if is_known else why, self._here())
        self._record(Condition("equal", left, right, why, self._here()))

    def _numbers(self, left: Size, right: Size) -> str | None:
        shown = []
        for size in (left, right):
            value = self._hyper_value(size)
            if value is not None and size.constant is None:
                shown.append(f"{size} is {float(value):g}")
        return ", ".join(shown) or None

    def _record(self, condition: Condition) -> None:
        if condition not in self.conditions:
            self.conditions.append(condition)


def _is_evidently_whole(size: Size) -> bool:
    """Whether a size is whole for all whole values of its symbols."""
    for monomial, coefficient in size.terms:
        if coefficient.denominator != 1:
            return _is_triangular(size)
        for atom, exponent in monomial:
            if exponent.denominator != 1 or exponent < 0:
                return False
            if isinstance(atom, Opaque) and atom.function not in _WHOLE_FUNCTIONS:
                return False
            if isinstance(atom, Opaque) and not all(map(_is_evidently_whole, atom.arguments)):
                return atom.function in ("floor", "ceil", "//")
    return bool(size.terms) and any(coefficient > 0 for _, coefficient in size.terms)


_WHOLE_FUNCTIONS = {"min", "max", "floor", "ceil", "//", "near_root", "layers.max", "layers.min", "layers.sum"}


def _is_triangular(size: Size) -> bool:
    return any((Size.symbol(name) * (Size.symbol(name) - 1) / 2 - size).terms == () for name in size.symbols)


def _is_evidently_at_most(small: Size, large: Size) -> bool:
    """`min(n, m) <= n`, and the like."""
    for monomial, coefficient in small.terms:
        if len(small.terms) == 1 and coefficient == 1 and len(monomial) == 1:
            atom, exponent = monomial[0]
            if isinstance(atom, Opaque) and atom.function == "min" and exponent == 1:
                return large in atom.arguments
    difference = large - small
    if (difference + 1).as_symbol is not None:  # 1 <= k: a size is at least 1
        return True
    return bool(difference.terms) and all(coefficient > 0 for _, coefficient in difference.terms)
