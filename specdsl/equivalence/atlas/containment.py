"""Which methods are the same and which contain others: classes of equal methods and the order between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from specdsl.equivalence.atlas.cell import Cell

Names = tuple[str, str]
Cells = Mapping[Names, Cell]


@dataclass(frozen=True)
class Containment:
    """The order of methods by their reachable sets.

    Attributes:
        classes: methods whose sets are equal, each class in the order given.
        edges: from a class to those just above it, by place; what follows from others is left out.
        dimensions: of each class, where known.
        conflicts: verdicts that cannot be right together, in words.
    """

    classes: tuple[tuple[str, ...], ...]
    edges: frozenset[tuple[int, int]]
    dimensions: Mapping[int, int] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()


def containment_of(names: Sequence[str], cells: Cells) -> Containment:
    """Merge equal methods and reduce the containments between them.

    Args:
        names: of the methods.
        cells: what is known of pairs of them, in either order.
    """
    place_of = _classes(names, cells)
    places = {place: number for number, place in enumerate(dict.fromkeys(place_of[name] for name in names))}
    number_of = {name: places[place_of[name]] for name in names}
    classes: list[list[str]] = [[] for _ in places]
    for name in names:
        classes[number_of[name]].append(name)
    smaller = {
        (number_of[a], number_of[b]) if cell.set == "<" else (number_of[b], number_of[a])
        for (a, b), cell in cells.items() if cell.set in ("<", ">")
    }  # fmt: skip
    conflicts = _conflicts(number_of, cells, smaller)
    reduced = frozenset() if _has_cycle(smaller) else frozenset(reduction(smaller))
    found = tuple(map(tuple, classes))
    return Containment(found, reduced, _dimensions(number_of, cells), tuple(conflicts))


def reduction(edges: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """The edges of an acyclic graph that do not follow from others.

    >>> sorted(reduction([(0, 1), (1, 2), (0, 2)]))
    [(0, 1), (1, 2)]
    """
    kept = set(edges)
    above = closure(kept)
    direct: dict[int, set[int]] = {}
    for low, high in kept:
        direct.setdefault(low, set()).add(high)
    return {
        (low, high)
        for low, high in kept
        if not any(high in above.get(middle, ()) for middle in direct[low] if middle != high)
    }


def closure(edges: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
    """All that is above each node of an acyclic graph."""
    direct: dict[int, set[int]] = {}
    for low, high in edges:
        direct.setdefault(low, set()).add(high)
    found: dict[int, set[int]] = {}
    for node in TopologicalSorter(direct).static_order():
        nearest = direct.get(node, set())
        found[node] = nearest.union(*(found[one] for one in nearest))
    return found


def _classes(names: Sequence[str], cells: Cells) -> dict[str, str]:
    """The first name of each one's class."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    order = {name: place for place, name in enumerate(names)}
    for (a, b), cell in cells.items():
        if cell.set == "=":
            first, second = sorted((root(a), root(b)), key=order.__getitem__)
            parent[second] = first
    return {name: root(name) for name in names}


def _has_cycle(edges: Iterable[tuple[int, int]]) -> bool:
    graph: dict[int, set[int]] = {}
    for low, high in edges:
        graph.setdefault(low, set()).add(high)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return True
    return False


def _conflicts(number_of: Mapping[str, int], cells: Cells, smaller: set[tuple[int, int]]) -> list[str]:
    """What equality and containment, being transitive, forbid."""
    if _has_cycle(smaller):
        return ["the containments run in a circle"]
    above = closure(smaller)
    found = []
    for (a, b), cell in cells.items():
        low, high = number_of[a], number_of[b]
        implied = (
            "=" if low == high else "<" if high in above.get(low, ()) else ">" if low in above.get(high, ()) else ""
        )
        if implied and cell.set not in ("?", implied):
            found.append(f"`{a}` {implied} `{b}` follows from other pairs, but the pair itself gives `{cell.set}`")
    return found


def _dimensions(number_of: Mapping[str, int], cells: Cells) -> dict[int, int]:
    """The dimension of each class at the shape that most pairs were measured at."""
    shapes: dict[str, dict[int, int]] = {}
    for (a, b), cell in cells.items():
        for name, value in ((a, cell.dimension_a), (b, cell.dimension_b)):
            if value is not None:
                shapes.setdefault(cell.shape, {})[number_of[name]] = value
    return max(shapes.values(), key=len, default={})
