"""Gauges: directions of the factors that leave the value as it is, and the dimensions that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from specdsl.equivalence.cells import question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.decide import equivalent
from specdsl.equivalence.exact.jacobian import dimension_lower_bound
from specdsl.equivalence.reach import images
from specdsl.equivalence.sets.dimension import lower_bound, upper_bound
from specdsl.equivalence.sets.gauges import gauges
from specdsl.equivalence.sets.image import Image
from specdsl.sizes import Environment
from tests.equivalence.consistency import both

KINDS = {
    "W + A@B": {"number": 1, "numbers": 1, "matrices": 1},
    "W + A@diag(d)@B | d ~ ones": {"number": 2, "numbers": 2},
    "W + A@G@A.T | A : n x r ~ kaiming | G : r x r ~ zeros": {"number": 1, "numbers": 1, "matrices": 1},
    "W + A@A.T | A : n x r ~ kaiming | starts: elsewhere": {"skew": 1},
    "W + (A@B) .* (C@D)": {"number": 3, "numbers": 4, "matrices": 2},
    "W + kron(A, B) | A : 2 x 2 ~ zeros | B : n/2 x m/2 ~ kaiming": {"number": 1},
    "diag(s)@W@diag(t)": {"number": 1},
    "W + X | X : n x m ~ zeros": {},
    "W + A@tanh(A.T@B) | A : n x r ~ normal | B : n x m ~ zeros": {},
}
DIMENSIONS: dict[str, Callable[[int, int, int], int]] = {
    "W + A@B": lambda n, m, r: r * (n + m - r),
    "W + A@G@A.T | A : n x r ~ kaiming | G : r x r ~ zeros": lambda n, m, r: n * r,
    "W + A@A.T | A : n x r ~ kaiming | starts: elsewhere": lambda n, m, r: n * r - r * (r - 1) // 2,
    "W + (A@B) .* (C@D)": lambda n, m, r: 2 * r * (n + m - r) - (n + m - 1),
    "W + A@B@C | B : r x r ~ zeros": lambda n, m, r: r * (n + m - r),
    "diag(s)@W@diag(t)": lambda n, m, r: n + m - 1,
    "W + kron(A, B) | A : 2 x 2 ~ zeros | B : n/2 x m/2 ~ kaiming": lambda n, m, r: 4 + n * m // 4 - 1,
}


def unreduced(text: str) -> tuple[Image, Environment]:
    one, other = both(text, text)
    cell = question(one, other, Conditions.of(["n = m"] if "A.T" in text else [])).cells[0]
    return images(one, other, cell, cell.world())[0], cell.samples[0]


@pytest.mark.parametrize("text", KINDS)
def test_the_gauges_of_a_map_are_found(text: str) -> None:
    image, _ = unreduced(text)
    assert Counter(one.kind for one in gauges(image)) == KINDS[text]


@pytest.mark.parametrize("text", DIMENSIONS)
def test_both_bounds_are_the_dimension(text: str) -> None:
    image, sizes = unreduced(text)
    wanted = DIMENSIONS[text](*(int(sizes[name]) for name in ("n", "m", "r")))
    assert lower_bound(image, sizes) == upper_bound(image, sizes) == wanted
    assert dimension_lower_bound(both(text, text)[0], sizes).dimension == wanted


def test_a_set_of_functions_of_x_is_larger_than_their_values_at_some_tokens() -> None:
    found = equivalent("y + ((x@A).*(x@A))@B + x@C | C : n x m ~ zeros", "y + x@C + d | C : n x m ~ zeros", sense="set")
    assert not found.dimension.proved_a
