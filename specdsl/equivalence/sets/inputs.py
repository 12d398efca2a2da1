"""Specs as functions of the input: what is affine, piecewise affine or analytic in x, and how many ways it moves y."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.balls import Balls, certainly_different
from specdsl.equivalence.exact.conversion import converted
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.points import Point, evaluated, sample
from specdsl.equivalence.exact.rational import Rationals
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.forms.form import Atom, Form, Term
from specdsl.equivalence.forms.opening import KEEPS_ZERO
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.invariants import Separation, shown
from specdsl.equivalence.sets.rank import cut
from specdsl.equivalence.subject import Subject
from specdsl.sizes import Environment, Size

SEEDS = (0, 1, 2)
PIECEWISE_AFFINE = frozenset({"relu", "abs"})
"""Operators that are continuous and affine between finitely many breaks."""
ANALYTIC = frozenset({"tanh", "sigmoid", "exp", "sin", "cos", "gelu", "silu", "softmax"})
"""Operators that are given by a power series around every point."""


def differently_bent(subject: Subject, one: Image, other: Image, sizes: Environment) -> Separation | None:
    """A value of a spec, as a function of x, that bends in a way in which none of the other does.

    A function that is analytic and piecewise affine is affine: it is so on an open set, and then everywhere.
    """
    kind = _kind(other)
    if kind == "" or (kind != "affine" and {kind, _kind(one)} != {"piecewise affine", "analytic"}):
        return None
    for seed in SEEDS:
        try:
            point = converted(_small_point(subject, sizes, seed), ExactArrays(Balls()))
            if _is_bent(subject, point):
                own = "" if kind == "affine" else f"; (one) is {_kind(one)}, and what is both is affine"
                says = (
                    f"(other) is {kind} in x for every value of its factors, and (one) is not affine: f(x) + f(x') "
                    f"differs from f(x + x') + f(0) ({shown(sizes)}){own}"
                )
                return Separation(says, kind == "affine", sizes)
        except (NotExact, NoPoint):
            return None
    return None


def _kind(image: Image) -> str:
    """What holds of all values as functions of x, if anything."""
    forms = list(image.forms.values())
    if all(_is_piecewise(form, frozenset()) for form in forms):
        return "affine"
    if all(_is_piecewise(form, PIECEWISE_AFFINE) for form in forms):
        return "piecewise affine"
    return "analytic" if all(map(_is_analytic, forms)) else ""


def _is_piecewise(form: Form, operators: frozenset[str]) -> bool:
    """Whether every term reads x once at most, as it is or through such operators."""
    for term in form.terms.values():
        reading = [atom for atom in term.atoms if "x" in atom.key.reads]
        if len(reading) > 1 or any(atom.power != 1 for atom in reading):
            return False
        for atom in reading:
            is_open = atom.key.kind == "operator" and atom.key.name in operators
            if atom.key.kind != "site" and not (
                is_open and all(_is_piecewise(argument, operators) for argument in atom.key.arguments)
            ):
                return False
    return True


def _is_analytic(form: Form) -> bool:
    for term in form.terms.values():
        for atom in term.atoms:
            if "x" not in atom.key.reads:
                continue
            if atom.power.denominator != 1 or atom.power < 1:
                return False
            is_open = atom.key.kind == "operator" and atom.key.name in ANALYTIC
            if atom.key.kind != "site" and not (is_open and all(map(_is_analytic, atom.key.arguments))):
                return False
    return True


def _small_point(subject: Subject, sizes: Environment, seed: int) -> Point:
    return sample([subject], sizes, seed, arrays=ExactArrays(Rationals()), kind="small", checked=())


def _is_bent(subject: Subject, point: Point) -> bool:
    """Whether `f(x) + f(2x)` is certainly not `f(3x) + f(0)`, or the like of `-x`."""
    x = point.site["x"]
    with point.arrays.ring.working():
        for left, right in ((x, x + x), (x, -x)):
            together = _at(subject, point, left) + _at(subject, point, right)
            if certainly_different(together, _at(subject, point, left + right) + _at(subject, point, left - left)):
                return True
    return False


def _at(subject: Subject, point: Point, x: ExactArray) -> ExactArray:
    """The output at another input, with the same factors."""
    site = {**point.site, "x": x, "y": x @ point.site["W"] + point.site["b"]}
    moved = replace(point, site=site)
    (value,) = evaluated(subject, moved, moved.side(subject).trained, point.arrays).values()
    return value


# ------------------------------------------------------------------------------------------------- the origin


def moved_origin(subject: Subject, other: Image, output: Form, sizes: Environment) -> Separation | None:
    """A value of a spec that is not `b` at `x = 0`, where those of the other all are.

    Args:
        output: y as a form.
    """
    (form,) = other.forms.values()
    at_zero, bias = _at_zero(form), _at_zero(output)
    if at_zero is None or at_zero != bias:
        return None
    for seed in SEEDS:
        try:
            point = converted(_small_point(subject, sizes, seed), ExactArrays(Balls()))
            with point.arrays.ring.working():
                x = point.site["x"]
                found = _at(subject, point, x - x)
                if certainly_different(found, (x - x) @ point.site["W"] + point.site["b"]):
                    says = f"every value of (other) is b at x = 0, and not every one of (one) ({shown(sizes)})"
                    return Separation(says, True, sizes)
        except (NotExact, NoPoint):
            continue
    return None


def _at_zero(form: Form) -> Form | None:
    """The form at x = 0; None where that cannot be told."""
    kept = []
    for term in form.terms.values():
        if any(atom.power < 0 and "x" in atom.key.reads for atom in term.atoms):
            return None
        if not any(_vanishes(atom) for atom in term.atoms):
            if any("x" in atom.key.reads for atom in term.atoms):
                return None
            kept.append(term)
    return Form.of(form.axes, kept, form.world)


def _vanishes(atom: Atom) -> bool:
    """Whether an atom is zero at x = 0."""
    if atom.power < 1 or "x" not in atom.key.reads:
        return False
    if atom.key.kind == "site":
        return atom.key.name == "x"
    if atom.key.name not in KEEPS_ZERO or len(atom.key.arguments) != 1:
        return False
    inside = _at_zero(atom.key.arguments[0])
    return inside is not None and inside.is_zero


# ------------------------------------------------------------------------------------------------------ ranks


def too_many_ways(
    subject: Subject, other: Image, output: Form, sizes: Environment, larger: Sequence[Environment] = ()
) -> Separation | None:
    """What is added to y, a row for each token, has a rank above that of any value of the other spec.

    Args:
        output: y as a form.
        larger: sizes at which this has to be seen too.
    """
    found = _too_many_ways(subject, other, output, sizes)
    seen = found is not None and all(_too_many_ways(subject, other, output, one) is not None for one in larger)
    return found if seen else None


def _too_many_ways(subject: Subject, other: Image, output: Form, sizes: Environment) -> Separation | None:
    (form,) = other.forms.values()
    added = form - output
    if len(form.axes) != 2 or any(not term.trained for term in added.terms.values()):
        return None
    bound = sum(bounds) if (bounds := list(_bounds(added, sizes))) and len(bounds) == len(added.terms) else None
    if bound is None or bound >= min(size.integer(sizes) for size in form.axes):
        return None
    for seed in SEEDS:
        try:
            point = converted(_small_point(subject, sizes, seed), ExactArrays(Balls()))
            with point.arrays.ring.working():
                moved = _at(subject, point, point.site["x"]) - point.site["y"]
                found = _certain_rank(moved)
        except (NotExact, NoPoint):
            continue
        if found > bound:
            says = (f"what is added to y, a row for each token, has rank at most {bound} for every value of (other), "
                    f"and {found} for one of (one) ({shown(sizes)})")  # fmt: skip
            return Separation(says, True, sizes)
    return None


def _bounds(form: Form, sizes: Environment) -> Iterator[int]:
    for term in form.terms.values():
        found = _cut(term, form)
        if found is not None:
            yield found.integer(sizes)


def _cut(term: Term, form: Form) -> Size | None:
    rows, columns = ({place.var for place in slot} for slot in term.out)
    return cut(term, rows, columns, form)


def _certain_rank(matrix: ExactArray) -> int:
    """How many pivots are certainly not zero: the rank is at least that."""
    rows = [list(row) for row in matrix.value]
    found = 0
    for column in range(matrix.shape[1]):
        place = next((k for k in range(found, len(rows)) if rows[k][column] > 0 or rows[k][column] < 0), None)
        if place is None:
            continue
        rows[found], rows[place] = rows[place], rows[found]
        pivot = rows[found]
        for k in range(found + 1, len(rows)):
            number = rows[k][column] / pivot[column]
            rows[k] = [entry - number * above for entry, above in zip(rows[k], pivot, strict=True)]
        found += 1
    return found
