"""Shape cells: the answer may differ between `n < m`, `n = m` and `n > m`, so each is a question of its own.

Within a cell sizes are symbols; which of two is the smaller is read off sample sizes that meet every condition, and
what was read is an assumption of the verdict.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache

from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.exact.shapes import has_open_rank
from specdsl.equivalence.forms.form import World
from specdsl.equivalence.forms.index import Order
from specdsl.equivalence.relations import WHOLE, Relation, are_possible, is_whole
from specdsl.equivalence.subject import Subject
from specdsl.ir import Condition, Scalar, topological
from specdsl.sizes import Number, Opaque, Size, Symbol, UnknownSize, near_root

CELLS = ("n<m", "n=m", "n>m")
N, M, R = Size.symbol("n"), Size.symbol("m"), Size.symbol("r")
_SAMPLES = 6
_PER_TOTAL = 2
_SMALL = 8
_LARGEST = 60
_RANKS = (5, 8)
_WIDE = 8
_TRIED = 60


@dataclass(frozen=True)
class Cell:
    """One relation of n and m.

    Attributes:
        name: `n<m`, `n=m` or `n>m`.
        samples: sizes of some modules in it, the smallest first; every other symbol has its value too.
        given: sizes with one value in the whole cell (`m = n`, `n = 4`), put into every shape.
        facts: what holds of the sizes of every module in it; an order of two sizes has to follow from these.
        whole: sizes that are whole numbers in every module in it, beside the symbols.
        wide: sizes of a larger module; what is seen at the smallest one only may be for want of room.
        others: sizes with other ranks, where one is open; what is seen at a small one only may be for want of rank.
    """

    name: str
    samples: tuple[Mapping[str, Number], ...]
    given: Mapping[str, Size]
    facts: tuple[Relation, ...] = ()
    whole: tuple[Size, ...] = ()
    wide: Mapping[str, Number] | None = None
    others: tuple[Mapping[str, Number], ...] = ()

    @property
    def larger(self) -> tuple[Mapping[str, Number], ...]:
        """Sizes at which what is seen at the smallest ones has to be seen again."""
        return (*(() if self.wide is None else (self.wide,)), *self.others)

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal keys are equal cells."""
        samples = tuple(tuple(sorted(one.items())) for one in self.samples)
        return (self.name, samples, tuple(sorted(self.given.items())), tuple(map(str, self.facts)))

    def world(self) -> World:
        """What is known of sizes here."""
        known: dict[tuple[Size, Size], bool] = {}

        def at_most(left: Size, right: Size) -> bool:
            pair = (left, right)
            if pair not in known:
                known[pair] = self._at_most(left, right)
            return known[pair]

        return World(Order(at_most, self._is_whole))

    def _is_whole(self, size: Size) -> bool:
        return is_whole(size) or any(is_whole(size / known) for known in self.whole)

    def _at_most(self, left: Size, right: Size) -> bool:
        difference = right - left
        if difference.constant is not None:
            return difference.constant >= 0
        try:
            if not all(difference.value(sample) >= 0 for sample in self.samples):
                return False
        except (UnknownSize, ValueError, ZeroDivisionError):
            return False
        return follows(self.facts, left, right)

    def resolved(self, size: Size) -> Size:
        """A size with the smaller of two put for their `min`, where it is known here."""
        return resolved(size.substitute(self.given), self._at_most)


@lru_cache(maxsize=20_000)
def follows(facts: tuple[Relation, ...], left: Size, right: Size) -> bool:
    """Whether `left <= right` is proved by the facts."""
    common = _common_factor(left, right)
    return not are_possible([*facts, Relation(left / common, ">", right / common)])


def _common_factor(left: Size, right: Size) -> Size:
    """The product of sizes that stands in every term of both; sizes are positive."""
    monomials = [dict(monomial) for monomial, _ in (*left.terms, *right.terms)]
    common = Size.of(1)
    for atom in monomials[0] if monomials else ():
        least = min(monomial.get(atom, Fraction(0)) for monomial in monomials)
        if least > 0 and isinstance(atom, Symbol) and atom.name in WHOLE:
            common = common * Size.symbol(atom.name).power(least)
    return common


def resolved(size: Size, at_most: object) -> Size:
    total = Size.of(0)
    changed = False
    for monomial, coefficient in size.terms:
        product = Size.of(coefficient)
        for atom, exponent in monomial:
            base = Size(((((atom, type(exponent)(1)),), type(coefficient)(1)),))
            if isinstance(atom, Opaque) and atom.function in ("min", "max"):
                arguments = [resolved(one, at_most) for one in atom.arguments]
                chosen = _extreme(arguments, atom.function, at_most)
                if chosen is not None:
                    base, changed = chosen, True
            product = product * base.power(exponent)
        total = total + product
    return total if changed else size


def _extreme(arguments: Sequence[Size], function: str, at_most: object) -> Size | None:
    assert callable(at_most)
    for one in arguments:
        if all(at_most(one, other) if function == "min" else at_most(other, one) for other in arguments):
            return one
    return None


@dataclass(frozen=True)
class Question:
    """Two specs and everything that is assumed of sizes.

    Attributes:
        a, b: the specs.
        conditions: what the user said.
        cells: the cells that are possible.
        texts: the assumptions on sizes, for the verdict.
    """

    a: Subject
    b: Subject
    conditions: Conditions
    cells: tuple[Cell, ...]
    texts: tuple[str, ...] = field(default=())


def question(a: Subject, b: Subject, conditions: Conditions) -> Question:
    """The cells of a question, with sample sizes that meet all conditions."""
    cells = tuple(cell for name in CELLS if (cell := _remembered(name, a, b, conditions)) is not None)
    texts = [str(condition) for subject in (a, b) for condition in subject.ir.conditions]
    for sign in ("<", "<="):
        for size in dict.fromkeys((R, *_bounds(a), *_bounds(b))):
            known = bool(cells) and all(
                {_put(Relation(size, sign, large), cell.given) for large in (N, M)} <= set(cell.facts) for cell in cells
            )
            if known and size.constant is None and f"{size} < min(n, m)" not in texts:
                texts.append(f"{size} {sign} min(n, m)")
    return Question(a, b, conditions, cells, tuple(dict.fromkeys([*conditions.texts, *texts])))


_KNOWN: dict[tuple[object, ...], Cell | None] = {}
_MOST_KNOWN = 5000


def _remembered(name: str, a: Subject, b: Subject, conditions: Conditions) -> Cell | None:
    """The cell, made once for all specs that say the same of sizes."""
    key = (name, _profile(a), _profile(b), conditions)
    if key not in _KNOWN:
        if len(_KNOWN) > _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = _cell(name, a, b, conditions)
    return _KNOWN[key]


def _profile(subject: Subject) -> tuple[object, ...]:
    """All that a spec says of sizes."""
    conditions = tuple((one.kind, one.left, one.right) for one in subject.ir.conditions)
    settings = tuple(sorted(_settings(subject).items(), key=lambda item: item[0]))
    symbols = frozenset(_symbols(subject, subject))
    return conditions, settings, symbols, has_open_rank(subject.ir), subject.factor_sizes, tuple(_inner(subject))


def _cell(name: str, a: Subject, b: Subject, conditions: Conditions) -> Cell | None:
    if not are_possible([Relation(N, name[1], M), *conditions.relations, *_demanded(a), *_demanded(b)]):
        return None
    for is_roomy, least, least_rank in itertools.product((True, False), (3, 2, 1), (2, 1)):
        found = _samples(name, a, b, conditions, is_roomy, least, least_rank)
        samples = list(itertools.islice(found, _SAMPLES))
        samples += _tight(name, a, b, conditions, is_roomy, least, least_rank) if samples else ()
        if samples:
            given = _given(name, samples, conditions)
            facts = tuple(_facts(name, a, b, conditions, samples, is_roomy, least, least_rank))
            rooms = _samples(name, a, b, conditions, is_roomy, _WIDE, max(least_rank, 2))
            whole = [subject.size(one.left).substitute(given)
                     for subject in (a, b) for one in subject.ir.conditions if one.kind == "whole"]  # fmt: skip
            return Cell(name, tuple(samples), given, tuple(_put(fact, given) for fact in facts),
                        tuple(dict.fromkeys(whole)), next(rooms, None),
                        (*_other_ranks(name, a, b, conditions, is_roomy, least, samples[0]),
                         *_prime_sizes(name, a, b, conditions, is_roomy, least_rank)))  # fmt: skip
    return None


def _other_ranks(
    name: str, a: Subject, b: Subject, conditions: Conditions, is_roomy: bool, least: int, first: Mapping[str, Number]
) -> Iterator[Mapping[str, Number]]:
    """The smallest modules with a rank above all numbers in the specs, and with about the rank that one of them sets.

    A rank that the conditions do not allow gives way to the largest below that they do.
    """
    if not any(has_open_rank(subject.ir) for subject in (a, b)) or "r" in conditions.sizes:
        return
    sizes = [size for subject in (a, b) for size in (*subject.factor_sizes, *_bounds(subject))]
    numbers = [abs(coefficient) for size in sizes for _, coefficient in size.terms]
    highest = 1 + max((int(number) for number in numbers if number <= _LARGEST / 2), default=0)
    wanted = [range(max(highest, 3), int(first["r"]), -1)]
    for subject in (a, b):
        own = None if has_open_rank(subject.ir) else _set_rank(subject)
        wanted += [] if own is None else [range(own, own - 1, -1), range(own + 3, own, -1)]
    ranks: dict[int, Mapping[str, Number]] = {}
    for options in wanted:
        for rank, room in itertools.product(options, (2, 1, 0)):
            found = next(_samples(name, a, b, conditions, is_roomy, max(least, rank + room), rank), None)
            if found is not None and found["r"] == rank != first["r"]:
                ranks.setdefault(rank, {**found, "tokens": max(found["n"], found["tokens"])})
                break
    yield from ranks.values()


def _prime_sizes(
    name: str, a: Subject, b: Subject, conditions: Conditions, is_roomy: bool, least_rank: int
) -> Iterator[Mapping[str, Number]]:
    """Sizes that have no divisor, where a spec asks for the one nearest the root."""
    read = [size for subject in (a, b) for size in subject.factor_sizes]
    if any("near_root" in str(size) for size in read):
        found = itertools.islice(_samples(name, a, b, conditions, is_roomy, 5, least_rank), _TRIED)
        yield from itertools.islice((sizes for sizes in found if near_root(int(sizes["n"])) == 1 == near_root(
            int(sizes["m"]))), 1)  # fmt: skip


def _bounds(subject: Subject) -> list[Size]:
    return [] if subject.rank_bound is None else [subject.rank_bound]


def _set_rank(subject: Subject) -> int | None:
    """The rank that a spec sets."""
    size = subject.hyper.get("r")
    constant = None if size is None else size.constant
    return None if constant is None or constant.denominator != 1 or constant < 1 else int(constant)


def _put(fact: Relation, given: Mapping[str, Size]) -> Relation:
    return Relation(fact.left.substitute(given), fact.sign, fact.right.substitute(given))


def _facts(
    name: str, a: Subject, b: Subject, conditions: Conditions, samples: Sequence[Mapping[str, Number]],
    is_roomy: bool, least: int, least_rank: int,
) -> Iterator[Relation]:  # fmt: skip
    """What is said of the sizes, what the specs demand of them, and what is taken for granted by default."""
    yield Relation(N, name[1], M)
    yield from conditions.relations
    for size, value in ((N, least), (M, least), (R, least_rank)):
        yield Relation(size, ">=", Size.of(value))
    yield from _demanded(a)
    yield from _demanded(b)
    for relation in defaults(a, b, is_roomy):
        if all(relation.holds(sample) is not False for sample in samples):
            yield relation


def _demanded(subject: Subject) -> Iterator[Relation]:
    """What a spec demands of the sizes."""
    for condition in subject.ir.conditions:
        left, right = subject.size(condition.left), subject.size(condition.right)
        signs = {"equal": ("=", right), "at_most": ("<=", right), "whole": (">=", Size.of(1))}
        yield Relation(left, *signs[condition.kind])


def defaults(a: Subject, b: Subject, is_roomy: bool) -> Iterator[Relation]:
    """What is taken for granted where nothing is said: W is larger than what is added has rank, and than `r`."""
    for subject in (a, b):
        bound = subject.spec.facts.rank_bound
        if is_roomy and bound is not None:
            for size in (N, M):
                yield Relation(subject.size(bound), "<", size)
        if has_open_rank(subject.ir):
            for size in (N, M):
                yield Relation(R, "<" if is_roomy else "<=", size)
        for inner in _inner_sizes(subject) if is_roomy else ():
            for size in (N, M):
                yield Relation(inner, "<", size)


def _inner_sizes(subject: Subject) -> list[Size]:
    """Sizes of factors that are small numbers, as the 4 of `n x 4`."""
    small = {size for size in subject.factor_sizes if size.constant is not None and 1 < size.constant <= _SMALL}
    return sorted(small, key=lambda size: size.constant or 0)


def _given(name: str, samples: Sequence[Mapping[str, Number]], conditions: Conditions) -> dict[str, Size]:
    given = {size: Size.of(value) for size, value in conditions.sizes.items()}
    if name == "n=m" and "m" not in given:
        given["m"] = N
    return given


def _samples(
    name: str, a: Subject, b: Subject, conditions: Conditions, is_roomy: bool, least: int, least_rank: int
) -> Iterator[dict[str, Number]]:
    """Sizes of modules in a cell, small ones first; `is_roomy`: larger than the rank bounds of both specs."""
    seen: set[tuple[tuple[str, Number], ...]] = set()
    free = [symbol for symbol in _symbols(a, b) if symbol not in ("n", "m", "tokens")]
    hyper = {**_settings(a), **_settings(b)}
    if any(has_open_rank(subject.ir) for subject in (a, b)):
        hyper = {name: size for name, size in hyper.items() if name != "r"}  # a set rank is in its own spec's sizes
    step, rank_step = _granularity(a, b, {"n", "m"}), _granularity(a, b, {"r"})
    lowest = max([least_rank, *_floors(conditions, "r")])
    ranks = [-(-rank // rank_step) * rank_step for rank in (lowest, lowest + rank_step)]
    bounds = [size.constant for subject in (a, b) for size in _inner(subject) if is_roomy and size.constant is not None]
    if any(bound > _LARGEST * step / 2 for bound in bounds):
        return
    floor = -(-_floor(a, b, conditions) // step) * step
    starts = (floor,) if floor > _LARGEST / 2 else dict.fromkeys((0, floor))
    for start, total in itertools.product(starts, range(2, _LARGEST)):
        taken = 0
        for (more_n, more_m), rank in itertools.product(_pairs(total, name, step), ranks):
            n, m = start + more_n, start + more_m
            if min(n, m) < least or taken == _PER_TOTAL:
                continue
            sizes: dict[str, Number] = {"n": n, "m": m, "tokens": max(5, rank + 3), "r": rank, "layer": 0, "layers": 1}
            sizes |= {symbol: rank for symbol in free if symbol not in hyper and symbol not in sizes}
            sizes |= conditions.sizes
            sizes |= _values(hyper, sizes)
            key = tuple(sorted(sizes.items()))
            if key not in seen and _legal(sizes, name, a, b, conditions, is_roomy):
                seen.add(key)
                taken += 1
                yield sizes


def _floor(a: Subject, b: Subject, conditions: Conditions) -> int:
    """The largest number that n or m has to reach."""
    demanded = (
        relation.left.constant for subject in (a, b) for relation in _demanded(subject) if relation.sign == "<="
    )
    numbers = [math.ceil(number) for number in demanded if number is not None]
    return max([0, *numbers, *_floors(conditions, "n"), *_floors(conditions, "m")])


def _floors(conditions: Conditions, name: str) -> Iterator[int]:
    """The numbers that the user says a size has to reach."""
    turned = {"<": ">", "<=": ">="}
    for relation in conditions.relations:
        left, sign, right = relation.left, relation.sign, relation.right
        if sign in turned:
            left, sign, right = right, turned[sign], left
        if left.as_symbol == name and sign in turned.values() and right.constant is not None:
            yield math.floor(right.constant) + 1 if sign == ">" else math.ceil(right.constant)


def _tight(
    name: str, a: Subject, b: Subject, conditions: Conditions, is_roomy: bool, least: int, least_rank: int
) -> Iterator[dict[str, Number]]:
    """Sizes as small as larger ranks allow, so that nothing is read off small ranks alone."""
    if not any("r" in subject.ir.hyper and subject.ir.hyper["r"].is_default for subject in (a, b)):
        return
    for rank in _RANKS:
        yield from itertools.islice(_samples(name, a, b, conditions, is_roomy, least, max(rank, least_rank)), 2)


def _pairs(total: int, name: str, step: int) -> Iterator[tuple[int, int]]:
    """Sizes of n and m with `n + m = total * step`, the most equal first."""
    for n in range(total // 2, 0, -1):
        m = total - n
        if name == "n<m" and n < m:
            yield n * step, m * step
        elif name == "n>m" and n < m:
            yield m * step, n * step
        elif name == "n=m" and n == m:
            yield n * step, m * step


def _granularity(a: Subject, b: Subject, names: set[str]) -> int:
    """The largest number that has to divide a size, by the conditions that read these names."""
    step = 1
    for subject in (a, b):
        for condition in subject.ir.conditions:
            if condition.kind != "whole":
                continue
            size = subject.size(condition.left)
            for _, coefficient in size.terms:
                if names & size.symbols and coefficient.denominator > 1 and len(size.terms) == 1:
                    step = max(step, coefficient.denominator)
    return step


def _settings(subject: Subject) -> dict[str, Size]:
    return {f"{name}": size for name, size in subject.hyper.items()}


def _values(hyper: Mapping[str, Size], sizes: Mapping[str, Number]) -> dict[str, Number]:
    values: dict[str, Number] = {}
    for name, size in hyper.items():
        if name in sizes and name == "r" and size.constant is None:
            continue
        try:
            values[name] = size.value(sizes)
        except (UnknownSize, ValueError, ZeroDivisionError):
            continue
    return values


def _symbols(a: Subject, b: Subject) -> set[str]:
    names: set[str] = set()
    for subject in (a, b):
        for factor in subject.ir.factors.values():
            names.update(*(subject.size(size).symbols for size in factor.shape))
        for node in topological(subject.values.values()):
            names.update(*(subject.size(size).symbols for size in node.shape))
            if isinstance(node, Scalar):
                names |= subject.size(node.size).symbols
    return names


def _legal(
    sizes: Mapping[str, Number], name: str, a: Subject, b: Subject, conditions: Conditions, is_roomy: bool
) -> bool:
    n, m = sizes["n"], sizes["m"]
    if (name == "n<m") != (n < m) or (name == "n>m") != (n > m) or not conditions.holds(sizes):
        return False
    for subject in (a, b):
        if not all(_holds(condition, sizes) for condition in subject.conditions):
            return False
        if is_roomy and has_open_rank(subject.ir) and sizes["r"] >= min(n, m):
            return False
        for inner in _inner(subject) if is_roomy else ():
            try:
                if not inner.value(sizes) < min(n, m):
                    return False
            except (UnknownSize, ValueError, ZeroDivisionError):
                continue
    return True


def _inner(subject: Subject) -> list[Size]:
    """What n and m are larger than by default: the rank of what is added, and small inner sizes."""
    return [*_inner_sizes(subject), *_bounds(subject)]


def _holds(condition: Condition, sizes: Mapping[str, Number]) -> bool:
    try:
        return condition.holds(sizes)
    except (UnknownSize, ValueError, ZeroDivisionError):
        return True
