"""What every operator is, written out with loops and indices and without the code under test.

FORMULAS gives the value, PROPERTIES checks a value that is defined by what holds of it, DRAWS checks a random
start.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import einops
import numpy as np
from numpy.testing import assert_allclose


def each(function: Callable[[float], float]) -> Callable[..., Any]:
    return np.vectorize(function, otypes=[float])


def table(shape: Any, entry: Callable[..., Any]) -> Any:
    """The array of a shape whose entry at i, j, ... is `entry(i, j, ...)`."""
    result = np.zeros(shape)
    for place in np.ndindex(*result.shape):
        result[place] = entry(*place)
    return result


def stacked(function: Callable[..., Any], axes: int) -> Callable[..., Any]:
    """`function` on the last `axes` axes, for every place of the leading ones."""

    def apply(A: Any, **options: Any) -> Any:
        leading = A.shape[: A.ndim - axes]
        parts = [function(A[place], **options) for place in np.ndindex(*leading)]
        return np.reshape(parts, leading + np.shape(parts[0]))

    return apply


def extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def formula(*arrays: Any) -> Any:
        return choose(arrays[0].flat) if len(arrays) == 1 else np.vectorize(choose, otypes=[float])(*arrays)

    return formula


def along(function: Callable[[Any], float]) -> Callable[..., Any]:
    def formula(A: Any, axis: int | None = None) -> Any:
        return function(A.ravel()) if axis is None else np.apply_along_axis(function, axis, A)

    return formula


def rank(A: Any, place: tuple[int, ...]) -> int:
    """How many entries are larger, or as large and earlier."""
    earlier = np.arange(A.size).reshape(A.shape) < np.ravel_multi_index(place, A.shape)
    entry = A[place]
    return int(np.sum((entry < A) | ((entry == A) & earlier)))


def chosen(A: Any, k: float) -> Any:
    count = max(1, math.floor(k * A.size)) if k < 1 else k
    return table(A.shape, lambda *place: rank(A, place) < count)


def rounded(A: Any, bits: int) -> Any:
    steps = [max(abs(entry) for entry in column) / (2 ** (bits - 1) - 1) for column in A.T]
    return table(A.shape, lambda i, j: steps[j] * math.floor(A[i, j] / steps[j] + 0.5))


def reflections(U: Any) -> Any:
    product = np.eye(len(U))
    for u in U.T:
        product = product @ (np.eye(len(U)) - 2 * np.outer(u, u) / np.dot(u, u))
    return product


def cayley(Q: Any, terms: int | None = None) -> Any:
    one = np.eye(len(Q))
    if terms is None:
        return (one - Q) @ np.linalg.inv(one + Q)
    powers = [np.linalg.matrix_power(-Q, i) for i in range(terms)]
    return powers[0] + sum((2 * power for power in powers[1:-1]), 0 * one) + powers[-1]


def skew_from(q: Any) -> Any:
    k = next(k for k in itertools.count() if k * (k - 1) // 2 == len(q))
    matrix, entries = np.zeros((k, k)), iter(q)
    for i in range(k):
        for j in range(i + 1, k):
            matrix[i, j] = next(entries)
            matrix[j, i] = -matrix[i, j]
    return matrix


def lower_from(v: Any) -> Any:
    k = next(k for k in itertools.count() if k * (k + 1) // 2 == len(v))
    matrix, entries = np.zeros((k, k)), iter(v)
    for i in range(k):
        for j in range(i + 1):
            matrix[i, j] = next(entries)
    return matrix


def sym_from(v: Any) -> Any:
    matrix = lower_from(v)
    return matrix + np.tril(matrix, -1).T


def tiled(M: Any, rows: int, cols: int | None = None) -> Any:
    a, b = M.shape
    return table((rows, cols or b), lambda i, j: M[i % a, j % b])


def blocked(M: Any, p: int, q: int) -> Any:
    n, m = M.shape
    return table((n // p, m // q, p, q), lambda i, j, a, b: M[i * p + a, j * q + b])


def blockdiag(*parts: Any) -> Any:
    parts = tuple(parts[0]) if parts[0].ndim == 3 else parts
    rows = [[part if i == j else np.zeros((len(part), other.shape[1])) for j, other in enumerate(parts)]
            for i, part in enumerate(parts)]  # fmt: skip
    return np.block(rows)


def einsum(*arrays: Any, pattern: str) -> Any:
    left, right = pattern.split("->")
    axes = [part.split() for part in left.split(",")]
    size = {n: s for names, A in zip(axes, arrays, strict=True) for n, s in zip(names, A.shape, strict=True)}
    result = np.zeros([size[name] for name in right.split()])
    for values in itertools.product(*(range(s) for s in size.values())):
        at = dict(zip(size, values, strict=True))
        factors = [A[tuple(at[name] for name in names)] for names, A in zip(axes, arrays, strict=True)]
        result[tuple(at[name] for name in right.split())] += math.prod(factors)
    return result


def indexed(A: Any, items: Any) -> Any:
    wanted = []
    for item, size in zip(items, A.shape, strict=False):
        start, stop, step = item if isinstance(item, tuple) else (item, item + 1, 1)
        wanted.append([i for i in range(size) if i in range(start or 0, size if stop is None else stop, step or 1)])
    taken = A[np.ix_(*wanted, *(range(size) for size in A.shape[len(items) :]))]
    return np.squeeze(taken, tuple(axis for axis, item in enumerate(items) if not isinstance(item, tuple)))


def butterfly(n: int, k: int, i: int) -> Any:
    half, order = n // (2 * k), []
    for group in range(k // 2**i):
        halves = range(2 * 2**i) if i else range(2)
        for position in [h for h in halves if h % 2 == 0] + [h for h in halves if h % 2 == 1]:
            first = (group * 2 * 2**i + position) * half
            order += range(first, first + half)
    return np.array(order)


def scattered(v: Any, places: Any, n: int, m: int) -> Any:
    value = dict(zip(places.tolist(), v, strict=True))
    return table((n, m), lambda i, j: value.get(i * m + j, 0.0))


def rows_put(M: Any, places: Any, P: Any) -> Any:
    row = {int(place): position for position, place in enumerate(places)}
    return table(M.shape, lambda i, j: P[row[i], j] if i in row else M[i, j])


def gram_difference(A: Any, squared: bool = True, tol: float = 0.0) -> float:
    small = A.T @ A if len(A) >= A.shape[1] else A @ A.T
    total = sum(float(entry) ** 2 for entry in (small - np.identity(len(small))).flat)
    return max(0.0, (total if squared else math.sqrt(total)) - tol)


def wave(A: Any, sign: int) -> Any:
    n, m = A.shape
    rows = np.array([[np.exp(sign * 2j * math.pi * i * k / n) for i in range(n)] for k in range(n)])
    columns = np.array([[np.exp(sign * 2j * math.pi * j * k / m) for k in range(m)] for j in range(m)])
    return rows @ A @ columns


def permuted(M: Any, p: Any, both: bool = False) -> Any:
    P = np.array([[float(column == place) for column in range(len(p))] for place in p])
    return P @ M @ P.T if both else P @ M


FORMULAS: dict[str, Callable[..., Any]] = {
    # products
    "add": lambda A, *more: sum(more, A),
    "negative": lambda A: 0 - A,
    "matmul": lambda A, B, *more: np.linalg.multi_dot([A, B, *more]),
    "scale": lambda s, A: each(lambda a: float(s) * a)(A),
    "times": lambda A, B: table(A.shape, lambda *i: A[i] * B[i]),
    "divide": lambda A, B: table(A.shape, lambda *i: A[i] / B[i]),
    "elpower": lambda A, exponent: each(lambda a: a**exponent)(A),
    "matpower": lambda A, exponent: np.linalg.matrix_power(A, exponent),
    "transpose": stacked(lambda A: table(A.shape[::-1], lambda i, j: A[j, i]), 2),
    "hcat": lambda *parts: np.hstack(parts),
    "vcat": lambda *parts: np.vstack(parts),
    "numbers": lambda *entries: np.array([float(entry) for entry in entries]),
    "fill": lambda number, shape: table(shape, lambda *i: float(number)),
    "stop": lambda A: A,
    # elementwise
    "relu": each(lambda a: max(a, 0.0)),
    "gelu": each(lambda a: a * NormalDist().cdf(a)),
    "silu": each(lambda a: a / (1 + math.exp(-a))),
    "tanh": each(lambda a: (math.exp(a) - math.exp(-a)) / (math.exp(a) + math.exp(-a))),
    "sigmoid": each(lambda a: 1 / (1 + math.exp(-a))),
    "softmax": stacked(lambda v: [math.exp(a) / sum(map(math.exp, v)) for a in v], 1),
    "exp": each(math.exp),
    "log": each(math.log),
    "sin": each(math.sin),
    "cos": each(math.cos),
    "sqrt": each(math.sqrt),
    "abs": each(math.fabs),
    "sign": each(lambda a: (a > 0) - (a < 0)),
    "floor": each(math.floor),
    "ceil": each(math.ceil),
    "clamp": lambda A, low, high: each(lambda a: low if a < low else high if a > high else a)(A),
    "dropout": lambda A, p: A,
    "real": lambda A: A.real,
    # structure
    "diag": stacked(lambda v: table((len(v), len(v)), lambda i, j: v[i] if i == j else 0.0), 1),
    "eye": lambda size: table((size, size), lambda i, j: i == j),
    "ones": lambda shape: table(shape, lambda *i: 1.0),
    "zeros": lambda shape: table(shape, lambda *i: 0.0),
    "outer": lambda u, v: table((len(u), len(v)), lambda i, j: u[i] * v[j]),
    "kron": np.kron,
    "circulant": stacked(lambda v: np.array([np.roll(v, j) for j in range(len(v))]).T, 1),
    "lower": stacked(lambda A: table(A.shape, lambda i, j: A[i, j] if i >= j else 0.0), 2),
    "upper": stacked(lambda A: table(A.shape, lambda i, j: A[i, j] if i <= j else 0.0), 2),
    "sym": stacked(lambda A: table(A.shape, lambda i, j: (A[i, j] + A[j, i]) / 2), 2),
    "skew": stacked(lambda A: table(A.shape, lambda i, j: (A[i, j] - A[j, i]) / 2), 2),
    "skew_from": stacked(skew_from, 1),
    "lower_from": stacked(lower_from, 1),
    "sym_from": stacked(sym_from, 1),
    "cayley": stacked(cayley, 2),
    "householder": stacked(reflections, 2),
    # layouts
    "tile": tiled,
    "blocks": blocked,
    "times_kron": lambda X, A, B: X @ np.kron(A, B),
    "unblocks": lambda B: np.block([list(row) for row in B]),
    "blockdiag": blockdiag,
    "reshape": lambda M, shape: np.array(list(M.flat)).reshape(shape),
    "rearrange": lambda M, pattern, sizes=(): einops.rearrange(M, pattern, **dict(sizes)),
    "einsum": einsum,
    # indexing
    "put_rows": rows_put,
    "columns": lambda M, places: np.array([[row[place] for place in places] for row in M]).reshape(len(M), len(places)),
    "scale_rows": lambda v, M: table(M.shape, lambda *place: v[place[:-1]] * M[place]),
    "stack": lambda *entries: np.array([list(entry) for entry in entries]),
    "take": lambda v, places: np.array([v[place] for place in places]),
    "slice": indexed,
    "scatter": scattered,
    "permute": permuted,
    "butterfly": butterfly,
    "pairs": stacked(lambda M: table(M.shape, lambda i, j: M[i, j - j % 2]), 2),
    "top": chosen,
    "bottom": lambda A, k: chosen(-A, k),
    "keep": stacked(lambda v, k: [a if rank(v, (i,)) < k else -math.inf for i, a in enumerate(v)], 1),
    "count": lambda A: sum(1 for entry in A.flat if entry != 0),
    "quantise": stacked(rounded, 2),
    # norms
    "norm": lambda A: math.sqrt(sum(entry**2 for entry in A.flat)),
    "rownorm": stacked(lambda v: math.hypot(*v), 1),
    "colnorm": stacked(lambda A: [math.hypot(*column) for column in A.T], 2),
    "trace": lambda A: sum(A[i, i] for i in range(len(A))),
    "sum": along(math.fsum),
    "mean": along(lambda v: math.fsum(v) / len(v)),
    "rowmean": stacked(lambda v: math.fsum(v) / len(v), 1),
    "colmean": stacked(lambda A: [math.fsum(column) / len(column) for column in A.T], 2),
    "max": extreme(max),
    "min": extreme(min),
    "orth": gram_difference,
    "layernorm": stacked(lambda v: (v - np.mean(v)) / np.sqrt(np.var(v) + 1e-5), 1),
    # spectral
    "fft2": stacked(lambda A: wave(A, -1), 2),
    "ifft2": stacked(lambda A: wave(A, 1) / A.size, 2),
}  # fmt: skip


def swapped(A: Any) -> Any:
    return np.swapaxes(A, -1, -2)


def assert_orthonormal_columns(Q: Any) -> None:
    identity = np.broadcast_to(np.eye(Q.shape[-1]), (*Q.shape[:-2], Q.shape[-1], Q.shape[-1]))
    assert_allclose(swapped(Q) @ Q, identity, atol=1e-12)


def assert_signs(U: Any) -> None:
    """In every column the entry of largest magnitude is positive."""
    largest = np.take_along_axis(U, np.argmax(np.abs(U), -2)[..., None, :], -2)
    assert np.all(largest > 0)


def is_svd(parts: Any, A: Any) -> None:
    U, S, V = parts
    assert_allclose((U * S[..., None, :]) @ V, A, atol=1e-12)
    assert_orthonormal_columns(U)
    assert_orthonormal_columns(swapped(V))
    assert np.all(S >= 0)
    assert np.all(np.diff(S, axis=-1) <= 0)
    assert_signs(U)


def is_qr(parts: Any, A: Any) -> None:
    Q, R = parts
    assert_allclose(Q @ R, A, atol=1e-12)
    assert_orthonormal_columns(Q)
    assert_allclose(R, np.triu(R))
    assert np.all(np.diagonal(R, axis1=-2, axis2=-1) >= 0)


def is_lu(parts: Any, A: Any) -> None:
    P, L, U = parts
    assert_allclose(P @ L @ U, A, atol=1e-12)
    assert sorted(P.sum(0)) == sorted(P.sum(1)) == [1.0] * len(A)
    assert set(P.flat) <= {0.0, 1.0}
    assert_allclose(L, np.tril(L, -1) + np.eye(*L.shape))
    assert np.all(np.abs(L) <= 1)
    assert_allclose(U, np.triu(U))


def is_ldu(parts: Any, A: Any) -> None:
    P, L, D, U = parts
    is_lu((P, L, D[:, None] * U), A)
    assert_allclose(np.diagonal(U), 1.0)


def is_eigh(parts: Any, A: Any) -> None:
    E, V = parts
    assert_allclose((V * E[..., None, :]) @ swapped(V), (A + swapped(A)) / 2, atol=1e-12)
    assert_orthonormal_columns(V)
    assert np.all(np.diff(E, axis=-1) >= 0)
    assert_signs(V)


def is_inverse(X: Any, A: Any) -> None:
    assert_allclose(X @ A, np.broadcast_to(np.eye(A.shape[-1]), A.shape), atol=1e-12)


def is_pseudoinverse(X: Any, A: Any) -> None:
    for left, right in [(A @ X @ A, A), (X @ A @ X, X), (swapped(A @ X), A @ X), (swapped(X @ A), X @ A)]:
        assert_allclose(left, right, atol=1e-9)


PROPERTIES: dict[str, Callable[..., None]] = {
    "svd": is_svd, "qr": is_qr, "lu": is_lu, "ldu": is_ldu, "eigh": is_eigh,
    "inverse": is_inverse, "pinv": is_pseudoinverse,
}  # fmt: skip


def between(values: Any, low: float, high: float) -> None:
    """All values lie between the ends, and many of them spread over the whole range."""
    assert np.all((low <= values) & (values <= high))
    if values.size > 1000:
        assert_allclose([values.min(), values.max()], [low, high], atol=0.02 * (high - low))
        assert_allclose(values.mean(), (low + high) / 2, atol=0.03 * (high - low))


def is_kaiming(values: Any, fan: int | None = None) -> None:
    bound = 1 / math.sqrt(values.shape[0] if fan is None else fan)
    between(values, -bound, bound)


def is_xavier(values: Any) -> None:
    bound = math.sqrt(6 / sum(values.shape))
    between(values, -bound, bound)


def is_normal(values: Any, std: float = 1.0) -> None:
    if values.size > 1000:
        expected = [NormalDist(0, std).inv_cdf(share) for share in (0.05, 0.3, 0.5, 0.8, 0.99)]
        assert_allclose(np.quantile(values, (0.05, 0.3, 0.5, 0.8, 0.99)), expected, atol=0.15 * std)


def is_balanced(values: Any, n: int) -> None:
    counts = np.bincount(values.ravel(), minlength=n)
    assert len(counts) == n
    assert counts.max() - counts.min() <= 1


def is_choice(values: Any, n: int) -> None:
    assert len(set(values.flat)) == values.size
    assert set(values.flat) <= set(range(n))


DRAWS: dict[str, Callable[..., None]] = {
    "kaiming": is_kaiming,
    "xavier": is_xavier,
    "normal": is_normal,
    "uniform": lambda values, low, high: between(values, low, high),
    "orthogonal": lambda Q: assert_orthonormal_columns(Q if len(Q) >= Q.shape[1] else Q.T),
    "choice": is_choice,
    "balanced": is_balanced,
}
