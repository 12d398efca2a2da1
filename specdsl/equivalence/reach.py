"""The reachable sets in one cell: equal by a common parametrisation, contained by certificate, apart by invariants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from specdsl.affine import B, W, X
from specdsl.equivalence.bounds import LARGEST, Bounds, bounds_of, can_derive, order_of
from specdsl.equivalence.cells import Cell
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.forms.build import Builder
from specdsl.equivalence.forms.form import Form, World
from specdsl.equivalence.forms.index import NoForm
from specdsl.equivalence.sets.containment import Certificate, KnownRank, contained
from specdsl.equivalence.sets.hull import not_symmetric, outside_hull
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.inputs import differently_bent, moved_origin, too_many_ways
from specdsl.equivalence.sets.invariants import REASONS, Separation, shown
from specdsl.equivalence.sets.matching import Renaming, equal_up_to_names, frozen_renamings
from specdsl.equivalence.sets.modulo import outside_modulo
from specdsl.equivalence.sets.orders import below
from specdsl.equivalence.sets.reductions import reduced
from specdsl.equivalence.subject import Subject, decomposes_base
from specdsl.sizes import Environment, Number

T = TypeVar("T")
MOST_PAIRINGS = 12
_ORDER = ("=", "<", ">", "?", "x")


@dataclass
class Reach:
    """What was found in one cell.

    Attributes:
        pointwise: the renaming under which both are the same map.
        a, b: the parametrisations, as the specs have them, and reduced.
        equal: the renaming under which the reduced ones are the same map.
        a_in_b, b_in_a: certificates of containment.
        a_not_in_b, b_not_in_a: why not.
        translate: whether one is the other, moved.
        dimensions, larger_dimensions: of both, at `sizes`, and where it matters at the cell's larger ones.
        problem: why there are no forms, if there are none.
    """

    cell: Cell
    sizes: Mapping[str, Number]
    pointwise: Renaming | None = None
    a: Image | None = None
    b: Image | None = None
    a_reduced: Image | None = None
    b_reduced: Image | None = None
    equal: Renaming | None = None
    a_in_b: Certificate | None = None
    b_in_a: Certificate | None = None
    a_not_in_b: Separation | None = None
    b_not_in_a: Separation | None = None
    translate: bool = False
    dimensions: tuple[Bounds | None, Bounds | None] = (None, None)
    larger_dimensions: tuple[tuple[Bounds | None, Bounds | None], ...] = ()
    problem: str = ""
    assumed: set[str] = field(default_factory=set)

    @property
    def relation(self) -> str:
        if self.equal is not None or (self.a_in_b is not None and self.b_in_a is not None):
            return "="
        if self.a_in_b is not None:
            return "<" if self.b_not_in_a is not None else "?"
        if self.b_in_a is not None:
            return ">" if self.a_not_in_b is not None else "?"
        return "x" if self.a_not_in_b is not None and self.b_not_in_a is not None else "?"

    @property
    def draws(self) -> tuple[str, ...]:
        """Which random draws of b are taken as draws of a, where names do not say it."""
        paired = () if self.b is None else self.b.paired
        return tuple(
            f"as draws, {name} of b is {owner}{'.T' if flipped else ''} of a" for name, owner, flipped in paired
        )

    @property
    def closure(self) -> str:
        relation = self.relation
        if relation == "=":
            return "="
        if relation in "<>":
            reason = self.b_not_in_a if relation == "<" else self.a_not_in_b
            assert reason is not None
            if reason.is_algebraic:
                return relation
            return "=" if self._are_as_large else "?"
        if relation == "x":
            assert self.a_not_in_b is not None
            assert self.b_not_in_a is not None
            return "x" if self.a_not_in_b.is_algebraic and self.b_not_in_a.is_algebraic else "?"
        return "=" if (self.a_in_b or self.b_in_a) and self._are_as_large else "?"

    @property
    def _are_as_large(self) -> bool:
        """Whether both dimensions are known and equal, at the larger sizes too, and the larger set is in one piece."""
        whole = self.b_reduced if self.a_in_b is not None else self.a_reduced
        if whole is None or not whole.is_irreducible:
            return False
        seen = (self.dimensions, *self.larger_dimensions)
        return len(seen) == 1 + len(self.cell.larger) and all(
            one is not None and other is not None and order_of(one, other) == "=" for one, other in seen
        )


_KNOWN: dict[tuple[object, ...], object] = {}
_MOST_KNOWN = 4000


def remembered(key: tuple[object, ...] | None, made: Callable[[], T]) -> T:
    """A value that was made for a spec in a cell before; comparing one spec with many asks for it again and again.

    Without a key nothing is remembered: a spec with an operator registered from Python is another one once its
    operator is.
    """
    if key is None:
        return made()
    if key not in _KNOWN:
        if len(_KNOWN) > _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = made()
    found: T = _KNOWN[key]  # type: ignore[assignment]
    return found


def _place(subject: Subject, cell: Cell, *more: object) -> tuple[object, ...] | None:
    if not subject.is_built_in:
        return None
    return (subject.spec.hash, subject.level, tuple(subject.values), cell.key, *more)


def images(a: Subject, b: Subject, cell: Cell, world: World) -> tuple[Image, Image]:
    """Both specs as maps, in a cell.

    Raises:
        NoForm: a spec is no sum of networks.
    """
    decompose = decomposes_base(a) or decomposes_base(b)
    one, other = (
        remembered(_place(subject, cell, decompose), partial(_image, subject, cell, world, decompose))
        for subject in (a, b)
    )
    return one, other


def _image(subject: Subject, cell: Cell, world: World, decompose: bool) -> Image:
    builder = Builder(subject, world, decompose, cell.resolved)
    return Image.of({name: builder.form(node) for name, node in subject.values.items()}, world)


def _reduced(image: Image, cell: Cell) -> Image:
    return remembered(("reduced", image.token, cell.key), partial(reduced, image))


def reach(a: Subject, b: Subject, cell: Cell, *, only_pointwise: bool = False) -> Reach:
    """Everything that is found of two specs in a cell."""
    result = Reach(cell, cell.samples[0])
    world = cell.world()
    try:
        result.a, first = images(a, b, cell, world)
        pairings = list(frozen_renamings(result.a, first))
        result.b = first
        for image in pairings:
            result.pointwise = equal_up_to_names(result.a, image)
            if result.pointwise is not None:
                result.b = image
                break
        if only_pointwise:
            return result
        if result.pointwise is not None:
            result.equal = result.pointwise
            result.a_reduced = result.b_reduced = _reduced(result.a, cell)
        else:
            starts = [one for image in pairings for one in frozen_renamings(result.a, image, "start")]
            _compare_pairings(result, a, b, starts)
    except NoForm as problem:
        result.problem = str(problem)
    result.dimensions = _dimensions(a, b, result)
    if result.equal is None:
        _by_dimension(result, a, b)
    return result


def _compare_pairings(result: Reach, a: Subject, b: Subject, pairings: Sequence[Image]) -> None:
    """The comparison under the pairing of frozen draws that says most."""
    found = []
    for image in pairings[:MOST_PAIRINGS]:
        one = replace(result, b=image)
        _compare(one, a, b)
        found.append(one)
        if one.relation == "=":
            break
    best = min(found, key=lambda one: _ORDER.index(one.relation))
    for name in ("b", "a_reduced", "b_reduced", "equal", "a_in_b", "b_in_a", "a_not_in_b", "b_not_in_a", "translate"):
        setattr(result, name, getattr(best, name))


def _compare(result: Reach, a: Subject, b: Subject) -> None:
    assert result.a is not None
    assert result.b is not None
    one, other = _reduced(result.a, result.cell), _reduced(result.b, result.cell)
    result.a_reduced, result.b_reduced = one, other
    result.equal = equal_up_to_names(one, other)
    if result.equal is not None:
        return
    result.a_in_b = _certificate(result.a, one, other, _known_rank(a, b, result))
    result.b_in_a = _certificate(result.b, other, one, _known_rank(b, a, result))
    if result.a_in_b is None:
        result.a_not_in_b = _why_not(a, b, one, other, result)
    if result.b_in_a is None:
        result.b_not_in_a = _why_not(b, a, other, one, result)
    if result.a_not_in_b is not None:
        result.a_not_in_b = result.a_not_in_b.between("a", "b")
    if result.b_not_in_a is not None:
        result.b_not_in_a = result.b_not_in_a.between("b", "a")
    if result.a_in_b is None and result.b_in_a is None:
        result.translate = _is_translate(one, other)


def _certificate(own: Image, one: Image, other: Image, known: KnownRank | None) -> Certificate | None:
    """That every value of a spec is one of another: over its reduced factors, or over those that it has."""
    return contained(one, other, known) or (contained(own, other, known) if own.factors != one.factors else None)


Reason = Callable[[Environment], Separation | None]


def _why_not(subject: Subject, rival: Subject, one: Image, other: Image, result: Reach) -> Separation | None:
    """A reason why some value of a spec is none of the other; the cheap ones first.

    There has to be one in a larger module too, and at other ranks where the rank is open.
    """
    reasons = list(_reasons(subject, one, other, result))
    found = _first_reason(reasons, result.sizes)
    if found is None:
        return None
    reasons.append(partial(_larger, subject, rival, one, other, result))
    return found if all(_first_reason(reasons, sizes) is not None for sizes in result.cell.larger) else None


def _first_reason(reasons: Sequence[Reason], sizes: Environment) -> Separation | None:
    """The first reason at these sizes; None where there is none that can be told."""
    for reason in reasons:
        try:
            found = reason(sizes)
        except (NotExact, NoPoint, NoForm):
            continue
        if found is not None:
            return found
    return None


def _larger(a: Subject, b: Subject, one: Image, other: Image, result: Reach, sizes: Environment) -> Separation | None:
    """That a has a larger dimension than b."""
    if not can_derive(a, b, sizes):
        return None
    low, high = bounds_of(a, one, sizes), bounds_of(b, other, sizes)
    if low is None or high is None or order_of(low, high) != ">":
        return None
    says = f"(one) has dimension {low.low} or more, (other) at most {high.high} ({shown(sizes)})"
    return Separation(says, True, sizes)


def _reasons(subject: Subject, one: Image, other: Image, result: Reach) -> Iterator[Reason]:
    for reason in (*REASONS, not_symmetric, outside_modulo, outside_hull):
        yield partial(reason, one, other)
    builder = Builder(subject, one.world, False, result.cell.resolved)
    if subject.level != "tokens":
        yield partial(below, subject, other, builder.form(W))
        return
    output = builder.form(X) @ builder.form(W) + builder.form(B)
    yield partial(differently_bent, subject, one, other)
    yield partial(moved_origin, subject, other, output)
    yield partial(too_many_ways, subject, other, output)


def _known_rank(subject: Subject, other: Subject, result: Reach) -> KnownRank | None:
    """The bound of the rank of `W' - W` that the expression says."""
    bound = subject.spec.facts.rank_bound
    if bound is None or "W'" not in subject.values:
        return None
    assert result.a is not None
    decompose = decomposes_base(subject) or decomposes_base(other)
    base = Builder(subject, result.a.world, decompose, result.cell.resolved).form(W)
    return KnownRank("W'", base, result.cell.resolved(subject.size(bound)))


def _is_translate(a: Image, b: Image) -> bool:
    """Whether both are the same but for a fixed value that is added."""
    moved = [Image({target: _moving(form) for target, form in image.forms.items()}, image.factors, image.world)
             for image in (a, b)]  # fmt: skip
    return equal_up_to_names(*moved) is not None


def _moving(form: Form) -> Form:
    return Form.of(form.axes, [term for term in form.terms.values() if term.trained], form.world)


def _dimensions(a: Subject, b: Subject, result: Reach) -> tuple[Bounds | None, Bounds | None]:
    if max(result.sizes["n"], result.sizes["m"]) > LARGEST or not can_derive(a, b, result.sizes):
        return None, None
    images_ = (result.a_reduced or result.a, result.b_reduced or result.b)
    one, other = (
        remembered(
            _place(subject, result.cell, "bounds", image.token if image else "", tuple(sorted(result.sizes.items()))),
            partial(bounds_of, subject, image, result.sizes),
        )
        for subject, image in zip((a, b), images_, strict=True)
    )
    return one, other


def _may_tell(result: Reach, one: Bounds, other: Bounds) -> bool:
    """Whether the order of the dimensions says something that is not known by other means."""
    order = order_of(one, other)
    return (
        (order == ">" and result.a_in_b is None and result.a_not_in_b is None)
        or (order == "<" and result.b_in_a is None and result.b_not_in_a is None)
        or (order == "=" and (result.a_in_b is not None or result.b_in_a is not None))
    )


def _by_dimension(result: Reach, a: Subject, b: Subject) -> None:
    one, other = result.dimensions
    if one is None or other is None:
        return
    if not _may_tell(result, one, other):
        return
    for sizes in result.cell.larger:
        if not can_derive(a, b, sizes):
            return
        more_one = bounds_of(a, result.a_reduced or result.a, sizes)
        more_other = bounds_of(b, result.b_reduced or result.b, sizes)
        if more_one is None or more_other is None or order_of(one, other) != order_of(more_one, more_other):
            return
        result.larger_dimensions = (*result.larger_dimensions, (more_one, more_other))
    where = shown(result.sizes)
    if (result.a_in_b is None and result.a_not_in_b is None and one.is_rigorous and other.high is not None
            and one.low > other.high):  # fmt: skip
        says = f"a has dimension {one.low} or more, b at most {other.high} ({where})"
        result.a_not_in_b = Separation(says, True, result.sizes)
    if (result.b_in_a is None and result.b_not_in_a is None and other.is_rigorous and one.high is not None
            and other.low > one.high):  # fmt: skip
        says = f"b has dimension {other.low} or more, a at most {one.high} ({where})"
        result.b_not_in_a = Separation(says, True, result.sizes)
