"""The smallest affine space that holds all values of a polynomial map: one that leaves it is none of them.

A polynomial map with free factors spans the coefficients of its monomials, and these are read off by putting in unit
matrices for every factor (after all terms with the same factors were taken together).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.forms.form import Atom, Form, Key, Term
from specdsl.equivalence.forms.index import NoForm
from specdsl.equivalence.sets.evaluate import PRIME, FieldPoint
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.invariants import SEEDS, Separation, shown
from specdsl.sizes import Environment

MOST_MONOMIALS = 600
MOST_COPIES = 3


def outside_hull(a: Image, b: Image, sizes: Environment, larger: Sequence[Environment] = ()) -> Separation | None:
    """A reason why some value of a is in no affine space that holds those of b, at these sizes and at larger ones."""
    try:
        found = _outside(a, b, sizes)
        return found if found is None or all(_outside(a, b, one) is not None for one in larger) else None
    except (NotExact, NoPoint, NoForm):
        return None


def _outside(a: Image, b: Image, sizes: Environment) -> Separation | None:
    for target, form in b.forms.items():
        for seed in SEEDS:
            point = FieldPoint(sizes, seed).over(a)
            constant = Form.of(form.axes, [term for term in form.terms.values() if not term.trained], form.world)
            span = np.array(list(_spanning(b, form, point)), dtype=np.int64)
            wanted = (point.value(a.forms[target]) - point.value(constant)).ravel() % PRIME
            before = elimination.rank(span, PRIME) if len(span) else 0
            if before == len(wanted):
                break
            together = np.vstack([span.reshape(-1, len(wanted)), wanted.astype(np.int64)[None]])
            if elimination.rank(together, PRIME) > before:
                what = "what is added to the fixed part" if constant.terms else "every value"
                says = (f"in (other) {what} lies in a linear space of dimension {before} ({shown(sizes)}), and (one) "
                        "leaves it")  # fmt: skip
                return Separation(says, True, sizes)
    return None


def _spanning(image: Image, form: Form, point: FieldPoint) -> Iterator[Any]:
    """The coefficients of every monomial."""
    groups: dict[tuple[str, ...], list[Term]] = {}
    for term in form.terms.values():
        if term.trained:
            groups.setdefault(_read(term), []).append(term)
    if sum(_count(image, names, point) for names in groups) > MOST_MONOMIALS:
        raise NotExact("hull", "too many monomials")
    for names, terms in groups.items():
        yield from _coefficients(image, form, names, terms, point)


def _read(term: Term) -> tuple[str, ...]:
    """The factors of a term, each as often as it stands there."""
    names: list[str] = []
    for atom in term.atoms:
        if not atom.key.trained:
            continue
        if atom.key.kind != "trained" or atom.power.denominator != 1 or atom.power < 1:
            raise NotExact("hull", "no polynomial")
        names += [atom.key.name] * int(atom.power)
    if len(names) > MOST_COPIES:
        raise NotExact("hull", "too many factors in a term")
    return tuple(sorted(names))


def _count(image: Image, names: tuple[str, ...], point: FieldPoint) -> int:
    """How many monomials there are of so many entries of each factor."""
    total = 1
    for name in set(names):
        entries, copies = math.prod(point.shape(image.factors[name].axes)), names.count(name)
        total *= math.comb(entries + copies - 1, copies)
    return total


def _coefficients(
    image: Image, form: Form, names: tuple[str, ...], terms: list[Term], point: FieldPoint
) -> Iterator[Any]:
    keys = [Key("trained", f"\0{place}", image.factors[name].axes) for place, name in enumerate(names)]
    symmetric = Form.of(form.axes, [_copied(term, names, keys, order) for term in terms for order in _orders(names)],
                        form.world)  # fmt: skip
    shapes = [point.shape(image.factors[name].axes) for name in names]
    for places in itertools.product(*(np.ndindex(*shape) for shape in shapes)):
        if any(names[i] == names[i + 1] and places[i] > places[i + 1] for i in range(len(names) - 1)):
            continue
        for key, shape, place in zip(keys, shapes, places, strict=True):
            one = np.zeros(shape, dtype=object)
            one[place] = 1
            point.known[key.token] = one
        yield point.value(symmetric).ravel()


def _orders(names: tuple[str, ...]) -> Iterator[tuple[int, ...]]:
    """The ways to exchange copies of the same factor."""
    for order in itertools.permutations(range(len(names))):
        if all(names[place] == names[other] for place, other in enumerate(order)):
            yield order


def _copied(term: Term, names: tuple[str, ...], keys: list[Key], order: tuple[int, ...]) -> Term:
    """The term with every copy of a factor under a name of its own."""
    left: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        left.setdefault(name, []).append(order[place])
    atoms: list[Atom] = []
    for atom in term.atoms:
        if atom.key.kind != "trained":
            atoms.append(atom)
            continue
        atoms += [Atom(keys[left[atom.key.name].pop()], atom.slots) for _ in range(int(atom.power))]
    return Term(term.coefficient, tuple(atoms), term.out)
