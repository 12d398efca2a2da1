"""Forms at a point that can be written down: exact fractions, the same numbers as the specs are evaluated with."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.points import Point, Side
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.forms.form import Atom, Form, Key
from specdsl.equivalence.forms.index import Var
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.evaluate import FieldPoint
from specdsl.equivalence.sets.image import Image
from specdsl.sizes import Size

MOST_ROWS = 120


class ExactPoint(FieldPoint):
    """The values of atoms at a point of one spec; what it has no value for is `NotExact`."""

    prime = None

    def __init__(self, point: Point) -> None:
        super().__init__(point.environment)
        self.point = point
        self.side = point.sides[0]
        self.constants: dict[str, ExactArray] = {}
        """What was read of the other spec's constants."""
        self.moved: dict[str, Any] = {}
        """Values of trained factors that come before the spec's own."""

    def of_key(self, key: Key) -> Any:
        if key.kind == "trained" and key.name in self.moved:
            return np.reshape(self.moved[key.name], self.shape(key.axes))
        if key.kind in ("mask", "wrap"):
            return self._made(key)
        if key.kind == "operator":
            return self._operator(key)
        return np.reshape(fractions(self._written(key)), self.shape(key.axes))

    def _written(self, key: Key) -> ExactArray:
        if key.kind == "site" and key.name in self.point.site:
            return self.point.site[key.name]
        if key.kind == "part":
            for node, parts in self.point.known.items():
                if getattr(node, "operator", "") == "svd":
                    found: ExactArray = parts["USV".index(key.name)]
                    return found
        if key.kind == "trained" and key.name in self.side.trained:
            return self.side.trained[key.name]
        for side in self.point.sides if key.kind in ("frozen", "start") else ():
            factor = side.subject.ir.factors.get(key.name)
            if factor is None or factor.is_trained != (key.kind == "start"):
                continue
            if math.prod(side.sizes.shape(factor.shape)) == math.prod(self.shape(key.axes)):
                return self._constant(side, key)
        raise NotExact(key.name, "it has no value at this point")

    def _constant(self, side: Side, key: Key) -> ExactArray:
        value = side.starting.factor(key.name)
        if not isinstance(value, ExactArray):
            raise NotExact(key.name, "it has no value at this point")
        if side is not self.side:
            self.constants[f"init({key.name})" if key.kind == "start" else key.name] = value
        return value

    def _number(self, size: Size) -> Any:
        value = size.value(self.sizes)
        if isinstance(value, float) and not value.is_integer():
            raise NotExact("number", f"{size} has a root")
        return Fraction(value)

    def _atom(self, atom: Atom, names: dict[Var, int]) -> tuple[Any, list[int]]:
        if atom.power == 1:
            return super()._atom(atom, names)
        if atom.power.denominator != 1:
            raise NotExact("sqrt", "a root in a form")
        array = self.of_key(atom.key)
        if atom.power < 0 and any(entry == 0 for entry in array.ravel()):
            raise NotExact("divide", "a zero")
        raised = np.array([entry ** int(atom.power) for entry in array.ravel()], dtype=object).reshape(array.shape)
        labels: list[int] = []
        for slot in atom.slots:
            raised = self._cut(raised, slot, labels, names)
        return raised, labels

    def _operator(self, key: Key) -> Any:
        if key.name == "entries":
            return self.value(key.arguments[0]).reshape(self.shape(key.axes))
        raise NotExact(key.name, "it has no value that can be written down")


def fractions(array: ExactArray) -> Any:
    """The entries as Python's own fractions."""
    made = np.empty(array.value.shape, dtype=object)
    for place in np.ndindex(*made.shape):
        entry = array.value[place]
        made[place] = Fraction(int(entry.numerator), int(entry.denominator))
    return made


def rank(matrix: Any) -> int:
    """The rank of a matrix of fractions.

    >>> rank(np.array([[Fraction(1), Fraction(2)], [Fraction(2), Fraction(4)]]))
    1
    """
    rows = [list(row) for row in matrix]
    found = 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((place for place in range(found, len(rows)) if rows[place][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for place in range(found + 1, len(rows)):
            if rows[place][column]:
                ratio = rows[place][column] / rows[found][column]
                rows[place] = [one - ratio * other for one, other in zip(rows[place], rows[found], strict=True)]
        found += 1
    return found


def spanned(image: Image, point: ExactPoint) -> Any:
    """A row for every entry of a factor: what it alone adds to the values, as it enters linearly."""
    zero = {name: values.zeros(space.axes, image.world) for name, space in image.factors.items()}
    rows: list[Any] = []
    for name, space in image.factors.items():
        forms = image.put({other: form for other, form in zero.items() if other != name})
        shape = point.shape(space.axes)
        if len(rows) + int(np.prod(shape)) > MOST_ROWS:
            raise NotExact("span", "too many factors for an exact evaluation")
        for place in np.ndindex(*shape):
            unit = np.full(shape, Fraction(0), dtype=object)
            unit[place] = Fraction(1)
            point.moved[name] = unit
            rows.append(np.concatenate([point.value(_moving(form)).ravel() for form in forms.values()]))
        del point.moved[name]
    return np.array(rows, dtype=object)


def _moving(form: Form) -> Form:
    return Form.of(form.axes, [term for term in form.terms.values() if term.trained], form.world)


def fixed(form: Form) -> Form:
    """What is left of a value with every factor at zero."""
    return Form.of(form.axes, [term for term in form.terms.values() if not term.trained], form.world)
