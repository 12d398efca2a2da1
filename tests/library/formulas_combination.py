"""The formulas of library_specs/combination, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.library.formulas_rotations import rotation
from tests.library.literal import RANK, SCALE, SCALED, Array, Literal, R, relu, svd

STRENGTH = 0.75


def dora(W: Array, b: Array, A: Array, B: Array, g: Array) -> Any:
    V = W + SCALE * A @ B
    return g * V / np.sqrt(np.sum(V**2, axis=0))


def hydra(W: Array, b: Array, A: Array, B: Array, C: Array, D: Array) -> Any:
    return W + SCALE * A @ B + SCALE * W @ C @ D, b + SCALE * b @ C @ D


def spectral_adapter(W: Array, b: Array, A: Array, B: Array) -> Any:
    U, S, V = svd(W)
    U[:, :R] += A
    V[:R] += B
    return U @ np.diag(S) @ V


def spectral_adapter_r(W: Array, b: Array, P: Array, Q: Array) -> Any:
    U, S, V = svd(W)
    U[:, :R] = U[:, :R] @ rotation((P - P.T) / 2)
    V[:R] = rotation((Q - Q.T) / 2) @ V[:R]
    return U @ np.diag(S) @ V


def svdiff(W: Array, b: Array, d: Array) -> Any:
    U, S, V = svd(W)
    return U @ np.diag(relu(S + STRENGTH * d)) @ V


def bone_affine(W: Array, b: Array, D: Array) -> Any:
    changed = W.copy()
    for i, j in np.ndindex(W.shape[0] // R, W.shape[1] // R):
        block = np.ix_(range(R * i, R * i + R), range(R * j, R * j + R))
        changed[block] = W[block] + D[j] @ W[block] + D[j]
    return changed


def rosa(W: Array, b: Array, M: Array, A: Array, B: Array, D: Array) -> Any:
    return W + SCALE * A @ B + M * D


def intruder_dimensions(W: Array, b: Array, A: Array, B: Array) -> Any:
    """Of the 3 largest directions, those that no direction of W comes near keep three quarters."""
    V = W + SCALE * A @ B
    known = np.linalg.svd(W, full_matrices=False)[2]
    P, T, Q = np.linalg.svd(V, full_matrices=False)
    intruders = [i for i in range(3) if max(abs(known @ Q[i])) < 0.8]
    assert len(intruders) > 0
    return V - sum(0.25 * T[i] * np.outer(P[:, i], Q[i]) for i in intruders)


FORMULAS: dict[str, Literal] = {
    "dora": Literal(dora, SCALED),
    "hydra": Literal(hydra, SCALED),
    "spectral_adapter": Literal(spectral_adapter, RANK),
    "spectral_adapter_r": Literal(spectral_adapter_r, RANK),
    "svdiff": Literal(svdiff, {"s": STRENGTH}),
    "bone_affine": Literal(bone_affine, RANK, ((6, 4), (4, 8))),
    "rosa": Literal(rosa, SCALED, masks=("M",)),
    "intruder_dimensions": Literal(intruder_dimensions, {**SCALED, "k": 3, "eps": 0.8}),
}
