"""Where the boxes of a containment graph stand: in layers by dimension, smaller sets below what contains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from specdsl.equivalence.atlas.containment import Containment

LETTER = 7.9
"""The width of a letter of a label, in the units of the picture."""
LINE = 17.0
PADDING = 9.0
GAP = 16.0
LAYER_GAP = 64.0
WIDEST = 1500.0
LONGEST_LINE = 26
_SWEEPS = 12
_LAYERS = 8


@dataclass(frozen=True)
class Box:
    """One class of methods; `x` and `y` are its upper left corner."""

    number: int
    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float
    layer: int


@dataclass(frozen=True)
class Layout:
    boxes: Mapping[int, Box]
    width: float
    height: float


def layout_of(graph: Containment) -> Layout:
    """Place every class: those with neighbours in layers, the others in rows under them."""
    joined = {number for edge in graph.edges for number in edge}
    rows = [row for layer in reversed(_ordered(graph, _layers(graph, joined))) for row in _rows_of(graph, layer)]
    alone = [number for number in range(len(graph.classes)) if number not in joined]
    rows += [(-1, row) for row in _filled(graph, sorted(alone, key=lambda one: graph.classes[one]))]
    return _placed(graph, rows)


def label_lines(names: Sequence[str]) -> tuple[str, ...]:
    """The names of a class in lines that are not too long."""
    lines: list[str] = []
    for place, name in enumerate(names):
        text = name + ("," if place + 1 < len(names) else "")
        if lines and len(lines[-1]) + 1 + len(text) <= LONGEST_LINE:
            lines[-1] += f" {text}"
        else:
            lines.append(text)
    return tuple(lines)


def _layers(graph: Containment, joined: set[int]) -> dict[int, int]:
    """The layer of each class: as its dimension among all, but above everything that it contains."""
    below: dict[int, set[int]] = {number: set() for number in joined}
    for low, high in graph.edges:
        below[high].add(low)
    values = sorted(graph.dimensions[number] for number in joined if number in graph.dimensions)
    layer: dict[int, int] = {}
    for number in TopologicalSorter(below).static_order():
        least = max((layer[low] + 1 for low in below[number]), default=0)
        dimension = graph.dimensions.get(number)
        share = values.index(dimension) / len(values) if dimension is not None else 0.0
        layer[number] = max(least, int(share * _LAYERS))
    used = {value: place for place, value in enumerate(sorted(set(layer.values())))}
    return {number: used[value] for number, value in layer.items()}


def _ordered(graph: Containment, layer: Mapping[int, int]) -> list[list[int]]:
    """The classes of each layer from left to right, neighbours near each other."""
    layers: list[list[int]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for number in sorted(layer, key=lambda one: (graph.dimensions.get(one, 0), graph.classes[one])):
        layers[layer[number]].append(number)
    neighbours: dict[int, set[int]] = {number: set() for number in layer}
    for low, high in graph.edges:
        neighbours[low].add(high)
        neighbours[high].add(low)
    place = {one: (index + 0.5) / len(row) for row in layers for index, one in enumerate(row)}
    for sweep in range(_SWEEPS):
        for row in layers if sweep % 2 else reversed(layers):
            middle = {one: sum(place[other] for other in neighbours[one]) / len(neighbours[one]) for one in row}
            row.sort(key=lambda one: (middle[one], graph.classes[one]))
            place |= {one: (index + 0.5) / len(row) for index, one in enumerate(row)}
    return layers


def _rows_of(graph: Containment, layer: Sequence[int]) -> list[tuple[int, list[int]]]:
    """A layer as one row, or dealt out over several where it is too wide."""
    width = sum(_size(graph, number)[0] + GAP for number in layer)
    count = max(1, -(-int(width) // int(WIDEST)))
    return [(place, list(layer[place::count])) for place in range(count)]


def _filled(graph: Containment, numbers: Sequence[int]) -> list[list[int]]:
    rows: list[list[int]] = []
    used = WIDEST
    for number in numbers:
        width = _size(graph, number)[0] + GAP
        if used + width > WIDEST:
            rows.append([])
            used = 0.0
        rows[-1].append(number)
        used += width
    return rows


def _size(graph: Containment, number: int) -> tuple[float, float]:
    lines = label_lines(graph.classes[number])
    return max(map(len, lines)) * LETTER + 2 * PADDING, len(lines) * LINE + PADDING


def _placed(graph: Containment, rows: Sequence[tuple[int, Sequence[int]]]) -> Layout:
    widths = [sum(_size(graph, number)[0] + GAP for number in row) - GAP for _, row in rows]
    total = max([*widths, 200.0]) + 2 * GAP
    boxes: dict[int, Box] = {}
    y, was_alone = GAP, False
    for place, ((part, row), width) in enumerate(zip(rows, widths, strict=True)):
        is_alone = part < 0
        if place:
            y += LAYER_GAP if (is_alone and not was_alone) or (not is_alone and part == 0) else GAP
        x = (total - width) / 2
        height = max(_size(graph, number)[1] for number in row)
        for number in row:
            wide, high = _size(graph, number)
            boxes[number] = Box(
                number, label_lines(graph.classes[number]), x, y + (height - high) / 2, wide, high,
                -1 if is_alone else place,
            )  # fmt: skip
            x += wide + GAP
        y += height
        was_alone = is_alone
    return Layout(boxes, total, y + GAP)
