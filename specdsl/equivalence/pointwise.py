"""The same function of the same factors: proved by the forms, refuted by a point, supported by chance."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.points import Coupling, Point, Rename, evaluated, sample, values
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.exact.witness import smallest_difference
from specdsl.equivalence.forms.form import World
from specdsl.equivalence.reach import Reach
from specdsl.equivalence.sets.image import Space
from specdsl.equivalence.sets.matching import renamings
from specdsl.equivalence.subject import Subject
from specdsl.equivalence.verdict import Result
from specdsl.ir import Apply, Initial, reads, topological
from specdsl.sizes import Environment, Size

SMALLEST = {"n": 4, "m": 4, "r": 2, "tokens": 2, "c": 1, "kh": 2, "kw": 2}
"""The sizes at which a witness is worth a search."""
POINTS = 2
SEEDS = 8
MOST_COUPLINGS = 24


def spaces(subject: Subject, at: Callable[[Size], Size], world: World) -> dict[str, Space]:
    """What the trained factors of a spec run over, axes of size 1 left out."""
    found = {}
    for name in subject.trained:
        factor = subject.ir.factors[name]
        axes = tuple(subject.size(size) for size in factor.shape)
        kept = tuple(size for size in axes if at(size) != Size.of(1))
        found[name] = Space(kept, orthonormal=_marks(kept, world) if factor.orthonormal else frozenset())
    return found


def _marks(axes: tuple[Size, ...], world: World) -> frozenset[int]:
    """The axes over which an orthonormal matrix contracts: that of its columns if it is tall, of its rows if wide."""
    if len(axes) != 2:
        return frozenset({0})
    tall, wide = world.at_most(axes[1], axes[0]), world.at_most(axes[0], axes[1])
    return frozenset(([0] if tall or not wide else []) + ([1] if wide else []))


def couplings(a: Subject, b: Subject, reaches: Sequence[Reach]) -> list[Coupling]:
    """Every way in which the factors of b can be those of a."""
    cell = reaches[0].cell
    resolve, world = cell.resolved, cell.world()
    one = {name: Space(tuple(resolve(size) for size in space.axes), orthonormal=space.orthonormal)
           for name, space in spaces(a, resolve, world).items()}  # fmt: skip
    other = {name: Space(tuple(resolve(size) for size in space.axes), orthonormal=space.orthonormal)
             for name, space in spaces(b, resolve, world).items()}  # fmt: skip
    found: list[Coupling] = []
    constants = list(itertools.islice(constant_couplings(a, b, resolve), MOST_COUPLINGS))
    for renaming in renamings(one, other):
        trained = {name: Rename(owner, flipped) for name, (owner, flipped) in renaming.names.items()}
        found += [{**trained, **constant} for constant in constants]
        if len(found) > MOST_COUPLINGS:
            break
    return found


def constant_couplings(a: Subject, b: Subject, resolve: Callable[[Size], Size]) -> Iterator[Coupling]:
    """Every way in which what b draws once and keeps can be what a draws: of one shape and law, as many as can be."""
    ours, theirs = _constants(a, resolve), _constants(b, resolve)
    names = sorted(theirs)
    fits = [
        [Rename(owner, flipped) for owner in sorted(ours) for flipped in (False, True)
         if ours[owner] == (theirs[name][0], theirs[name][1][:: -1 if flipped else 1])
         and not (flipped and len(theirs[name][1]) != 2)]
        for name in names
    ]  # fmt: skip
    found = []
    for chosen in itertools.islice(itertools.product(*([*one, None] for one in fits)), 1000):
        owners = [one.name for one in chosen if one is not None]
        if len(owners) == len(set(owners)):
            found.append({name: one for name, one in zip(names, chosen, strict=True) if one is not None})
    most = max(map(len, found), default=0)
    yield from (one for one in found if len(one) == most)


def _constants(subject: Subject, resolve: Callable[[Size], Size]) -> dict[str, tuple[str, tuple[Size, ...]]]:
    """The law and the axes of every factor that is drawn once and kept."""
    found = {}
    for name, factor in subject.ir.factors.items():
        if factor.kind == "trained":
            continue
        draws = [] if factor.start is None else [
            node for node in topological([factor.start])
            if isinstance(node, Apply) and node.definition.draw is not None and node.option("seed") is None
        ]  # fmt: skip
        if draws or factor.start is None:
            axes = tuple(resolve(subject.size(size)) for size in factor.shape)
            law = "given" if factor.start is None else "; ".join(_law(subject, node) for node in draws)
            found[name] = (law, tuple(size for size in axes if size != Size.of(1)))
    return found


def _law(subject: Subject, draw: Apply) -> str:
    options = [
        f"{key}={subject.size(value) if isinstance(value, Size) else value}"
        for key, value in draw.options if key not in ("label", "shape", "fan")
    ]  # fmt: skip
    if draw.operator == "kaiming":
        options.append(f"fan={subject.size(fan_of(draw))}")
    return " ".join((draw.operator, *options))


def fan_of(draw: Apply) -> Size:
    """What the scale of a draw by `kaiming` is made of: its fan, by default the number of rows."""
    fan, shape = draw.option("fan"), draw.shape
    if fan is not None:
        return fan if isinstance(fan, Size) else Size.of(fan)
    return shape[-2] if len(shape) > 1 else shape[0] if shape else Size.of(1)


def _by_name(a: Subject, b: Subject) -> Coupling:
    """Factors of equal names as equal, so that a witness of specs with other factors differs in these alone."""
    return {
        name: Rename(name)
        for name in b.trained
        if name in a.trained and len(a.ir.factors[name].shape) == len(b.ir.factors[name].shape)
        and all(map(_same_size(a, b), a.ir.factors[name].shape, b.ir.factors[name].shape))
    }  # fmt: skip


def _same_size(a: Subject, b: Subject) -> Callable[[Size, Size], bool]:
    return lambda left, right: a.size(left) == b.size(right)


def read_starts(subject: Subject) -> dict[str, str]:
    """The laws of the random starts that the values themselves read, as `init(A)` does."""
    found = {}
    for node in topological(subject.values.values()):
        if isinstance(node, Initial):
            for name in sorted(reads(node.of)):
                start = subject.ir.factors[name].start if name in subject.ir.factors else None
                if isinstance(start, Apply) and start.definition.draw is not None:
                    found[name] = _law(subject, start)
    return found


def pointwise(
    a: Subject, b: Subject, reaches: Sequence[Reach], holds: Callable[[Environment], bool], assumptions: tuple[str, ...]
) -> Result:
    """The verdict over all cells."""
    if reaches and all(one.pointwise is not None for one in reaches):
        renaming = reaches[0].pointwise
        assert renaming is not None
        return Result(
            "=", "proved", (renaming.text(), "both are the same sum of tensor networks, for all sizes"),
            assumptions=tuple(dict.fromkeys([*assumptions, *(text for one in reaches for text in one.draws)])),
            reason="the index normal forms are equal",
        )  # fmt: skip
    ways = couplings(a, b, reaches) if reaches else []
    witness = None
    is_small = all(subject.is_small(SMALLEST) for subject in (a, b))
    try:
        witness = smallest_difference((a, b), ways or [_by_name(a, b)], holds, seeds=SEEDS) if is_small else None
    except (NotExact, NoPoint):
        witness = None
    if not ways:
        return Result(
            "!=", "refuted", (), witness, assumptions,
            "no renaming or transposition pairs the trained factors: they differ in number or shape",
        )  # fmt: skip
    if witness is not None and len(ways) <= MOST_COUPLINGS:
        return Result("!=", "refuted", (), witness, assumptions, witness.says)
    equal = _equal_by_chance(a, b, ways, reaches)
    if equal is not None:
        return Result("=", "supported", (equal,), assumptions=assumptions,
                      reason="equal at random points of a finite field in every cell")  # fmt: skip
    why = next((one.problem for one in reaches if one.problem), "the forms differ and no point shows it")
    return Result("?", "unknown", assumptions=assumptions, reason=why)


def _equal_by_chance(a: Subject, b: Subject, ways: Sequence[Coupling], reaches: Sequence[Reach]) -> str | None:
    ours, theirs = read_starts(a), read_starts(b)
    for coupling in ways:
        if any(ours.get(rename.name) != theirs.get(name) for name, rename in coupling.items() if name in b.trained):
            continue  # draws of different laws are no equal draws
        try:
            if all(_agree(a, b, coupling, reach) for reach in reaches):
                shapes = ", ".join(f"{one.sizes['n']} x {one.sizes['m']}" for one in reaches)
                return (
                    f"{POINTS} random points each at {shapes}; for polynomials of degree d a wrong answer has "
                    f"probability at most (d / 2^31)^{POINTS}"
                )
        except (NotExact, NoPoint):
            return None
    return None


def _agree(a: Subject, b: Subject, coupling: Coupling, reach: Reach) -> bool:
    for seed in range(POINTS):
        point = sample([a, b], reach.sizes, seed, coupling=coupling)
        one = values(a, point)
        other = evaluated_second(b, point)
        if any((one[name].value != other[name].value).any() for name in one):
            return False
    return True


def evaluated_second(b: Subject, point: Point) -> dict[str, ExactArray]:
    """The values of the second spec, also where both are the same object."""
    side = point.sides[1]
    if side.subject is not point.sides[0].subject:
        return dict(values(b, point))
    with point.arrays.ring.working():
        return dict(evaluated(b, point, side.trained, point.arrays))
