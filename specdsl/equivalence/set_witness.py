"""A value that one spec reaches and the other cannot, in small whole numbers, with what tells it apart.

What is shown holds of every value of the other spec, whatever W is; that this value is different is checked over the
fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from specdsl.equivalence.bounds import Bounds
from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.points import Rename, sample, values
from specdsl.equivalence.exact.rational import Rationals
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.exact.shapes import all_sizes, read_sizes
from specdsl.equivalence.exact.witness import hyper_texts, is_full, side_texts, texts, weight
from specdsl.equivalence.forms.form import Form
from specdsl.equivalence.forms.index import NoForm
from specdsl.equivalence.forms.text import form_text
from specdsl.equivalence.reach import Reach
from specdsl.equivalence.sets.exact_point import ExactPoint, fixed, fractions, rank, spanned
from specdsl.equivalence.sets.image import Image, Step
from specdsl.equivalence.sets.invariants import common_atoms, flattenings, is_affine, is_linear_alone
from specdsl.equivalence.sets.rank import opened_reflections
from specdsl.equivalence.subject import Subject
from specdsl.equivalence.verdict import Witness
from specdsl.sizes import Environment

SEEDS = 40
LARGEST = 6
"""The largest n and m of matrices that are shown."""
KEPT = 3

Values = dict[str, Any]
Invariant = Callable[[Image, Image, Values, ExactPoint], str | None]


def set_witness(a: Subject, b: Subject, reach: Reach, *, is_swapped: bool = False) -> Witness | None:
    """A value of a that is none of b (`is_swapped`: of b that is none of a); None where none can be written down."""
    one, other = (b, a) if is_swapped else (a, b)
    images = (reach.b_reduced, reach.a_reduced) if is_swapped else (reach.a_reduced, reach.b_reduced)
    names = ("b", "a") if is_swapped else ("a", "b")
    is_small = max(reach.sizes["n"], reach.sizes["m"]) <= LARGEST
    if is_small and one.level == "weight" and images[0] is not None and images[1] is not None:
        found = sorted(
            _points(one, other, (images[0], images[1]), reach.sizes), key=lambda entry: weight(entry[0].point)
        )
        if found:
            point, says = found[0]
            return _witness(point, says.replace("(one)", names[0]).replace("(other)", names[1]), is_swapped)
    bounds = reach.dimensions[::-1] if is_swapped else reach.dimensions
    return _by_dimension(a, b, bounds, names, reach.sizes)


def _points(
    one: Subject, other: Subject, images: tuple[Image, Image], sizes: Environment
) -> Iterator[tuple[ExactPoint, str]]:
    shown = 0
    coupling = {name: Rename(name) for name, factor in other.ir.factors.items()
                if name in one.ir.factors and one.ir.factors[name].kind == factor.kind != "trained"}  # fmt: skip
    for seed in range(SEEDS):
        try:
            point = sample([one, other], dict(sizes), seed, arrays=ExactArrays(Rationals()), kind="small",
                           coupling=coupling, checked=[one])  # fmt: skip
            if not is_full(point.site["W"]):
                continue
            reached = {name: fractions(value) for name, value in values(one, point).items()}
        except (NotExact, NoPoint):
            continue
        exact = ExactPoint(point)
        says = _told_apart(images, reached, exact)
        if says is not None:
            yield exact, says
            shown += 1
            if shown == KEPT:
                return


def _told_apart(images: tuple[Image, Image], reached: Values, point: ExactPoint) -> str | None:
    for invariant in INVARIANTS:
        try:
            says = invariant(*images, reached, point)
        except (NotExact, NoPoint, NoForm, ZeroDivisionError):
            continue
        if says is not None:
            return says
    return None


def _outside_span(a: Image, b: Image, reached: Values, point: ExactPoint) -> str | None:
    if not is_affine(b):
        return None
    moved = np.concatenate([(reached[target] - point.value(fixed(form))).ravel() for target, form in b.forms.items()])
    rows = spanned(b, point)
    before = rank(rows) if len(rows) else 0
    if rank(np.vstack([rows, moved[None]]) if len(rows) else moved[None]) == before:
        return None
    return f"the values of (other) are an affine space of dimension {before} for this W, and (one) leaves it here"


def _moved_gram(a: Image, b: Image, reached: Values, point: ExactPoint) -> str | None:
    for target, form in b.forms.items():
        if len(form.axes) != 2:
            continue
        turned, value = form.transposed((1, 0)), reached[target]
        for text, own, product in (
            (f"{target}.T@{target}", turned @ form, value.T.dot(value)),
            (f"{target}@{target}.T", form @ turned, value.dot(value.T)),
        ):
            if not own.trained and (product != point.value(own)).any():
                return f"{text} is {form_text(own)} for every value of (other), and not for this one of (one)"
    return None


def _too_large_rank(a: Image, b: Image, reached: Values, point: ExactPoint) -> str | None:
    for target, written in b.forms.items():
        form = opened_reflections(written)
        constant = fixed(form)
        for quotient in (None, *common_atoms(form)):
            for flattening, bound, _ in flattenings(form, quotient, point.sizes):
                moved = reached[target] - point.value(constant)
                moved = moved if quotient is None else moved / point.of_key(quotient.key)
                cut_into, rows, columns = flattening
                split = moved.reshape([length for axis in cut_into for length in axis])
                count = int(np.prod([split.shape[place] for place in rows]))
                found = rank(np.transpose(split, (*rows, *columns)).reshape(count, -1))
                if found > bound:
                    what = _less(target, constant)
                    if quotient is not None:
                        what = f"({what}) ./ {quotient.key.name}" if " " in what else f"{what} ./ {quotient.key.name}"
                    if len(rows) + len(columns) > 2:
                        what = f"{what}, its blocks as rows of a matrix,"
                    return f"the rank of {what} is {found} here, and at most {bound} for every value of (other)"
    return None


def _less(target: str, constant: Form) -> str:
    if constant.is_zero:
        return target
    text = form_text(constant)
    return f"{target} - {text}" if len(constant.terms) == 1 else f"{target} - ({text})"


def _out_of_range(a: Image, b: Image, reached: Values, point: ExactPoint) -> str | None:
    """b is one to one in a factor of bounded entries, and the value asks for an entry out of bounds."""
    if len(b.factors) != 1:
        return None
    ((name, space),) = b.factors.items()
    if space.range not in _OUTSIDE or not is_linear_alone(b, name):
        return None
    rows = spanned(b, point)
    if rank(rows) < len(rows):
        return None
    for other, value in _reduced_factors(a.steps, a, point):
        own = {target: form.put({name: _named(a, other)}) for target, form in b.forms.items()}
        if own == dict(a.forms) and any(map(_OUTSIDE[space.range], value.ravel())):
            entry = next(one for one in value.ravel() if _OUTSIDE[space.range](one))
            return (
                f"both are one and the same linear map of a factor, one to one, which here has an entry {entry}; "
                f"in (other) its entries are {_SAID.get(space.range, space.range)}"
            )
    return None


_SAID = {
    "nonzero": "not zero", "nonnegative": "not negative", "unit": "between 0 and 1",
    "within one": "between -1 and 1", "at most one": "from -1 to 1",
}  # fmt: skip
_OUTSIDE: dict[str, Callable[[Any], bool]] = {
    "nonzero": lambda entry: entry == 0, "nonnegative": lambda entry: entry < 0, "positive": lambda entry: entry <= 0,
    "unit": lambda entry: not 0 < entry < 1, "within one": lambda entry: not -1 < entry < 1,
    "at most one": lambda entry: not -1 <= entry <= 1,
}  # fmt: skip


def _named(a: Image, name: str) -> Form:
    from specdsl.equivalence.sets import values as made

    return made.factor(name, a.factors[name], a.world)


def _reduced_factors(steps: tuple[Step, ...], a: Image, point: ExactPoint) -> Iterator[tuple[str, Any]]:
    """The values of the factors after the steps, at a point of those before."""
    for step in steps:
        for name, form in step.new.items():
            point.moved[name] = point.value(form)
    for name, space in a.factors.items():
        yield name, point.of_key(space.key(name))


INVARIANTS: tuple[Invariant, ...] = (_outside_span, _moved_gram, _too_large_rank, _out_of_range)


def _by_dimension(
    a: Subject, b: Subject, bounds: tuple[Bounds | None, Bounds | None], names: tuple[str, str], sizes: Environment
) -> Witness | None:
    one, other = bounds
    if one is None or other is None or other.high is None or not one.is_rigorous or one.low <= other.high:
        return None
    says = f"{names[0]} reaches a set of dimension {one.low} or more, {names[1]} one of {other.high} at most"
    hyper = [_hyper(subject, sizes) for subject in (a, b)]
    return Witness(_sizes((a, b), sizes), {}, {}, {}, {}, {}, says, *hyper)


def _hyper(subject: Subject, sizes: Environment) -> dict[str, str]:
    own = all_sizes(subject.ir, sizes)
    read = read_sizes(subject.ir)
    return {name: str(own[name]) for name in subject.ir.hyper if name in own and name in read}


def _sizes(subjects: tuple[Subject, ...], sizes: Environment) -> dict[str, str]:
    """The sizes that are read, without those that the specs set."""
    kept = {"n", "m", *(name for subject in subjects for name in read_sizes(subject.ir) - set(subject.hyper))}
    return {name: str(value) for name, value in sizes.items() if name in kept}


def _witness(exact: ExactPoint, says: str, is_swapped: bool) -> Witness:
    point = exact.point
    side = point.sides[0]
    assert side.values is not None
    site = {"W": texts(point.site["W"])}
    site |= {"b": texts(point.site["b"])} if "b'" in side.values else {}
    site |= {name: texts(value) for name, value in side.given.items()}
    reached = {name: texts(value) for name, value in side.values.items()}
    constants = {name: texts(value) for name, value in exact.constants.items()}
    factors, hyper = side_texts(side), [hyper_texts(one) for one in point.sides]
    sizes = _sizes(tuple(one.subject for one in point.sides), point.environment)
    if is_swapped:
        return Witness(sizes, site, constants, factors, {}, reached, says, hyper[1], hyper[0])
    return Witness(sizes, site, factors, constants, reached, {}, says, hyper[0], hyper[1])
