"""A value as a product of two matrices, or as a sum of two of bounded rank: what theorems say exists, written down."""

from __future__ import annotations

import itertools

from specdsl.equivalence.forms.arrays import FormArrays
from specdsl.equivalence.forms.form import Atom, Form, Term
from specdsl.equivalence.forms.index import ONE, ZERO, Place, Slot, Var
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.image import Step
from specdsl.equivalence.sets.rank import rank_bound
from specdsl.sizes import Size

MOST_ATOMS = 7
MOST_TERMS = 6


def product_parts(step: Step, new: Form, value: Form) -> dict[str, Form] | None:
    """A and B for `A@B = value`."""
    (term,) = new.terms.values()
    left, right = (next((a for a in term.atoms if slot in a.slots), None) for slot in term.out)
    if left is None or right is None:
        return None
    inner = next(size for slot, size in zip(left.slots, left.key.axes, strict=True) if slot not in term.out)
    parts = _factored(value, inner)
    if parts is None:
        return None
    rows, columns = parts
    return {
        left.key.name: rows if left.slots[0] == term.out[0] else rows.transposed((1, 0)),
        right.key.name: columns if right.slots[1] == term.out[1] else columns.transposed((1, 0)),
    }


def sum_parts(step: Step, new: Form, value: Form) -> dict[str, Form] | None:
    """S and T of bounded ranks for `S + T = value`."""
    (one, first), (other, second) = step.gone.items()
    assert first.rank is not None
    assert second.rank is not None
    is_turned = new != values.factor(one, first, value.world) + values.factor(other, second, value.world)
    parts = _by_terms(value, first.rank, second.rank) or _by_stretches(value, first.rank, second.rank)
    if parts is None:
        return None
    return {one: parts[0], other: parts[1].transposed((1, 0)) if is_turned else parts[1]}


def _by_terms(value: Form, first: Size, second: Size) -> tuple[Form, Form] | None:
    if len(value.terms) > MOST_TERMS:
        return None
    for chosen in itertools.product((True, False), repeat=len(value.terms)):
        parts = [Form.of(value.axes, [t for t, one in zip(value.terms.values(), chosen, strict=True) if one is side],
                         value.world) for side in (True, False)]  # fmt: skip
        bounds = [ZERO if part.is_zero else rank_bound(part) for part in parts]
        if all(bound is not None and value.world.at_most(bound, most)
               for bound, most in zip(bounds, (first, second), strict=True)):  # fmt: skip
            return parts[0], parts[1]
    return None


def _by_stretches(value: Form, first: Size, second: Size) -> tuple[Form, Form] | None:
    parts = _factored(value, first + second)
    if parts is None:
        return None
    arrays = FormArrays(value.world)
    rows, columns = parts
    made = [
        arrays.stretch(rows, 1, start, stop) @ arrays.stretch(columns, 0, start, stop)
        for start, stop in ((ZERO, first), (first, first + second))
    ]
    return made[0], made[1]


def _factored(value: Form, inner: Size) -> tuple[Form, Form] | None:
    """Two matrices with `inner` columns and rows whose product is the value."""
    if len(value.axes) != 2 or len(value.terms) > MOST_TERMS:
        return None
    lefts, rights, used = [], [], ZERO
    for term in sorted(value.fresh(), key=lambda term: sorted(term.trained)):
        found = _cut(term, value, inner)
        if found is None:
            return None
        lefts.append(found[0])
        rights.append(found[1])
        used = used + found[0].axes[1]
    if used != inner:
        if not value.world.at_most(used, inner):
            return None
        lefts.append(values.zeros((value.axes[0], inner - used), value.world))
        rights.append(values.zeros((inner - used, value.axes[1]), value.world))
    arrays = FormArrays(value.world)
    return (arrays.concat(lefts, 1), arrays.concat(rights, 0)) if len(lefts) > 1 else (lefts[0], rights[0])


def _cut(term: Term, value: Form, inner: Size) -> tuple[Form, Form] | None:
    """A term as a product of two, over the fewest indices; as much as possible on the left."""
    if len(term.atoms) > MOST_ATOMS or any(len(slot) != 1 or slot[0].offset != ZERO for slot in term.out):
        return None
    row, column = (slot[0].var for slot in term.out)
    if row is column:
        return None
    best: tuple[Size, tuple[list[Atom], list[Atom], list[Var]]] | None = None
    for sides in itertools.product((True, False), repeat=len(term.atoms)):
        parts = [[atom for atom, side in zip(term.atoms, sides, strict=True) if side is one] for one in (True, False)]
        seen = [{var for atom in part for var in atom.vars} for part in parts]
        if column in seen[0] or row in seen[1]:
            continue
        shared = [var for atom in parts[0] for var in atom.vars if var in seen[1]]
        shared = list(dict.fromkeys(shared))
        size = ONE
        for var in shared:
            size = size * var.size
        if value.world.at_most(size, inner) and (best is None or not value.world.at_most(best[0], size)):
            best = size, (parts[0], parts[1], shared)
    if best is None:
        return None
    size, (left, right, shared) = best
    middle: Slot = tuple(map(Place, shared))
    rows = Form.of((value.axes[0], size), [Term(term.coefficient, tuple(left), (term.out[0], middle))], value.world)
    columns = Form.of((size, value.axes[1]), [Term(ONE, tuple(right), (middle, term.out[1]))], value.world)
    return rows, columns
