from __future__ import annotations

from itertools import combinations, pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specdsl.equivalence.atlas.cell import Cell
from specdsl.equivalence.atlas.containment import closure, containment_of, reduction
from specdsl.equivalence.atlas.layout import layout_of

Sets = dict[str, frozenset[int]]


def relation(a: frozenset[int], b: frozenset[int]) -> str:
    return "=" if a == b else "<" if a < b else ">" if a > b else "x"


def cells_of(sets: Sets) -> dict[tuple[str, str], Cell]:
    return {
        (a, b): Cell(
            set=relation(sets[a], sets[b]), set_status="proved", dimension_a=len(sets[a]), dimension_b=len(sets[b])
        )
        for a, b in combinations(sets, 2)
    }


SETS: Sets = {
    "one": frozenset({1}), "also one": frozenset({1}), "two": frozenset({1, 2}), "three": frozenset({1, 2, 3}),
    "other": frozenset({7}),
}  # fmt: skip


def test_equal_methods_are_one_class_and_only_neighbours_are_joined() -> None:
    graph = containment_of(list(SETS), cells_of(SETS))
    assert graph.classes == (("one", "also one"), ("two",), ("three",), ("other",))
    assert graph.edges == {(0, 1), (1, 2)}
    assert graph.dimensions == {0: 1, 1: 2, 2: 3, 3: 1}
    assert graph.conflicts == ()


@given(st.lists(st.frozensets(st.integers(0, 5)), max_size=12))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_the_reduced_graph_says_the_same_as_all_containments(chosen: list[frozenset[int]]) -> None:
    sets = {str(place): one for place, one in enumerate(chosen)}
    graph = containment_of(list(sets), cells_of(sets))
    assert graph.conflicts == ()
    above = closure(graph.edges)
    for low, high in product(range(len(graph.classes)), repeat=2):
        is_smaller = sets[graph.classes[low][0]] < sets[graph.classes[high][0]]
        assert (high in above.get(low, set())) is is_smaller
    assert reduction(graph.edges) == graph.edges


@given(st.lists(st.frozensets(st.integers(0, 9)), min_size=1, max_size=40))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_boxes_never_overlap_and_what_contains_stands_above(chosen: list[frozenset[int]]) -> None:
    sets = {f"method_{place}": one for place, one in enumerate(chosen)}
    graph = containment_of(list(sets), cells_of(sets))
    layout = layout_of(graph)
    assert set(layout.boxes) == set(range(len(graph.classes)))
    for low, high in graph.edges:
        assert layout.boxes[high].y + layout.boxes[high].height < layout.boxes[low].y
    for a, b in combinations(layout.boxes.values(), 2):
        beside = a.x + a.width <= b.x or b.x + b.width <= a.x
        assert beside or a.y + a.height <= b.y or b.y + b.height <= a.y
    assert all(box.x >= 0 and box.x + box.width <= layout.width for box in layout.boxes.values())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({("one", "three"): "x"}, "`one` < `three` follows from other pairs, but the pair itself gives `x`"),
        ({("one", "three"): ">"}, "the containments run in a circle"),
        ({("one", "two"): "="}, "`also one` = `two` follows from other pairs, but the pair itself gives `<`"),
    ],
)
def test_verdicts_that_cannot_be_right_together_are_told(changed: dict[tuple[str, str], str], said: str) -> None:
    cells = cells_of(SETS) | {pair: Cell(set=sign) for pair, sign in changed.items()}
    conflicts = containment_of(list(SETS), cells).conflicts
    assert any(said in conflict or "circle" in conflict for conflict in conflicts)


def test_an_unknown_pair_says_nothing() -> None:
    cells = cells_of(SETS) | {("one", "three"): Cell()}
    assert containment_of(list(SETS), cells).conflicts == ()


def test_a_hundred_methods_are_laid_out() -> None:
    sets = {f"m{place}": frozenset(range(place % 10, place // 2)) for place in range(100)}
    graph = containment_of(list(sets), cells_of(sets))
    layout = layout_of(graph)
    assert layout.width < 1700
    rows = sorted({box.y + box.height / 2 for box in layout.boxes.values()})
    assert all(low < high for low, high in pairwise(rows))
