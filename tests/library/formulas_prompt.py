"""The formulas of library_specs/prompt, in numpy: rows that come before those of the tokens."""

from __future__ import annotations

import numpy as np

from tests.library.literal import Array, Literal, relu


def rows_before(x: Array, W: Array, b: Array, P: Array) -> Array:
    return np.vstack([P, x @ W + b])


def fused_rows_before(x: Array, W: Array, b: Array, P: Array) -> Array:
    """What would be their query is zero."""
    return np.vstack([np.hstack([np.zeros((len(P), W.shape[1] // 3)), P]), x @ W + b])


def p_tuning(
    x: Array, W: Array, b: Array, P: Array, C: Array, c: Array, D: Array, d: Array, E: Array, e: Array
) -> Array:
    return np.vstack([relu(relu(P @ C + c) @ D + d) @ E + e, x @ W + b])


def prefix_tuning_mlp(x: Array, W: Array, b: Array, P: Array, C: Array, c: Array, D: Array, d: Array) -> Array:
    return np.vstack([np.tanh(P @ C + c) @ D + d, x @ W + b])


def multitask(x: Array, W: Array, b: Array, P: Array, C: Array, R: Array, task: Array) -> Array:
    return np.vstack([P * np.outer(C[int(task), :, 0], R[int(task), 0]), x @ W + b])


def cpt(x: Array, W: Array, b: Array, I: Array, D: Array, moves: Array) -> Array:  # noqa: E741
    return np.vstack([W[I] + moves[:, None] * D, x @ W + b])


FORMULAS: dict[str, Literal] = {
    "prompt_tuning": Literal(rows_before, {"k": 3}),
    "prefix_tuning": Literal(rows_before, {"k": 3}),
    "prefix_tuning_fused": Literal(fused_rows_before, {"k": 3}, sizes=((7, 6), (5, 9))),
    "cartridge": Literal(rows_before, {"k": 3}),
    "prefix_tuning_mlp": Literal(prefix_tuning_mlp, {"k": 3, "h": 4}),
    "p_tuning": Literal(p_tuning, {"k": 3, "h": 4}),
    "multitask_prompt_tuning": Literal(
        multitask, {"k": 3, "tasks": 4}, measured={"task": lambda random, n, m: np.array(2)}
    ),
    "cpt": Literal(cpt, {"k": 3}, places={"I": 5}),
}
