"""Ranks beside a fixed matrix: of `W@C + T` what leaves the columns of W has at most the rank of T."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.forms.form import Form, Key, Term
from specdsl.equivalence.forms.index import ZERO, NoForm
from specdsl.equivalence.forms.text import key_text
from specdsl.equivalence.sets.evaluate import PRIME, FieldPoint
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.invariants import SEEDS, Separation, shown
from specdsl.equivalence.sets.rank import cut, opened_reflections
from specdsl.sizes import Environment


def outside_modulo(a: Image, b: Image, sizes: Environment, larger: Sequence[Environment] = ()) -> Separation | None:
    """A reason why some value of a is none of b, at these sizes and at larger ones; None where none was found."""
    try:
        found = _outside(a, b, sizes)
        return found if found is None or all(_outside(a, b, one) is not None for one in larger) else None
    except (NotExact, NoPoint, NoForm):
        return None


def _outside(a: Image, b: Image, sizes: Environment) -> Separation | None:
    for target, written in b.forms.items():
        if len(written.axes) != 2:
            continue
        form = opened_reflections(written)
        constant = Form.of(form.axes, [term for term in form.terms.values() if not term.trained], form.world)
        for key, side, inner in _ends(form):
            bound = _bound(form, key, side, inner, sizes)
            if bound is None:
                continue
            for seed in SEEDS:
                point = FieldPoint(sizes, seed).over(a).over(b)
                value = (point.value(a.forms[target]) - point.value(constant)) % PRIME
                found = _rank_beside(value if side == 0 else value.T, point.of_key(key), inner)
                if found > bound:
                    where = "columns" if inner == 1 else "rows"
                    says = (f"what is added to the fixed part and leaves the {where} of {key_text(key)} has rank at "
                            f"most {bound} for every value of (other), and {found} for one of (one) "
                            f"({shown(sizes)})")  # fmt: skip
                    return Separation(says, True, sizes)
    return None


def _ends(form: Form) -> Iterator[tuple[Key, int, int]]:
    """Fixed matrices at the rows (0) or columns (1) of a term that is trained, and which of their axes is inside."""
    seen: set[tuple[Key, int, int]] = set()
    for term in form.terms.values():
        for side in (0, 1) if term.trained else ():
            found = _end(term, side)
            if found is not None and found not in seen:
                seen.add(found)
                yield found


def _end(term: Term, side: int) -> tuple[Key, int, int] | None:
    slot = term.out[side]
    if len(slot) != 1 or slot[0].offset != ZERO:
        return None
    own = [atom for atom in term.atoms if any(place.var is slot[0].var for one in atom.slots for place in one)]
    if len(own) != 1 or own[0].power != 1 or own[0].key.trained or len(own[0].slots) != 2:
        return None
    (atom,) = own
    outer = 0 if atom.slots[0] == slot else 1
    if atom.slots[outer] != slot or slot[0].var.size != atom.key.axes[outer]:
        return None
    return atom.key, side, 1 - outer


def _bound(form: Form, key: Key, side: int, inner: int, sizes: Environment) -> int | None:
    """The rank of all trained terms but those that end in the matrix."""
    if key.axes[inner].integer(sizes) >= key.axes[1 - inner].integer(sizes):
        return None  # it reaches everything
    total = 0
    for term in form.terms.values():
        if not term.trained or _end(term, side) == (key, side, inner):
            continue
        rows, columns = ({place.var for place in slot} for slot in term.out)
        found = cut(term, rows, columns, form)
        if found is None:
            return None
        total += found.integer(sizes)
    return total


def _rank_beside(value: Any, matrix: Any, inner: int) -> int:
    """The rank of a value after its part in the span of a matrix is taken away."""
    columns = matrix if inner == 1 else matrix.T
    away = elimination.nullspace((columns.T % PRIME).astype(np.int64), PRIME).T.astype(object)
    return elimination.rank((away.dot(value) % PRIME).astype(np.int64), PRIME)
