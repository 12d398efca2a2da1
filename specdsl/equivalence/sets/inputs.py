"""Specs as functions of the input: one that bends is none of those that are all affine in x."""

from __future__ import annotations

from dataclasses import replace

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.balls import Balls, certainly_different
from specdsl.equivalence.exact.conversion import converted
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.points import Point, evaluated, sample
from specdsl.equivalence.exact.rational import Rationals
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.invariants import Separation, shown
from specdsl.equivalence.subject import Subject
from specdsl.sizes import Environment

SEEDS = (0, 1, 2)


def is_affine_in_input(image: Image) -> bool:
    """Whether every term reads x once at most, and not inside an operator."""
    for _, term in image.terms():
        reading = [atom for atom in term.atoms if "x" in atom.key.reads]
        if len(reading) > 1 or any(atom.key.kind != "site" or atom.power != 1 for atom in reading):
            return False
    return True


def bent(subject: Subject, other: Image, sizes: Environment) -> Separation | None:
    """A value of a spec, as a function of x, that is not affine, where those of the other all are."""
    if not is_affine_in_input(other):
        return None
    for seed in SEEDS:
        try:
            point = sample([subject], sizes, seed, arrays=ExactArrays(Rationals()), kind="small", is_checked=False)
            if _is_bent(subject, converted(point, ExactArrays(Balls()))):
                says = (
                    "(other) is affine in x for every value of its factors and (one) is not: f(x) + f(x') differs "
                    f"from f(x + x') + f(0) ({shown(sizes)})"
                )
                return Separation(says, True, sizes)
        except (NotExact, NoPoint):
            return None
    return None


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
