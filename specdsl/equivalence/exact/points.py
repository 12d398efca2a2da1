"""Points: concrete sizes and exact values for all that specs read, and the values of the specs there.

A point holds one base module and, for every spec, its trained factors, its starts and its constants. Draws depend on a
key alone, so what is coupled between two specs is drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.base_parts import base_decompositions, drawn_base
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.field import Field
from specdsl.equivalence.exact.generic import Generic, Key, Kind
from specdsl.equivalence.exact.numbers import ExactSizes
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.subject import Subject
from specdsl.errors import SpecShapeError
from specdsl.interpret import evaluate
from specdsl.ir import Apply, Factor, Given, Measured, Node, Site, reads, topological
from specdsl.randomness import Stream, TooFewPlaces
from specdsl.sizes import Environment, Number
from specdsl.starting import Starting

TRIES = 200
"""How often a point is drawn anew, where roots or inverses are missing."""
_FRESH = 14


class Rename(NamedTuple):
    """The factor of the first spec that a factor of the second one stands for, possibly transposed.

    Shapes that differ but by axes of size 1 are reshaped: an `n x 1` factor and a vector of n.
    """

    name: str
    is_transposed: bool = False


Coupling = Mapping[str, Rename]
"""For factors of the second spec those of the first."""


class Salts:
    """Which columns and rows were drawn anew, and how often."""

    def __init__(self) -> None:
        self.all = 0
        self.columns: dict[int, Any] = {}
        self.rows: dict[int, Any] = {}

    def note(self, failing: Any, along: str) -> bool:
        """Have the columns (rows) of failing entries drawn anew; False where the entries are of neither."""
        mask = np.atleast_1d(np.squeeze(np.asarray(failing)))
        if mask.ndim != 1 or len(mask) < 2:
            return False
        salts = self.columns if along == "columns" else self.rows
        salts[len(mask)] = salts.get(len(mask), np.zeros(len(mask), dtype=np.int64)) + mask
        return True

    def fresh(self) -> None:
        self.all += 1
        self.columns.clear()
        self.rows.clear()

    def drawn(self, key: Key, shape: Sequence[int], draw: Callable[[Key], ExactArray]) -> ExactArray:
        """`draw` with the columns and rows replaced that are drawn anew."""
        key = (*key, self.all)
        array = draw(key)
        for name, axis, salts in (("columns", -1, self.columns), ("rows", 0, self.rows)):
            if len(shape) < (1 if name == "columns" else 2) or shape[axis] not in salts:
                continue
            salt = salts[shape[axis]]
            for count in sorted(set(salt.tolist()) - {0}):
                other = draw((*key, name, count))
                mask = salt == count
                mask = mask if axis == -1 else mask.reshape((-1, *(1,) * (len(shape) - 1)))
                array = ExactArray(array.ring, np.where(mask, other.value, array.value))
        return array


@dataclass
class Side:
    """One spec at a point.

    Attributes:
        subject: the spec.
        sizes: the values of all sizes and hyper-parameters.
        starting: its starts and constants.
        trained: the values of its trained factors.
        given: those of its inputs and noises.
        drawn: the random starts that were drawn, by the label of the draw.
        values: the compared values, once they are computed.
    """

    subject: Subject
    sizes: ExactSizes
    starting: Starting
    trained: dict[str, ExactArray] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    drawn: dict[str, Any] = field(default_factory=dict)
    values: dict[str, ExactArray] | None = None


@dataclass
class Point:
    """Specs at one place.

    Attributes:
        arrays: the namespace.
        environment: the sizes of the module.
        site: `W`, `b`, `x` and `y`.
        sides: one for each spec.
        known: the parts of decompositions of W.
        roots: how many square roots the values took; where there are none, equality is that of rational functions.
    """

    arrays: ExactArrays
    environment: dict[str, Number]
    site: dict[str, ExactArray]
    sides: tuple[Side, ...]
    known: dict[Node, Any]
    roots: int = 0

    def side(self, subject: Subject) -> Side:
        """The side of a spec; of two equal ones the first.

        Raises:
            KeyError: it is not at this point.
        """
        for side in self.sides:
            if side.subject is subject:
                return side
        raise KeyError(subject.spec.label)


def sample(
    subjects: Sequence[Subject],
    sizes: Environment,
    seed: int,
    *,
    arrays: ExactArrays | None = None,
    kind: Kind = "generic",
    coupling: Coupling | None = None,
    hyper: Sequence[Mapping[str, Number]] = (),
    tries: int = TRIES,
    checked: Sequence[Subject] | None = None,
    with_starts: bool = False,
) -> Point:
    """A random point at which every value of the subjects exists.

    Args:
        subjects: one spec, or the two that are compared.
        sizes: of the module, and hyper-parameters that the specs leave open.
        arrays: the namespace, by default over the first field.
        kind: `generic`; `start`, with trained factors at their starts; or `small`, for witnesses.
        coupling: what factors of the second spec stand for; their values and random starts are those of the first,
            whatever the kind of the start is, but for an explicit `std`.
        hyper: for every spec hyper-parameters that replace its own.
        checked: the specs whose values are computed, and the point is drawn anew where one does not exist; by default
            all.
        with_starts: whether the values at the start have to exist too.

    Raises:
        NotExact: a value cannot be computed over these numbers, or no point was found.
    """
    xp = ExactArrays(Field()) if arrays is None else arrays
    salts, reason = Salts(), ""
    drawing = _Drawing(tuple(subjects), dict(sizes), seed, xp, kind, dict(coupling or {}), salts, tuple(hyper))
    for attempt in range(tries):
        with xp.ring.working():
            try:
                xp.ring.roots = 0
                point = drawing.point()
                for subject in subjects if checked is None else checked:
                    values(subject, point)
                    if with_starts:
                        starts(subject, point)
                point.roots = xp.ring.roots
                return point
            except (NoPoint, NotExact) as missing:
                if isinstance(missing, NotExact) and missing.failing is None:
                    raise
                reason = str(missing)
                if missing.failing is None or attempt % _FRESH == _FRESH - 1 or not salts.note(
                    missing.failing, missing.along
                ):  # fmt: skip
                    salts.fresh()
            except ZeroDivisionError:
                raise NotExact("number", "a number of the spec divides by zero") from None
            except TooFewPlaces as problem:
                raise NotExact("point", str(problem)) from None
    raise NotExact("point", f"none was found in {tries} tries: {reason}")


def values(subject: Subject, point: Point) -> dict[str, ExactArray]:
    """The compared values of a spec at a point, named as in `subject.values`."""
    side = point.side(subject)
    if side.values is None:
        with point.arrays.ring.working():
            side.values = evaluated(subject, point, side.trained, point.arrays)
    return side.values


def starts(subject: Subject, point: Point) -> dict[str, ExactArray]:
    """The compared values with every trained factor at its start."""
    side = point.side(subject)
    with point.arrays.ring.working():
        at_start = {name: side.starting.factor(name) for name in side.trained}
        return evaluated(subject, point, at_start, point.arrays)


def evaluated(
    subject: Subject, point: Point, trained: Mapping[str, ExactArray], xp: ExactArrays
) -> dict[str, ExactArray]:
    """The compared values for any values of the trained factors.

    Raises:
        NotExact, NoPoint: a value does not exist over these numbers.
    """
    side = point.side(subject)

    def leaf(node: Node) -> Any:
        match node:
            case Site():
                return point.site[node.name]
            case Factor() if node.name in trained:
                return trained[node.name]
            case Given():
                return side.given[node.name] if node.name in side.given else side.starting.given_value(node.name)
            case Factor():
                return side.starting.factor(node.name)
            case _:
                return side.starting.constant(node)

    try:
        found = evaluate(subject.values.values(), xp, side.sizes, leaf, point.known)
    except (TooFewPlaces, SpecShapeError) as problem:  # an operator may ask more of sizes than conditions say
        raise NotExact("point", str(problem)) from None
    return {name: _filled(xp, found[node], side.sizes.shape(node.shape)) for name, node in subject.values.items()}


def _filled(xp: ExactArrays, value: Any, shape: tuple[int, ...]) -> ExactArray:
    array = xp.array(value)
    return array if array.shape == shape else xp.broadcast(array, shape)


class _Drawing:
    """One attempt at a point."""

    def __init__(
        self, subjects: tuple[Subject, ...], environment: dict[str, Number], seed: int, xp: ExactArrays, kind: Kind,
        coupling: dict[str, Rename], salts: Salts,
        hyper: tuple[Mapping[str, Number], ...] = (),
    ) -> None:  # fmt: skip
        self.subjects, self.environment, self.seed, self.xp = subjects, environment, seed, xp
        self.kind, self.coupling, self.salts, self.hyper = kind, coupling, salts, hyper
        self.generic = Generic(xp, kind)

    def point(self) -> Point:
        n, m = int(self.environment["n"]), int(self.environment["m"])
        tokens = int(self.environment.setdefault("tokens", 3))
        self.environment = {"layer": 0, "layers": 1, **self.environment}
        decompositions: dict[Apply, bool] = {}
        for subject in self.subjects:
            decompositions |= base_decompositions([*subject.values.values(), *subject.ir.roots()])
        if decompositions:
            W, parts = drawn_base(decompositions, self.generic, (self.seed, "site", self.salts.all), n, m)
        else:
            W, parts = self._entries(("site", "W"), (n, m)), {}
        b, x = self._entries(("site", "b"), (m,)), self._entries(("site", "x"), (tokens, n))
        site = {"W": W, "b": b, "x": x, "y": x @ W + b}
        known: dict[Node, Any] = {node: parts[node.operator] for node in decompositions}
        point = Point(self.xp, self.environment, site, (), known)
        for number, subject in enumerate(self.subjects):
            point.sides = (*point.sides, self._side(number, subject, point))
        return point

    def _entries(self, key: Key, shape: Sequence[int]) -> ExactArray:
        return self.salts.drawn(key, shape, lambda salted: self.generic.entries((self.seed, *salted), shape))

    def _side(self, number: int, subject: Subject, point: Point) -> Side:
        hyper = _hyper_values(subject, self.environment, self.hyper[number] if self.hyper else {})
        sizes = ExactSizes(self.xp, {**self.environment, **hyper})
        side = Side(subject, sizes, Starting(subject.ir, self.xp, sizes, point.site, self._refused_draw))
        side.starting.known.update(point.known)
        side.starting.draw = lambda node, shape, options: self._draw(number, side, node, shape, options)
        side.starting.measured = _no_measure
        for name, factor in subject.ir.factors.items():
            if factor.kind == "index" and factor.start is None:
                side.starting.factors[name] = self._index(number, subject, name, sizes)
        self._give(side)
        for name, factor in subject.ir.factors.items():
            if factor.is_trained and self.kind == "start":
                side.trained[name] = side.starting.factor(name)
            elif factor.is_trained:
                shape = sizes.shape(factor.shape)
                side.trained[name] = self._factor(number, name, shape, factor.orthonormal, point)
        return side

    def _refused_draw(self, node: Apply, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
        raise AssertionError(node)

    def _give(self, side: Side) -> None:
        """Inputs may be anything, the same for both specs; one that picks places is a place. Noises are at rest."""
        roots = list(side.subject.ir.roots())
        for name, given in side.subject.ir.given.items():
            shape = side.sizes.shape(given.shape)
            if given.kind == "noise":
                continue
            if any(_is_index(name, node) for node in topological(roots)):
                side.given[name] = np.zeros(shape, dtype=np.int64)
            else:
                side.given[name] = self._entries(("input", name), shape)
            side.starting.drawn[name] = side.given[name]

    def _origin(self, number: int, name: str) -> tuple[int, Rename]:
        """The spec and the factor whose values a factor has."""
        if number and name in self.coupling:
            return 0, self.coupling[name]
        return number, Rename(name)

    def _factor(self, number: int, name: str, shape: tuple[int, ...], orthonormal: bool, point: Point) -> ExactArray:
        owner, origin = self._origin(number, name)
        if owner != number:
            found = point.sides[owner].trained.get(origin.name)
            if found is not None:
                made: ExactArray = self._fitted(found, origin.is_transposed, shape)
                return made
        key = (self.seed, "factor", owner, origin.name)
        if orthonormal:
            return self.generic.orthonormal((*key, self.salts.all), shape)
        return self.salts.drawn(key, shape, lambda salted: self.generic.entries(salted, shape))

    def _fitted(self, array: Any, is_transposed: bool, shape: tuple[int, ...]) -> Any:
        if is_transposed and len(array.shape) > 1:
            axes = tuple(range(len(array.shape)))
            array = self.xp.permute(array, (*axes[:-2], axes[-1], axes[-2]))
        if math.prod(array.shape) != math.prod(shape):
            raise NotExact("renaming", f"{array.shape} is not {shape}")
        return array if tuple(array.shape) == shape else self.xp.reshape(array, shape)

    def _draw(self, number: int, side: Side, node: Apply, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
        """A random start, as a generic element of its kind; equal explicit seeds draw equal values."""
        seed, label = options.pop("seed", None), str(node.option("label"))
        if seed is not None:
            value = self._drawn(("seeded", int(seed), node.operator, *shape), node.operator, shape, options)
        else:
            name, dot, rest = label.partition(".")
            owner, origin = self._origin(number, name)
            drawn_shape = (*shape[:-2], shape[-1], shape[-2]) if origin.is_transposed and len(shape) > 1 else shape
            key = ("start", owner, origin.name + dot + rest)
            value = self._fitted(self._drawn(key, node.operator, drawn_shape, options), origin.is_transposed, shape)
        side.drawn[label] = value
        return value

    def _drawn(self, key: Key, operator: str, shape: tuple[int, ...], options: Mapping[str, Any]) -> Any:
        key = (self.seed, *key)
        match operator:
            case "orthogonal":
                return self.generic.orthonormal((*key, self.salts.all), shape)
            case "choice" | "balanced":
                count, places = int(np.prod(shape)), int(options["n"])
                stream = Stream("places", *key)
                drawn = stream.choose(places, count) if operator == "choice" else stream.permutation(count) % places
                return drawn.reshape(shape)
            case "normal" if "std" in options:
                return self._any(key, shape) * options["std"]
            case "uniform" if self.xp.ring.is_ordered:
                entries = self._any(key, shape)
                share = (entries / (entries * entries + 1) + 1) / 2  # between 1/4 and 3/4
                made: ExactArray = share * (options["high"] - options["low"]) + options["low"]
                return made
            case "kaiming" | "xavier" | "normal" | "uniform":
                return self._any(key, shape)
        raise NotExact(operator, "a random start of an operator from outside")

    def _any(self, key: Key, shape: tuple[int, ...]) -> ExactArray:
        return self.salts.drawn(key, shape, lambda salted: self.generic.entries(salted, shape))

    def _index(self, number: int, subject: Subject, name: str, sizes: ExactSizes) -> Any:
        """Different places, within the smallest range that an operator picks from."""
        owner, origin = self._origin(number, name)
        count = sizes.shape(subject.ir.factors[name].shape)
        total = int(np.prod(count))
        ranges = [min(int(self.environment["n"]), int(self.environment["m"]))] if not (
            found := _ranges(subject, name, sizes)
        ) else found  # fmt: skip
        stream = Stream("index", self.seed, owner, origin.name)
        places = min(ranges)
        drawn = stream.choose(places, total) if total <= places else stream.permutation(total) % places
        return drawn.reshape(count)


def _hyper_values(subject: Subject, environment: Environment, given: Mapping[str, Number]) -> dict[str, Number]:
    """What a spec sets stays; an `r` that it leaves open is the module's."""
    parameter = subject.ir.hyper.get("r")
    is_open = parameter is not None and parameter.is_default and "r" in environment
    return subject.ir.hyper_values({**({"r": environment["r"]} if is_open else {}), **given})


def _ranges(subject: Subject, name: str, sizes: ExactSizes) -> list[int]:
    found = []
    for node in topological(subject.ir.roots()):
        if isinstance(node, Apply) and node.definition.index_ranges:
            for place, rule in node.definition.index_ranges.items():
                argument = node.arguments[place] if place < len(node.arguments) else None
                if argument is not None and name in reads(argument):
                    size = rule([argument.shape for argument in node.arguments], dict(node.options))
                    found.append(sizes.integer(size))
    return found


def _is_index(name: str, node: Node) -> bool:
    return isinstance(node, Apply) and node.operator == "take" and name in reads(node.arguments[1])


def _no_measure(node: Measured, shapes: list[tuple[int, ...]]) -> Any:
    raise NotExact(node.name, "it is measured while training")
