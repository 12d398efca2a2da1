"""The formulas of library_specs/activation, in numpy; x is tokens x n."""

from __future__ import annotations

import numpy as np

from tests.library.literal import RANK, SCALE, SCALED, Array, Literal, R, relu, sigmoid


def parallel_adapter(x: Array, W: Array, b: Array, A: Array, B: Array) -> Array:
    y: Array = x @ W + b + relu(x @ A) @ B
    return y


def houlsby(x: Array, W: Array, b: Array, A: Array, a: Array, B: Array, c: Array) -> Array:
    y: Array = x @ W + b
    h = y @ A + a
    y = y + h * sigmoid(h) @ B + c
    return y


def pfeiffer(x: Array, W: Array, b: Array, A: Array, a: Array, B: Array, c: Array) -> Array:
    y: Array = x @ W + b
    y = y + relu(y @ A + a) @ B + c
    return y


def adaptformer(x: Array, W: Array, b: Array, A: Array, a: Array, B: Array, c: Array) -> Array:
    y: Array = x @ W + b + 0.1 * (relu(x @ A + a) @ B + c)
    return y


def mam_down(x: Array, W: Array, b: Array, A: Array, a: Array, B: Array, c: Array) -> Array:
    y: Array = x @ W + b + 4 * relu(x @ A + a) @ B + c
    return y


def mam_prefix(x: Array, W: Array, b: Array, P: Array) -> Array:
    return np.concatenate([P, x @ W + b])


def alora(x: Array, W: Array, b: Array, active: Array, A: Array, B: Array) -> Array:
    return np.array([row @ W + b + SCALE * gate * row @ A @ B for row, gate in zip(x, active, strict=True)])


def slideredit(x: Array, W: Array, b: Array, slider: Array, mask: Array, A: Array, B: Array) -> Array:
    strength = slider * mask
    return np.array([row @ W + b + s * row @ A @ B for row, s in zip(x, strength, strict=True)])


def peft_with_controls(x: Array, W: Array, b: Array, A: Array, B: Array) -> Array:
    """Every token attends to every other one of its sequence."""
    Z = x @ A
    rows = []
    for token in Z:
        powers = np.exp([token @ other / np.sqrt(R) for other in Z])
        rows.append(sum(p * other for p, other in zip(powers / powers.sum(), Z, strict=True)))
    y: Array = x @ W + b + np.array(rows) @ B
    return y


def mmca(
    x: Array,
    W: Array,
    b: Array,
    t: Array,
    P: Array,
    T: Array,
    C: Array,
    D: Array,
    G: Array,
    e: Array,
    A: Array,
    B: Array,
) -> Array:  # fmt: skip
    pooled, text = np.mean(x @ P, axis=0), t @ T
    mixed = text + sigmoid(relu((pooled + text) @ C) @ D) * pooled
    y: Array = x @ W + b + ((x @ A) * (mixed @ G + e)) @ B
    return y


def loreft(x: Array, W: Array, b: Array, R: Array, C: Array, c: Array) -> Array:
    y = x @ W + b
    changed: Array = y + (y @ C + c - y @ R) @ R.T
    return changed


def ssf(x: Array, W: Array, b: Array, g: Array, d: Array) -> Array:
    y: Array = (x @ W + b) * g + d
    return y


FORMULAS: dict[str, Literal] = {
    "parallel_adapter": Literal(parallel_adapter, RANK),
    "mpc_n": Literal(parallel_adapter, RANK),
    "houlsby": Literal(houlsby, RANK),
    "pfeiffer": Literal(pfeiffer, RANK),
    "adaptformer": Literal(adaptformer, RANK),
    "mam": Literal(mam_prefix, {"k": 3}, part=0),
    "mam, mlp.down": Literal(mam_down, RANK, part=1),
    "alora": Literal(alora, SCALED),
    "slideredit": Literal(slideredit, RANK),
    "peft_with_controls": Literal(peft_with_controls, RANK),
    "mmca": Literal(mmca, {**RANK, "h": 3}),
    "loreft": Literal(loreft, RANK),
    "ssf": Literal(ssf),
}
