"""The formulas of the rotations and reflections in library_specs/reconstruction, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.library.literal import RANK, Array, Literal


def skew(entries: Array, k: int) -> Array:
    Q = np.zeros((k, k))
    Q[np.triu_indices(k, 1)] = entries
    return Q - Q.T


def rotation(Q: Array) -> Array:
    eye = np.eye(len(Q))
    turned: Array = (eye - Q) @ np.linalg.inv(eye + Q)
    return turned


def in_blocks(W: Array, blocks: list[Array]) -> Array:
    rows = np.split(W, len(blocks))
    return np.concatenate([block @ row for block, row in zip(blocks, rows, strict=True)])


def oft(W: Array, b: Array, q: Array) -> Any:
    return in_blocks(W, [rotation(skew(entries, 3)) for entries in q])


def oft_shared(W: Array, b: Array, q: Array) -> Any:
    return in_blocks(W, 2 * [rotation(skew(q, 3))])


def oftv2(W: Array, b: Array, q: Array) -> Any:
    found = []
    for entries in q:
        Q = skew(entries, 3)
        found.append(np.eye(3) - 2 * Q + 2 * Q @ Q - 2 * Q @ Q @ Q + Q @ Q @ Q @ Q)
    return in_blocks(W, found)


def boft(W: Array, b: Array, G: Array, g: Array) -> Any:
    """Two factors of four blocks: the second joins the halves of neighbouring blocks."""
    halves = np.eye(8)[[0, 2, 1, 3, 4, 6, 5, 7]]
    turned = W
    for factor, place in zip(G, (np.eye(8), halves), strict=True):
        blocks = [rotation((block - block.T) / 2) for block in factor]
        turned = place @ in_blocks(place.T @ turned, blocks)
    return turned * g


def hra(W: Array, b: Array, U: Array) -> Any:
    turned = W
    for u in U.T:
        turned = turned - 2 * np.outer(u, u @ turned) / (u @ u)
    return turned


def hra_gs(W: Array, b: Array, U: Array) -> Any:
    return W - 2 * U @ np.linalg.pinv(U) @ W


BLOCKS = ((6, 5), (6, 7))
FORMULAS: dict[str, Literal] = {
    "oft": Literal(oft, {"k": 3}, BLOCKS),
    "coft": Literal(oft, {"k": 3}, BLOCKS),
    "oft_shared": Literal(oft_shared, {"k": 3}, BLOCKS),
    "oftv2": Literal(oftv2, {"k": 3}, BLOCKS),
    "boft": Literal(boft, {"k": 2}, ((8, 5),)),
    "hra": Literal(hra, RANK),
    "hra_gs": Literal(hra_gs, RANK),
}
