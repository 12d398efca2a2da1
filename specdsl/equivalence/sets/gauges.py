"""Directions in which the factors of an image can move without moving its value.

Proposed are numbers along an index that joins factors (`A@diag(x)` and `diag(1/x)@B`) and matrices between two of them
(`A@X` and `inverse(X)@B`; in `A@A.T` an orthogonal X). Each is accepted only if the derivative of every form along it
is zero, for all sizes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from specdsl.equivalence.forms.arrays import FormArrays
from specdsl.equivalence.forms.form import Form, Key, Term, atom_form
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm, Var
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.derivative import derived
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.patterns import places_of
from specdsl.sizes import Size

Side = tuple[str, int | None]
"""A factor and one of its axes; None where all of it is multiplied by one number."""


@dataclass(frozen=True)
class Gauge:
    """Moves of factors that leave every value as it is.

    Attributes:
        kind: one `number`, `numbers` for each entry of an axis, `matrices` over it, or `skew` matrices.
        size: of the axis.
        weights: of every side that moves; with matrices 1 for `A@X` and -1 for `-A@X.T`.
    """

    kind: str
    size: Size
    weights: Mapping[Side, Fraction]

    def moves(self, arrays: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What is added to every factor, for each parameter of the gauge."""
        if self.kind == "number":
            yield {one: array * int(self.weights.get((one, None), 0)) for one, array in arrays.items()}
            return
        (name, axis), *_ = self.weights
        assert axis is not None
        length = arrays[name].shape[axis]
        if self.kind == "numbers":
            entries: list[list[tuple[int, int, int]]] = [[(k, k, 1)] for k in range(length)]
        elif self.kind == "matrices":
            entries = [[(i, j, 1)] for i, j in itertools.product(range(length), repeat=2)]
        else:
            entries = [[(i, j, 1), (j, i, -1)] for i, j in itertools.combinations(range(length), 2)]
        for matrix in entries:
            moved = {one: np.zeros_like(array) for one, array in arrays.items()}
            for (name, axis), weight in self.weights.items():
                assert axis is not None
                for i, j, sign in matrix:
                    source, to = (i, j) if weight > 0 or self.kind != "matrices" else (j, i)
                    added = np.take(arrays[name], source, axis) * (int(weight) * sign)
                    moved[name][(slice(None),) * axis + (to,)] += added
            yield moved


def gauges(image: Image) -> Iterator[Gauge]:
    """The gauges that were found, each checked."""
    sides = [(name, axis) for name in _plain(image) for axis in range(len(image.factors[name].axes))]
    by_size: dict[Size, list[Side]] = {}
    for name, axis in sides:
        by_size.setdefault(image.factors[name].axes[axis], []).append((name, axis))
    several = [
        itertools.chain(_numbers(image, own, size), _matrices(image, own, size)) for size, own in by_size.items()
    ]
    for proposal in itertools.chain(_number(image), *several):
        try:
            if _is_unseen(image, proposal):
                yield proposal
        except NoForm:
            continue


def _plain(image: Image) -> Iterator[str]:
    """Factors that are read as they are, never inside an operator."""
    for name, space in image.factors.items():
        inside = any(name in atom.key.trained and atom.key.kind != "trained" for _, term in image.terms()
                     for atom in term.atoms)  # fmt: skip
        if space.range not in ("rotations", "reflections") and not inside:
            yield name


def _touching(term: Term, sides: Sequence[Side]) -> tuple[dict[Var, dict[Side, Fraction]], set[Side]]:
    """How often every side stands at every index of a term; and the sides that are read in part or in blocks."""
    found: dict[Var, dict[Side, Fraction]] = {}
    odd: set[Side] = set()
    for atom in term.atoms:
        if atom.key.kind != "trained":
            continue
        for axis, slot in enumerate(atom.slots):
            side = (atom.key.name, axis)
            if side not in sides:
                continue
            if len(slot) != 1 or slot[0].offset != ZERO or slot[0].var.size != atom.key.axes[axis]:
                odd.add(side)
                continue
            at = found.setdefault(slot[0].var, {})
            at[side] = at.get(side, Fraction(0)) + atom.power
    return found, odd


# ---------------------------------------------------------------------------------------------------- numbers


def _number(image: Image) -> Iterator[Gauge]:
    """Weights of whole factors that add up to zero in every term."""
    usable = [name for name in _plain(image) if not image.factors[name].orthonormal]
    rows = [
        [sum((atom.power for atom in term.atoms if atom.key.kind == "trained" and atom.key.name == name), Fraction(0))
         for name in usable]
        for _, term in image.terms()
    ]  # fmt: skip
    for vector in _null_vectors(rows, len(usable)):
        weights: dict[Side, Fraction] = {
            (name, None): weight for name, weight in zip(usable, vector, strict=True) if weight
        }
        yield Gauge("number", ONE, weights)


def _numbers(image: Image, sides: list[Side], size: Size) -> Iterator[Gauge]:
    """Weights that add up to zero at every index of every term."""
    usable = [side for side in sides if not image.factors[side[0]].orthonormal]
    rows: list[list[Fraction]] = []
    excluded: set[Side] = set()
    for _, term in image.terms():
        found, odd = _touching(term, usable)
        excluded |= odd
        rows += [[at.get(side, Fraction(0)) for side in usable] for at in found.values()]
    rows += [[Fraction(one == side) for one in usable] for side in excluded]
    for vector in _null_vectors(rows, len(usable)):
        weights = {side: weight for side, weight in zip(usable, vector, strict=True) if weight}
        yield Gauge("numbers", size, weights)


def _null_vectors(rows: list[list[Fraction]], width: int) -> Iterator[list[Fraction]]:
    """A basis, in whole numbers, of the vectors that are orthogonal to all rows."""
    reduced_rows: list[list[Fraction]] = []
    leading: list[int] = []
    for row in rows:
        for known, lead in zip(reduced_rows, leading, strict=True):
            row = [entry - row[lead] * other for entry, other in zip(row, known, strict=True)]
        lead = next((place for place, entry in enumerate(row) if entry), -1)
        if lead < 0:
            continue
        row = [entry / row[lead] for entry in row]
        reduced_rows = [[e - old[lead] * o for e, o in zip(old, row, strict=True)] for old in reduced_rows]
        reduced_rows.append(row)
        leading.append(lead)
    for free in (place for place in range(width) if place not in leading):
        vector = [Fraction(place == free) for place in range(width)]
        for known, lead in zip(reduced_rows, leading, strict=True):
            vector[lead] = -known[free]
        whole = reduce(lambda total, entry: total * entry.denominator, vector, 1)
        yield [entry * whole for entry in vector]


# --------------------------------------------------------------------------------------------------- matrices


def _matrices(image: Image, sides: list[Side], size: Size) -> Iterator[Gauge]:
    """Sides joined by sums over an index that nothing else reads; where no signs fit, the matrices are skew."""
    bonds: list[tuple[Side, Side]] = []
    fixed: set[Side] = set()
    for _, term in image.terms():
        found, odd = _touching(term, sides)
        fixed |= odd
        for var, at in found.items():
            ends = [side for side, count in at.items() for _ in range(int(count)) if count.denominator == 1]
            if len(ends) == 2 == places_of(term, var) and var not in term.open_vars:
                bonds.append((ends[0], ends[1]))
            else:
                fixed |= at.keys()
    for group in _groups(bonds):
        if group & fixed:
            continue
        signs = _signs(group, bonds)
        needs_skew = signs is None or any(image.factors[name].orthonormal for name, _ in group)
        if needs_skew:
            yield Gauge("skew", size, {side: Fraction(1) for side in sorted(group, key=str)})
        else:
            assert signs is not None
            yield Gauge("matrices", size, signs)


def _groups(bonds: list[tuple[Side, Side]]) -> list[set[Side]]:
    groups: list[set[Side]] = []
    for bond in bonds:
        together = set(bond)
        for group in [group for group in groups if group & together]:
            together |= group
            groups.remove(group)
        groups.append(together)
    return groups


def _signs(group: set[Side], bonds: list[tuple[Side, Side]]) -> dict[Side, Fraction] | None:
    """1 or -1 for every side so that both ends of a bond differ; None where there are no such signs."""
    signs = {next(iter(sorted(group, key=str))): Fraction(1)}
    for _ in range(len(group)):
        for one, other in bonds:
            for left, right in ((one, other), (other, one)):
                if left in signs:
                    signs.setdefault(right, -signs[left])
    return signs if all(signs[one] == -signs[other] for one, other in bonds if one in group) else None


# ------------------------------------------------------------------------------------------------- the check


def _is_unseen(image: Image, gauge: Gauge) -> bool:
    """Whether no form moves, for all sizes."""
    for form in image.forms.values():
        total = Form.of(form.axes, [], form.world)
        for (name, axis), weight in gauge.weights.items():
            space = image.factors[name]
            value = values.factor(name, space, image.world)
            along = value.scaled(Size.of(weight)) if axis is None else _moved(value, axis, gauge, weight)
            total = total + derived(form, name, space).put({"\0direction": along})
        if not total.is_zero:
            return False
    return True


def _moved(value: Form, axis: int, gauge: Gauge, weight: Fraction) -> Form:
    """The direction of a factor for a matrix, or a vector of numbers, that is not known."""
    arrays = FormArrays(value.world)
    letters = "abcdefg"[: len(value.axes)]
    at, size = letters[axis], gauge.size
    if gauge.kind == "numbers":
        vector = atom_form(Key("frozen", "a vector", (size,)), (size,), value.world)
        return arrays.einsum(f"{letters},{at}->{letters}", value, vector).scaled(Size.of(weight))
    matrix = atom_form(Key("frozen", "a matrix", (size, size)), (size, size), value.world)
    if gauge.kind == "skew":
        matrix = matrix - matrix.transposed((1, 0))
    pattern = f"{at}z" if weight > 0 else f"z{at}"
    moved = arrays.einsum(f"{letters},{pattern}->{letters.replace(at, 'z')}", value, matrix)
    return moved.scaled(Size.of(weight))
