"""A base weight together with its decomposition: the parts are drawn, and W is formed from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.generic import Generic, Key
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.ir import Apply, Node, Site, topological
from specdsl.randomness import Stream

DECOMPOSITIONS = ("svd", "qr", "lu", "ldu", "eigh")
Parts = tuple[ExactArray, ...]


def base_decompositions(roots: Iterable[Node]) -> list[Apply]:
    """The decompositions of W itself that expressions read."""
    found = []
    for node in topological(roots):
        if isinstance(node, Apply) and node.operator in DECOMPOSITIONS:
            (argument,) = node.arguments
            if isinstance(argument, Site) and argument.name == "W":
                found.append(node)
    return found


def drawn_base(operators: set[str], generic: Generic, key: Key, n: int, m: int) -> tuple[ExactArray, dict[str, Parts]]:
    """`W : n x m`, and the parts of its decompositions by operator.

    Raises:
        NotExact: the parts of several decompositions of one W are not known together.
        NoPoint: signs of the parts are not decided.
    """
    if not operators:
        return generic.entries((*key, "W"), (n, m)), {}
    if operators == {"lu", "ldu"}:
        W, parts = _lu(generic, key, n, m)
        return W, {"lu": parts, "ldu": _ldu(generic.xp, parts)}
    if len(operators) > 1:
        raise NotExact(" and ".join(sorted(operators)), "two decompositions of one matrix")
    (operator,) = operators
    W, parts = _RULES[operator](generic, key, n, m)
    return W, {operator: parts}


def _svd(generic: Generic, key: Key, n: int, m: int) -> tuple[ExactArray, Parts]:
    k = min(n, m)
    U = generic.orthonormal((*key, "U"), (n, k))
    V = generic.orthonormal((*key, "V"), (k, m))
    S = generic.squares((*key, "S"), k)
    signs = largest_signs(generic.xp, U)
    U, V = U * signs, generic.xp.reshape(generic.xp.array(signs), (k, 1)) * V
    return U * S @ V, (U, S, V)


def largest_signs(xp: ExactArrays, U: ExactArray) -> Any:
    """The sign of every column's entry of largest magnitude; 1 in a field, where it stays undecided."""
    if not xp.ring.is_ordered:
        return np.ones(U.shape[-1], dtype=np.int64)
    magnitude, signs = xp.abs(U), []
    for column in range(U.shape[-1]):
        entries = magnitude[:, column]
        largest = [i for i in range(len(entries.value)) if not np.any(entries > entries[i : i + 1])]
        found = {bool(U[i : i + 1, column] > 0) for i in largest}
        if len(found) > 1:
            raise NoPoint("the largest entry of a singular vector is tied")
        signs.append(1 if found.pop() else -1)
    return np.array(signs)


def _qr(generic: Generic, key: Key, n: int, m: int) -> tuple[ExactArray, Parts]:
    k = min(n, m)
    Q = generic.orthonormal((*key, "Q"), (n, k))
    above = generic.xp.where(
        np.triu(np.ones((k, m), dtype=bool), 1), generic.entries((*key, "R"), (k, m)), 0
    )  # fmt: skip
    R = above + _on_diagonal(generic.xp, generic.squares((*key, "d"), k), k, m)
    return Q @ R, (Q, R)


def _on_diagonal(xp: ExactArrays, values: ExactArray, n: int, m: int) -> ExactArray:
    k = values.shape[0]
    square = xp.where(np.eye(k, dtype=bool), values, 0)
    made: ExactArray = xp.eye(n)[:, :k] @ square @ xp.eye(m)[:k]
    return made


def _lu(generic: Generic, key: Key, n: int, m: int) -> tuple[ExactArray, Parts]:
    """Pivots are chosen by size, which only an order knows; a field takes any."""
    if generic.xp.ring.is_ordered:
        raise NotExact("lu", "its pivots are chosen by size")
    xp, k = generic.xp, min(n, m)
    P = xp.array(np.eye(n, dtype=np.int64)[Stream("pivots", *key).permutation(n)])
    below = xp.where(np.tril(np.ones((n, k), dtype=bool), -1), generic.entries((*key, "L"), (n, k)), 0)
    L = below + xp.array(np.eye(n, k, dtype=np.int64))
    U = xp.where(np.triu(np.ones((k, m), dtype=bool)), generic.entries((*key, "U"), (k, m)), 0)
    return P @ L @ U, (P, L, U)


def _ldu(xp: ExactArrays, parts: Parts) -> Parts:
    P, L, U = parts
    k = U.shape[0]
    D = xp.einsum("kk->k", U[:, :k])
    return P, L, D, U / xp.reshape(D, (k, 1))


def _only_ldu(generic: Generic, key: Key, n: int, m: int) -> tuple[ExactArray, Parts]:
    W, parts = _lu(generic, key, n, m)
    return W, _ldu(generic.xp, parts)


def _eigh(generic: Generic, key: Key, n: int, m: int) -> tuple[ExactArray, Parts]:
    xp = generic.xp
    V = generic.orthogonal((*key, "V"), n)
    V = V * largest_signs(xp, V)
    if xp.ring.is_ordered:
        E = xp.array(np.sort(Stream("eigenvalues", *key).choose(4 * n, n)) - 2 * n)
    else:
        E = generic.entries((*key, "E"), (n,))
    drawn = generic.entries((*key, "skew"), (n, n))
    turned = xp.permute(V, (1, 0))
    return V * E @ turned + drawn - xp.permute(drawn, (1, 0)), (E, V)


_RULES: dict[str, Callable[[Generic, Key, int, int], tuple[ExactArray, Parts]]] = {
    "svd": _svd, "qr": _qr, "lu": _lu, "ldu": _only_ldu, "eigh": _eigh,
}  # fmt: skip
