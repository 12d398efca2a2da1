"""Values that lie on one side: added entries that are never negative, added matrices that never are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.balls import Balls
from specdsl.equivalence.exact.conversion import converted
from specdsl.equivalence.exact.points import sample, values
from specdsl.equivalence.exact.rational import Rationals
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.forms.canonical import canonical
from specdsl.equivalence.forms.form import Atom, Form, Term
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm
from specdsl.equivalence.sets.absorbing import is_positive
from specdsl.equivalence.sets.image import RANGES, Image
from specdsl.equivalence.sets.invariants import Separation, shown
from specdsl.equivalence.subject import Subject
from specdsl.operators import find_operator
from specdsl.sizes import Environment

SEEDS = range(6)
MOST_ATOMS = 4


def below(subject: Subject, other: Image, base: Form, sizes: Environment) -> Separation | None:
    """A value of a spec with something negative, where what the other adds to W never is.

    Args:
        base: W as a form.
    """
    if set(other.forms) != {"W'"}:
        return None
    try:
        added = other.forms["W'"] - base
    except NoForm:
        return None
    if not added.terms or any(not term.trained for term in added.terms.values()):
        return None
    if all(_is_nonnegative(term, added) for term in added.terms.values()):
        says = "no entry of what (other) adds to W is negative"
        return _shown_negative(subject, sizes, says, lambda moved: moved.ravel())
    if len(added.axes) == 2 and added.axes[0] == added.axes[1] and all(map(_is_gram, added.terms.values())):
        says = "what (other) adds to W is symmetric and has no negative eigenvalue"
        return _shown_negative(subject, sizes, says, lambda moved: moved.diagonal())
    return None


def _shown_negative(
    subject: Subject, sizes: Environment, says: str, entries: Callable[[Any], Any]
) -> Separation | None:
    for seed in SEEDS:
        try:
            point = sample([subject], sizes, seed, arrays=ExactArrays(Rationals()), kind="small", checked=())
            point = converted(point, ExactArrays(Balls()))
            with point.arrays.ring.working():
                moved = (values(subject, point)["W'"] - point.site["W"]).value
                if any(entry < 0 for entry in entries(moved)):
                    where = "an entry" if "entry" in says else "an entry on the diagonal"
                    return Separation(f"{says}; {where} of what (one) adds can be ({shown(sizes)})", False, sizes)
        except (NotExact, NoPoint):
            continue
    return None


def _is_nonnegative(term: Term, form: Form) -> bool:
    return form.world.at_most(ZERO, term.coefficient) and all(map(_is_nonnegative_atom, term.atoms))


def _is_nonnegative_atom(atom: Atom) -> bool:
    if atom.power.denominator == 1 and atom.power % 2 == 0:
        return True
    key = atom.key
    if key.kind == "trained":
        return "nonnegative" in RANGES.get(key.range, frozenset())
    if key.kind == "operator":
        operator = find_operator(key.name)
        if key.name == "entries":
            return atom.power.denominator == 2  # a root
        return operator is not None and "nonnegative" in operator.facts
    return key.kind in ("mask", "select", "wrap") or is_positive(key, atom.power)


def _is_gram(term: Term) -> bool:
    """Whether a term is `sum over k of N[k] * G[i, k] * G[j, k]` with N not negative."""
    constant = term.coefficient.constant
    if constant is None or constant < 0 or len(term.atoms) > MOST_ATOMS:
        return False
    for sides in itertools.product((0, 1, 2), repeat=len(term.atoms)):
        parts = [[atom for atom, side in zip(term.atoms, sides, strict=True) if side == wanted] for wanted in range(3)]
        if parts[0] and parts[1] and _are_mirrored(term, *parts):
            return True
    return False


def _are_mirrored(term: Term, left: list[Atom], right: list[Atom], between: list[Atom]) -> bool:
    ours = {var for atom in left for var in atom.vars}
    theirs = {var for atom in right for var in atom.vars}
    shared = sorted(ours & theirs, key=id)
    inner = {var for atom in between for var in atom.vars}
    if inner - set(shared) or not all(map(_is_nonnegative_atom, between)) or term.open_vars & set(shared):
        return False
    slots = [slot for atom in (*left, *right) for slot in atom.slots if any(place.var in shared for place in slot)]
    if any(len(slot) != 1 or slot[0].offset != ZERO for slot in slots):
        return False
    whole = [next(slot for slot in slots if slot[0].var is var) for var in shared]
    one = canonical(Term(ONE, tuple(left), (term.out[0], *whole)))[0]
    return canonical(Term(ONE, tuple(right), (term.out[1], *whole)))[0] == one
