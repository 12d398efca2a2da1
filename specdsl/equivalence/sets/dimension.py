"""Dimensions of reachable sets: from below by ranks of Jacobians, from above by counting what cannot be seen.

From above: the dimensions of what the factors run over, less the directions in which they can move without moving
the value. Those directions are found among scalings, shifts of a matrix between neighbours, and each is an identity
of forms that is checked exactly; how many are independent is a rank at a point, which is never too large.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.forms.arrays import FormArrays
from specdsl.equivalence.forms.form import Form, Key, atom_form
from specdsl.equivalence.forms.index import NoForm
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.evaluate import PRIME, FieldPoint
from specdsl.equivalence.sets.image import Image, Space
from specdsl.sizes import Environment, Size

Side = tuple[str, int | None]
"""A factor and one of its axes; None where it is only multiplied by a number."""


def upper_bound(image: Image, sizes: Environment) -> int:
    """A number that the dimension of the image is never above, at these sizes."""
    total = sum(space.dimension(sizes) for space in image.factors.values())
    entries = sum(
        int(np.prod([size.integer(sizes) for size in form.axes], dtype=object)) for form in image.forms.values()
    )
    return min(total - _unseen(image, sizes), entries)


def lower_bound(image: Image, sizes: Environment, seed: int = 0) -> int:
    """The rank of the Jacobian of the forms at a point: the dimension is at least that.

    Raises:
        NotExact: a form has no value over the field, or is no polynomial in its factors.
    """
    point = FieldPoint(sizes, seed).over(image)
    rows = []
    for name, space in image.factors.items():
        token = space.key(name).token
        base = point.of_key(space.key(name))
        linear = [_linear_part(form, name) for form in image.forms.values()]
        for direction in _tangents(space, base, point):
            point.known[token] = direction
            rows.append(np.concatenate([point.value(form).ravel() for form in linear]))
        point.known[token] = base
    if not rows:
        return 0
    return elimination.rank(np.array([[int(entry) for entry in row] for row in rows], dtype=np.int64), PRIME)


def _linear_part(form: Form, name: str) -> Form:
    """The terms that read a factor, each once and directly, so that putting a direction in its place derives them."""
    terms = [term for term in form.terms.values() if name in term.trained]
    for term in terms:
        own = [atom for atom in term.atoms if name in atom.key.trained]
        if len(own) != 1 or own[0].key.kind != "trained" or own[0].power != 1:
            raise NotExact(name, "its derivative is not read off the form")
    return Form.of(form.axes, terms, form.world)


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
    rows: list[np.ndarray] = []
    for left, right, is_matrix in _gauges(image):
        rows.extend(_directions(image, point, left, right, is_matrix))
    if not rows:
        return 0
    return elimination.rank(np.array([[int(entry) for entry in row] for row in rows], dtype=np.int64), PRIME)


def _gauges(image: Image) -> Iterator[tuple[Side, Side, bool]]:
    """Pairs of factors that a matrix or a vector can be moved between, each checked as an identity of forms."""
    sides = [
        (name, axis)
        for name, space in image.factors.items()
        for axis in [None, *range(len(space.axes))]
        if space.range == "real" and not space.orthonormal and all(use.atom is not None for use in image.uses(name))
    ]
    for left_name, right_name in itertools.combinations(sorted({name for name, _ in sides}), 2):
        try:
            if _is_gauge(image, (left_name, None), (right_name, None), Size.of(1), False):
                yield (left_name, None), (right_name, None), False
        except NoForm:
            continue
    for left, right in itertools.combinations([side for side in sides if side[1] is not None], 2):
        assert left[1] is not None
        assert right[1] is not None
        size = image.factors[left[0]].axes[left[1]]
        if left[0] == right[0] or image.factors[right[0]].axes[right[1]] != size:
            continue
        for is_matrix in (True, False):
            try:
                if _is_gauge(image, left, right, size, is_matrix):
                    yield left, right, is_matrix
                    break
            except NoForm:
                continue


def _is_gauge(image: Image, left: Side, right: Side, size: Size, is_matrix: bool) -> bool:
    """Whether the value moves the same way when either factor is multiplied: so it does not move under both."""
    for form in image.forms.values():
        one = _moved(image, form, left, size, is_matrix, is_turned=False)
        other = _moved(image, form, right, size, is_matrix, is_turned=True)
        if one != other:
            return False
    return True


def _moved(image: Image, form: Form, side: Side, size: Size, is_matrix: bool, *, is_turned: bool) -> Form:
    """The derivative of a form along a factor multiplied over one axis."""
    name, axis = side
    own = Form.of(form.axes, [term for term in form.terms.values() if name in term.trained], form.world)
    value = values.factor(name, image.factors[name], image.world)
    if axis is None:
        return own.put({name: value})
    letters = "abcdefg"[: len(image.factors[name].axes)]
    at = letters[axis]
    arrays = FormArrays(image.world)
    if is_matrix:
        matrix = atom_form(Key("frozen", "a matrix", (size, size)), (size, size), image.world)
        pattern = f"{letters},{'z' + at if is_turned else at + 'z'}->{letters.replace(at, 'z')}"
        return own.put({name: arrays.einsum(pattern, value, matrix)})
    vector = atom_form(Key("frozen", "a vector", (size,)), (size,), image.world)
    return own.put({name: arrays.einsum(f"{letters},{at}->{letters}", value, vector)})


def _directions(image: Image, point: FieldPoint, left: Side, right: Side, is_matrix: bool) -> Iterator[np.ndarray]:
    """The moves of all factors' entries that a gauge allows, one row for each of its parameters."""
    arrays = {name: point.value(values.factor(name, space, image.world)) for name, space in image.factors.items()}
    if left[1] is None or right[1] is None:
        moved = {name: np.zeros_like(array) for name, array in arrays.items()}
        moved[left[0]], moved[right[0]] = arrays[left[0]], -arrays[right[0]]
        yield np.concatenate([moved[name].ravel() for name in sorted(moved)]) % PRIME
        return
    size = arrays[left[0]].shape[left[1]]
    pairs = itertools.product(range(size), repeat=2) if is_matrix else ((i, i) for i in range(size))
    for i, j in pairs:
        moved = {name: np.zeros_like(array) for name, array in arrays.items()}
        # left . E_ij over its axis, and - E_ij . right over its own
        _put(moved[left[0]], arrays[left[0]], left[1], j, i, 1)
        _put(moved[right[0]], arrays[right[0]], right[1], i, j, -1)
        yield np.concatenate([moved[name].ravel() for name in sorted(moved)]) % PRIME


def _put(moved: np.ndarray, array: np.ndarray, axis: int, to: int, source: int, sign: int) -> None:
    target = [slice(None)] * array.ndim
    origin = [slice(None)] * array.ndim
    target[axis], origin[axis] = to, source  # type: ignore[call-overload]
    moved[tuple(target)] = moved[tuple(target)] + sign * array[tuple(origin)]
