"""The starts: whether both begin at the base, and how they move from there.

In its first step gradient descent moves the value by `J D J.T` times the gradient, with J the Jacobian at the start
(through `stop` nothing flows) and D the factors' learning rates. Random starts of equal law and shape are taken as
equal draws, in the pairing that brings the two closest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from specdsl.equivalence.bounds import LARGEST
from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.field import PRIMES
from specdsl.equivalence.exact.jacobian import jacobian
from specdsl.equivalence.exact.points import Coupling, Point, Rename, evaluated, sample
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.exact.shapes import has_open_rank, reads_rank
from specdsl.equivalence.pointwise import fan_of
from specdsl.equivalence.reach import Reach
from specdsl.equivalence.subject import Subject
from specdsl.equivalence.verdict import StartResult, Status
from specdsl.ir import Apply, topological
from specdsl.sizes import Size

PRIME = PRIMES[0]
RANKING = ("same", "proportional", "contained", "different")
MOST_PAIRINGS = 24


def start(a: Subject, b: Subject, reaches: Sequence[Reach], assumptions: tuple[str, ...]) -> StartResult:
    """The verdict over all cells."""
    found = _start(a, b, reaches, assumptions)
    return replace(found, same_value=_has_same_value(a, b, reaches))


def _has_same_value(a: Subject, b: Subject, reaches: Sequence[Reach]) -> bool | None:
    """Whether both start at the same value, with the random starts paired in some way."""
    at_base = [subject.spec.facts.starts_at_base for subject in (a, b)]
    if any(at_base):
        return all(at_base)
    try:
        return all(
            any(_values_agree(a, b, one, coupling) for coupling in itertools.islice(pairings(a, b, one), MOST_PAIRINGS))
            for one in reaches
        )
    except (NotExact, NoPoint):
        return None


def _values_agree(a: Subject, b: Subject, reach: Reach, coupling: Coupling) -> bool:
    point = sample([a, b], reach.sizes, 0, kind="start", coupling=coupling)
    one, other = (evaluated(side.subject, replace(point, sides=(side,)), side.trained, point.arrays)
                  for side in point.sides)  # fmt: skip
    return not any((one[name].value != other[name].value).any() for name in one)


def _start(a: Subject, b: Subject, reaches: Sequence[Reach], assumptions: tuple[str, ...]) -> StartResult:
    identity_a, identity_b = (subject.spec.facts.starts_at_base for subject in (a, b))
    found: list[tuple[str, str | None, str | None]] = []
    reason = ""
    for one in reaches:
        is_small = a.is_small(one.sizes) and b.is_small(one.sizes)
        if max(one.sizes["n"], one.sizes["m"]) > LARGEST or not is_small:
            reason = "the specs' sizes are too large for an exact evaluation"
            continue
        try:
            found.append(_best(a, b, one))
        except (NotExact, NoPoint) as problem:
            reason = f"the Jacobian at the start is not exact: {problem}"
    kinds = {kind for kind, _, _ in found}
    if len(found) < len(reaches) or len(kinds) != 1 or not found:
        if len(kinds) > 1:
            reason = "it differs between shapes: " + ", ".join(
                f"{kind} for {one.cell.name}" for (kind, _, _), one in zip(found, reaches, strict=False)
            )
        return StartResult("?", "unknown", assumptions=assumptions, reason=reason, identity_a=identity_a,
                           identity_b=identity_b)  # fmt: skip
    kind, ratio, direction = found[0]
    other = _at_other_sizes(a, b, reaches[0]) if kind in ("contained", "proportional") else None
    if other is not None and (other[0] != kind or other[2] != direction):
        reason = f"it changes with the sizes: {kind} at small ones, {other[0]} at larger ones"
        return StartResult("?", "unknown", assumptions=assumptions, reason=reason, identity_a=identity_a,
                           identity_b=identity_b)  # fmt: skip
    moving = ""
    if other is not None and other[1] != ratio:
        moving = (
            f"; the ratio depends on the sizes, {ratio} at n = {reaches[0].sizes['n']}, r = {reaches[0].sizes['r']}"
        )
        ratio = None
    if ratio is not None and kind == "proportional" and _ratio_elsewhere(a, b, reaches[0]) != ratio:
        moving, ratio = "; the ratio depends on the values of W and of the starts", None
    if kind == "different" and any(_laws_differ(a, b, one) for one in reaches):
        reason = "random starts of one shape have different laws, which can be paired in many ways"
        return StartResult("?", "unknown", assumptions=assumptions, reason=reason, identity_a=identity_a,
                           identity_b=identity_b)  # fmt: skip
    if kind == "different" and sorted(map(_rank, (a, b))) == ["open", "set"]:
        reason = "one spec sets r and the other leaves it open; where they agree the kernels may be equal"
        return StartResult("?", "unknown", assumptions=assumptions, reason=reason, identity_a=identity_a,
                           identity_b=identity_b)  # fmt: skip
    if kind == "different" and any(map(_takes_magnitudes, (a, b))):
        reason = "a spec reads magnitudes of random numbers, which a finite field has no order for"
        return StartResult("?", "unknown", assumptions=assumptions, reason=reason, identity_a=identity_a,
                           identity_b=identity_b)  # fmt: skip
    status: Status = "refuted" if kind == "different" else "supported"
    return StartResult(
        {"same": "=", "proportional": "~", "contained": "<" if direction == "a in b" else ">"}.get(kind, "x"),
        status, assumptions=assumptions, reason=_REASONS[kind] + moving + (_CHANCE if status == "supported" else ""),
        identity_a=identity_a, identity_b=identity_b,
        kernel=kind, ratio=ratio, direction=direction,
    )  # fmt: skip


def _rank(subject: Subject) -> str:
    """Whether a spec reads a rank, and leaves it open or sets it."""
    if not reads_rank(subject.ir):
        return "none"
    return "open" if has_open_rank(subject.ir) else "set"


def _takes_magnitudes(subject: Subject) -> bool:
    return any(isinstance(node, Apply) and node.operator == "abs" for node in topological(subject.ir.roots()))


_CHANCE = "; for entries of degree d the answer is wrong with probability at most d / 2^31 at each shape"
_REASONS = {
    "same": "J D J.T is the same matrix at random starts over a finite field",
    "proportional": "J D J.T of a is that of b times the ratio, at random starts over a finite field",
    "contained": "one tangent space contains the other at random starts over a finite field",
    "different": "the tangent kernels differ at an exact random start",
}


def _at_other_sizes(a: Subject, b: Subject, reach: Reach) -> tuple[str, str | None, str | None] | None:
    """The comparison at larger sizes, and with another rank where it is open; None where it cannot be computed."""
    larger = [sizes for sizes in (*reach.cell.samples[1:], reach.cell.wide) if sizes is not None]
    fitting = [sizes for sizes in larger if max(sizes["n"], sizes["m"]) <= LARGEST
               and a.is_small(sizes) and b.is_small(sizes)]  # fmt: skip
    others = [sizes for sizes in fitting if sizes.get("r") != reach.sizes.get("r")] or fitting
    if not others:
        return None
    try:
        return _best(a, b, replace(reach, sizes=max(others, key=lambda sizes: sizes["n"] * sizes["m"])))
    except (NotExact, NoPoint):
        return None


def _ratio_elsewhere(a: Subject, b: Subject, reach: Reach) -> str | None:
    """The ratio at another point of the same sizes; None where the kernels are not proportional there."""
    try:
        return _best(a, b, reach, seed=1)[1]
    except (NotExact, NoPoint):
        return None


def _best(a: Subject, b: Subject, reach: Reach, seed: int = 0) -> tuple[str, str | None, str | None]:
    best: tuple[str, str | None, str | None] | None = None
    for coupling in itertools.islice(pairings(a, b, reach), MOST_PAIRINGS):
        found = _compared(a, b, reach, coupling, seed)
        if best is None or RANKING.index(found[0]) < RANKING.index(best[0]):
            best = found
        if best[0] == "same":
            break
    assert best is not None
    return best


def pairings(a: Subject, b: Subject, reach: Reach) -> Iterator[Coupling]:
    """Ways to take random starts of b as draws of a: of equal law and shape, as many as can be.

    The first is the one under which the specs are the same function, where they are.
    """
    known = {} if reach.pointwise is None else dict(reach.pointwise.names)
    known |= {} if reach.b is None else {name: (owner, flipped) for name, owner, flipped in reach.b.paired}
    ours, theirs = _draws(a, reach), _draws(b, reach)
    options: list[list[Rename | None]] = []
    names = sorted(theirs)
    for name in names:
        law, axes = theirs[name]
        fits: list[Rename | None] = []
        first, is_flipped = known.get(name, (name, False))
        for owner in sorted(ours, key=first.__ne__):
            their_law, their_axes = ours[owner]
            if law == their_law and axes == their_axes:
                fits.append(Rename(owner, False))
            if law == their_law and len(axes) == 2 and axes[::-1] == their_axes:
                fits.append(Rename(owner, True))
        fits.sort(key=Rename(first, is_flipped).__ne__)
        options.append([*fits, None])
    seen = 0
    for chosen in itertools.product(*options):
        owners = [one.name for one in chosen if one is not None]
        if len(owners) != len(set(owners)):
            continue
        seen += 1
        yield {
            name: one if one is not None else Rename(f"{name} of b", False)
            for name, one in zip(names, chosen, strict=True)
        }
    if not seen:
        yield {}


Law = tuple[str, tuple[tuple[str, str], ...]]


def _draws(subject: Subject, reach: Reach) -> dict[str, tuple[Law, tuple[Size, ...]]]:
    """The factors with a random start, with its law and its axes (those of size 1 left out)."""
    found = {}
    for name, factor in subject.ir.factors.items():
        node = factor.start
        if isinstance(node, Apply) and node.definition.draw is not None and node.option("seed") is None:
            options = tuple((key, str(value)) for key, value in node.options if key not in ("label", "shape", "fan"))
            if node.operator == "kaiming":
                options += (("fan", str(reach.cell.resolved(subject.size(fan_of(node))))),)
            axes = tuple(reach.cell.resolved(subject.size(size)) for size in factor.shape)
            found[name] = ((node.operator, options), tuple(size for size in axes if size != Size.of(1)))
    return found


def _laws_differ(a: Subject, b: Subject, reach: Reach) -> bool:
    """Whether both specs have a random start of one shape that no law is left for in the other."""
    ours, theirs = list(_draws(a, reach).values()), list(_draws(b, reach).values())
    for draw in list(ours):
        if draw in theirs:
            ours.remove(draw)
            theirs.remove(draw)
    return any(sorted(map(str, one[1])) == sorted(map(str, other[1])) for one in ours for other in theirs)


def _compared(
    a: Subject, b: Subject, reach: Reach, coupling: Coupling, seed: int
) -> tuple[str, str | None, str | None]:
    point = sample([a, b], reach.sizes, seed, kind="start", coupling=coupling)
    one, other = _scaled(a, point, 0), _scaled(b, point, 1)
    kernel_a, kernel_b = _kernel(*one), _kernel(*other)
    if np.array_equal(kernel_a, kernel_b):
        return "same", "1", None
    ratio = _ratio(kernel_a, kernel_b)
    if ratio is not None:
        return "proportional", _small_fraction(ratio), None
    space_a, space_b = (matrix[:, [bool(rate) for rate in rates]] for matrix, rates in (one, other))
    rank_a, rank_b = (elimination.rank(space, PRIME) for space in (space_a, space_b))
    both = elimination.rank(np.hstack([space_a, space_b]), PRIME)
    if both == rank_b and rank_a < rank_b:
        return "contained", None, "a in b"
    if both == rank_a and rank_b < rank_a:
        return "contained", None, "b in a"
    return "different", None, None


def _scaled(subject: Subject, point: Point, place: int) -> tuple[np.ndarray, list[int]]:
    """The Jacobian at the start and the rate of each of its columns."""
    side = point.sides[place]
    one = Point(point.arrays, point.environment, point.site, (side,), point.known)
    found = jacobian(subject, one, stops=True)
    rates = {name: factor.lr for name, factor in subject.ir.factors.items()}
    numbers = []
    for name, _ in found.columns:
        rate = _exact_rate(rates[name])
        numbers.append(rate.numerator * pow(rate.denominator, -1, PRIME) % PRIME)
    return found.matrix % PRIME, numbers


def _exact_rate(rate: float | None) -> Fraction:
    """The number that a learning rate was written as: 1/9 for 0.111..."""
    if rate is None:
        return Fraction(1)
    simple = Fraction(rate).limit_denominator(10_000)
    return simple if float(simple) == rate else Fraction(str(rate))


def _kernel(matrix: np.ndarray, rates: Sequence[int]) -> np.ndarray:
    weighted = (matrix.astype(object) * np.array(list(rates), dtype=object)) % PRIME
    kernel: np.ndarray = weighted.dot(matrix.T.astype(object)) % PRIME
    return kernel


def _ratio(a: np.ndarray, b: np.ndarray) -> int | None:
    """The number c with `a = c * b`, modulo the prime."""
    places = np.argwhere(b != 0)
    if not len(places) or not a.any():
        return None
    place = tuple(places[0])
    ratio = int(a[place]) * pow(int(b[place]), -1, PRIME) % PRIME
    if not np.array_equal((b * ratio) % PRIME, a):
        return None
    return ratio


def _small_fraction(value: int) -> str | None:
    """The fraction with the smallest numerator and denominator that is this modulo the prime."""
    for bottom in range(1, 2000):
        top = value * bottom % PRIME
        top = top - PRIME if top > PRIME // 2 else top
        if abs(top) < 200_000:
            return str(Fraction(top, bottom))
    return None
