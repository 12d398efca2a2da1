"""The smallest place found at which two specs differ, as numbers that anybody can put in.

Entries are -1, 0, 1 and 2 over the rationals, larger ones where these show nothing; where roots occur the values are
computed in balls, which never call equal numbers different.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.balls import Balls, certainly_different
from specdsl.equivalence.exact.conversion import converted
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.generic import Kind
from specdsl.equivalence.exact.points import Coupling, Point, Side, sample, values
from specdsl.equivalence.exact.rational import Rationals
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.exact.shapes import has_open_rank, meets, read_sizes
from specdsl.equivalence.subject import Subject
from specdsl.equivalence.verdict import Witness
from specdsl.ir import Apply, topological
from specdsl.sizes import Environment, Number

LARGEST = 6
"""The largest n and m that are tried."""
SEEDS = 12
_AGAIN = 10
"""How many sizes are tried again with larger entries."""
_RANKS = (1, 2, 3)
_KEPT = 4
Pair = tuple[Subject, Subject]


def smallest_difference(
    pair: Pair,
    couplings: Sequence[Coupling],
    conditions: Callable[[Environment], bool] | None = None,
    *,
    r: int | None = None,
    largest: int = LARGEST,
    seeds: int = SEEDS,
) -> Witness | None:
    """A point at which the values of two specs differ, for every renaming of factors that is allowed.

    Args:
        pair: the specs.
        couplings: the renamings of the second spec's factors, frozen ones too; none pairs factors of equal names.
        conditions: what the sizes have to meet beside the size conditions of both.
        r: the rank where it is open, by default small ones.
        largest: of n and m.

    Returns:
        The witness; where no point shows the difference for all renamings, that of the first one, once every renaming
        has a point of its own. None where nothing was found.
    """
    renamings = list(couplings) or [{}]
    small: list[tuple[dict[str, Number], Kind]] = [(sizes, "small") for sizes in _growing(pair, conditions, r, largest)]
    larger: list[tuple[dict[str, Number], Kind]] = [(sizes, "larger") for sizes, _ in small[:_AGAIN]]
    for sizes, kind in (*small, *larger):
        single: dict[int, Point] = {}
        together: list[Point] = []
        for seed in range(seeds):
            shown = _differences(pair, renamings, sizes, seed, kind)
            if shown is None:
                return None
            for number, point in shown.items():
                single.setdefault(number, point)
            if len(shown) == len(renamings) and _same_first(shown):
                together.append(shown[0])
            if len(together) == _KEPT:
                break
        if together:
            return _witness(min(together, key=weight), pair, len(renamings) > 1)
        if len(single) == len(renamings):
            return _witness(single[0], pair, False, each=len(renamings) > 1)
    return None


def _growing(
    pair: Pair, conditions: Callable[[Environment], bool] | None, r: int | None, largest: int
) -> Iterator[dict[str, Number]]:
    open_rank = any(has_open_rank(subject.ir) for subject in pair)
    ranks: Sequence[int | None] = ([r] if r is not None else list(_RANKS)) if open_rank else [None]
    token_counts = (1, 2) if any(subject.level == "tokens" for subject in pair) else (1,)
    places = [(n, m, rank) for n in range(1, largest + 1) for m in range(1, largest + 1) for rank in ranks]
    for n, m, rank in sorted(places, key=lambda place: (place[0] * place[1], place[0] + place[1], place[2] or 0)):
        for tokens in token_counts:
            sizes: dict[str, Number] = {"n": n, "m": m, "tokens": tokens, "layer": 0, "layers": 1}
            sizes |= {} if rank is None else {"r": rank}
            kernels: list[dict[str, Number]] = [{}]
            if any(_kernel_symbols(subject) for subject in pair):
                kernels = [{"c": n // k**2, "kh": k, "kw": k} for k in (1, 2) if n % k**2 == 0]
            for kernel in kernels:
                if meets(pair, {**sizes, **kernel}, conditions):
                    yield {**sizes, **kernel}


def _kernel_symbols(subject: Subject) -> bool:
    return any(size.symbols & {"c", "kh", "kw"} for node in topological(subject.ir.roots()) for size in node.shape)


def _differences(
    pair: Pair, renamings: Sequence[Coupling], sizes: dict[str, Number], seed: int, kind: Kind
) -> dict[int, Point] | None:
    """Points by renaming where the specs differ; None where the values cannot be computed in balls either."""
    found: dict[int, Point] = {}
    for number, renaming in enumerate(renamings):
        try:
            point = sample(
                pair, sizes, seed, arrays=ExactArrays(Rationals()), kind=kind, coupling=renaming,
                checked=(), tries=40,
            )  # fmt: skip
            if not is_full(point.site["W"]):
                continue
            if _differ(point, pair) and _is_short(point):
                found[number] = point
        except NoPoint:
            continue
        except NotExact as refusal:
            if refusal.operator in ("point", "renaming"):
                continue
            return None
    return found


def _differ(point: Point, pair: Pair) -> bool:
    """Whether the values differ at a point; its values are then those of the ring that could compute them."""
    try:
        found = [values(subject, point) for subject in pair]
        return any(certainly_different(found[0][name], found[1][name]) for name in found[0])
    except NotExact as refusal:
        if refusal.operator == "point":
            raise
    balls = converted(point, ExactArrays(Balls()))
    with balls.arrays.ring.working():
        found = [values(subject, balls) for subject in _sided(pair, balls)]
        differs = any(certainly_different(found[0][name], found[1][name]) for name in found[0])
    for side, other in zip(point.sides, balls.sides, strict=True):
        side.values = other.values
    return differs


def _sided(pair: Pair, point: Point) -> Pair:
    a, b = (side.subject for side in point.sides)
    return a, b


def is_full(W: ExactArray) -> bool:
    """Whether a base weight has full rank and neither a row nor a column of zeros."""
    xp = ExactArrays(W.ring)
    nonzero = ~W.ring.is_zero(W.value)
    if not (nonzero.any(0).all() and nonzero.any(1).all()):
        return False
    turned = xp.permute(W, (1, 0))
    try:
        xp.inverse(turned @ W if W.shape[0] >= W.shape[1] else W @ turned)
    except NoPoint:
        return False
    return True


def _is_short(point: Point) -> bool:
    longest = max(len(text) for array in point.site.values() for text in _flat(texts(array)))
    return longest <= 12


def _same_first(shown: Mapping[int, Point]) -> bool:
    """Whether all renamings were shown at one and the same point of the first spec."""
    first = side_texts(shown[0].sides[0])
    return all(
        side_texts(point.sides[0]) == first and texts(point.site["W"]) == texts(shown[0].site["W"])
        for point in shown.values()
    )


def weight(point: Point) -> float:
    """How much there is to read: the sum of all magnitudes."""
    arrays = [point.site["W"], *point.sides[0].trained.values(), *point.sides[1].trained.values()]
    return float(sum(abs(float(_fraction(text))) for array in arrays for text in _flat(texts(array))))


def _fraction(text: str) -> Any:
    from fractions import Fraction

    return Fraction(text)


# ------------------------------------------------------------------------------------------------ showing


def texts(array: Any) -> Any:
    """Nested tuples of exact text."""
    if isinstance(array, ExactArray):
        return _nested(array.value, array.ring.text)
    return _nested(np.asarray(array), lambda entry: str(int(entry)))


def _nested(value: Any, text: Callable[[Any], str]) -> Any:
    if value.ndim == 0:
        return text(value[()])
    return tuple(_nested(part, text) if isinstance(part, np.ndarray) else text(part) for part in value)


def _flat(texts: Any) -> list[str]:
    return [texts] if isinstance(texts, str) else [text for part in texts for text in _flat(part)]


def side_texts(side: Side) -> dict[str, Any]:
    """The trained factors, and all else that was drawn: frozen ones, `init(A)`, draws without a factor (`~label`)."""
    shown = {name: texts(side.trained[name]) for name in side.trained if name in side.subject.trained}
    factors = side.subject.ir.factors
    for name, value in side.starting.factors.items():
        factor = factors[name]
        if factor.start is None or any(_is_draw(node) for node in topological([factor.start])):
            shown[f"init({name})" if factor.is_trained else name] = texts(value)
    for label, value in side.drawn.items():
        if label.partition(".")[0] not in factors:
            shown[f"~{label}"] = texts(value)
    return shown


def _is_draw(node: Any) -> bool:
    return isinstance(node, Apply) and node.definition.draw is not None


def _witness(point: Point, pair: Pair, all_renamings: bool, each: bool = False) -> Witness:
    a, b = point.sides
    assert a.values is not None
    assert b.values is not None
    names = ["W", "b", "x"] if pair[0].level == "tokens" or pair[1].level == "tokens" else ["W"]
    if "b'" in a.values and "b" not in names:
        names.append("b")
    site = {name: texts(point.site[name]) for name in names}
    site |= {name: texts(value) for side in point.sides for name, value in side.given.items()}
    value_a = {name: texts(value) for name, value in a.values.items()}
    value_b = {name: texts(value) for name, value in b.values.items()}
    sizes = {name: str(value) for name, value in point.environment.items() if name not in ("layer", "layers")}
    hyper = [hyper_texts(side) for side in point.sides]
    return Witness(
        sizes,
        site,
        side_texts(a),
        side_texts(b),
        value_a,
        value_b,
        _says(value_a, value_b, all_renamings, each),
        *hyper,
    )


def hyper_texts(side: Side) -> dict[str, str]:
    """The hyper-parameters of a spec at a point, those that its text reads."""
    return {name: str(side.sizes.values[name]) for name in side.subject.ir.hyper
            if name in side.sizes.values and name in read_sizes(side.subject.ir)}  # fmt: skip


def _says(a: Mapping[str, Any], b: Mapping[str, Any], all_renamings: bool, each: bool) -> str:
    for name in a:
        for place, (one, other) in enumerate(zip(_flat(a[name]), _flat(b[name]), strict=True)):
            if one != other:
                width = len(a[name][0]) if name != "b'" and not isinstance(a[name][0], str) else 0
                where = f"{place // width + 1}, {place % width + 1}" if width else f"{place + 1}"
                said = f"{name}[{where}] is {one} in a and {other} in b"
                if all_renamings:
                    return f"{said}; it differs however the factors are paired"
                return f"{said}; other pairings of the factors differ at other points" if each else said
    return "the values differ"
