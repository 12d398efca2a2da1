"""Dimensions of reachable sets: from below by ranks of Jacobians, from above by counting what cannot be seen.

From above: the dimensions of what the factors run over, less the directions in which they can move without moving
the value (see `gauges`); how many of those are independent is a rank at a point, which is never too large.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.sets.derivative import derived, direction
from specdsl.equivalence.sets.evaluate import PRIME, FieldPoint
from specdsl.equivalence.sets.gauges import gauges
from specdsl.equivalence.sets.image import Image, Space
from specdsl.sizes import Environment


def upper_bound(image: Image, sizes: Environment) -> int:
    """A number that the dimension of the image is never above, at these sizes."""
    total = sum(space.dimension(sizes) for space in image.factors.values())
    total -= _unseen(image, sizes)
    if any("x" in form.reads for form in image.forms.values()):
        return total  # a function of x is more than its values at some tokens
    entries = sum(
        int(np.prod([size.integer(sizes) for size in form.axes], dtype=object)) for form in image.forms.values()
    )
    return min(total, entries)


def lower_bound(image: Image, sizes: Environment, seed: int = 0) -> int:
    """The rank of the Jacobian of the forms at a point: the dimension is at least that.

    Raises:
        NotExact: a form has no value over the field.
        NoForm: a factor stands inside an operator.
    """
    point = FieldPoint(sizes, seed).over(image)
    rows = []
    for name, space in image.factors.items():
        moving = [derived(form, name, space) for form in image.forms.values()]
        for tangent in _tangents(space, point.of_key(space.key(name)), point):
            point.known[direction(space).token] = tangent
            rows.append(np.concatenate([point.value(form).ravel() for form in moving]))
    if not rows:
        return 0
    return elimination.rank(np.array([[int(entry) for entry in row] for row in rows], dtype=np.int64), PRIME)


def _tangents(space: Space, base: np.ndarray, point: FieldPoint) -> Iterator[np.ndarray]:
    """The directions in which a factor can move."""
    if space.rank is not None:
        yield from _low_rank_tangents(base, min(point.integer(space.rank), *base.shape), point)
    elif space.range in ("rotations", "reflections") or space.orthonormal:
        if space.range != "rotations":
            raise NotExact("orthonormal", "its directions are not written down")
        size = base.shape[-1]
        stack = base.reshape(-1, size, size)
        for place, (i, j) in itertools.product(range(len(stack)), itertools.combinations(range(size), 2)):
            turn = np.zeros((size, size), dtype=object)
            turn[i, j], turn[j, i] = 1, PRIME - 1
            moved = np.zeros_like(stack)
            moved[place] = stack[place].dot(turn) % PRIME
            yield moved.reshape(base.shape)
    else:
        for entry in np.ndindex(*base.shape):
            one = np.zeros(base.shape, dtype=object)
            one[entry] = 1
            yield one


def _low_rank_tangents(base: np.ndarray, rank: int, point: FieldPoint) -> Iterator[np.ndarray]:
    """`E @ R` and `L @ E` for base = L @ R, with L its first columns' span and R its rows'."""
    n, m = base.shape
    mix_left = point.generic.entries((point.seed, "columns mixed"), (m, rank)).value.astype(object)
    mix_right = point.generic.entries((point.seed, "rows mixed"), (rank, n)).value.astype(object)
    left, right = base.dot(mix_left) % PRIME, mix_right.dot(base) % PRIME
    for i, k in itertools.product(range(n), range(rank)):
        moved = np.zeros((n, m), dtype=object)
        moved[i] = right[k]
        yield moved
    for k, j in itertools.product(range(rank), range(m)):
        moved = np.zeros((n, m), dtype=object)
        moved[:, j] = left[:, k]
        yield moved


def _unseen(image: Image, sizes: Environment) -> int:
    """How many independent directions of the factors leave the value as it is."""
    point = FieldPoint(sizes).over(image)
    arrays = {name: point.of_key(space.key(name)) for name, space in image.factors.items()}
    rows = [
        np.concatenate([np.ravel(moved[name]) for name in sorted(moved)]) % PRIME
        for gauge in gauges(image)
        for moved in gauge.moves(arrays)
    ]
    return elimination.rank(np.array(rows, dtype=np.int64), PRIME) if rows else 0
