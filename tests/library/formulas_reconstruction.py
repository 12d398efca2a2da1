"""The formulas of library_specs/reconstruction, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.library import formulas_rotations
from tests.library.literal import RANK, SCALE, SCALED, Array, Literal, R, relu, sigmoid, svd

# ------------------------------------------------------------------------------------------- entries, rows, columns


def same(W: Array, b: Array, D: Array, d: Array) -> Any:
    return D, d


def shifted(W: Array, b: Array, d: Array) -> Any:
    return W, b + d


def s_bitfit(W: Array, b: Array, g: Array, d: Array) -> Any:
    return W, b + g * d


def ia3(W: Array, b: Array, l: Array) -> Any:  # noqa: E741
    return W * l, b * l


def ia3_down(W: Array, b: Array, k: Array) -> Any:
    return W * k[:, None], b


def ssl(W: Array, b: Array, l: Array) -> Any:  # noqa: E741
    return W * l[:, None]


def ssb(W: Array, b: Array, k: Array, l: Array) -> Any:  # noqa: E741
    return W * np.outer(k, l)


def ln_tuning(W: Array, b: Array, g: Array, d: Array) -> Any:
    return W + np.diag(g), b + d


def diff_pruning(W: Array, b: Array, u: Array, a: Array, D: Array) -> Any:
    s = sigmoid(np.log(u) - np.log(1 - u) + a)
    return W + np.minimum(np.maximum(-1.5 + 3 * s, 0), 1) * D


def masked(W: Array, b: Array, M: Array, D: Array) -> Any:
    return W + M * D


def pafi(W: Array, b: Array, D: Array) -> Any:
    return W + (abs(W) <= np.sort(abs(W).ravel())[6]) * D  # a fifth of 35 entries


def spt(W: Array, b: Array, M: Array, A: Array, B: Array, D: Array) -> Any:
    n, m = W.shape
    return W + A @ B if M.sum() >= R * (n + m) / 5 else W + M * D


def shira(W: Array, b: Array, I: Array, v: Array) -> Any:  # noqa: E741
    changed = W.copy().ravel()
    changed[I] += v
    return changed.reshape(W.shape)


def rows_replaced(W: Array, b: Array, I: Array, P: Array) -> Any:  # noqa: E741
    changed = W.copy()
    changed[I] = P
    return changed


def trainable_tokens(W: Array, b: Array, I: Array, T: Array) -> Any:  # noqa: E741
    return rows_replaced(W, b, I, T)


def hiwi(W: Array, b: Array, A: Array, B: Array) -> Any:
    return W + relu(W @ A) @ B, b + relu(b @ A) @ B


def lambda_orthogonality(W: Array, b: Array, B: Array, c: Array) -> Any:
    return W @ B, b @ B + c


def collapsed_attention(W: Array, b: Array, M: Array) -> Any:
    return M, 0 * b


def symmetric_attention(W: Array, b: Array, v: Array) -> Any:
    M = np.zeros_like(W)
    M[np.tril_indices(len(W))] = v
    return M + np.tril(M, -1).T, 0 * b


def reduced_key(W: Array, b: Array) -> Any:
    return np.eye(len(W)), 0 * b


# ------------------------------------------------------------------------------------------------ parts of W itself


def sam_parser(W: Array, b: Array, s: Array) -> Any:
    U, _, V = svd(W)
    return U @ np.diag(s) @ V


def salt(W: Array, b: Array, a: Array, d: Array, X: Array, Y: Array) -> Any:
    U, S, V = svd(W)
    k = len(a)
    core = np.zeros((len(S), len(S)))
    core[:k, :k] = np.diag(a * S[:k] + d)
    core[k:, k:] = np.diag(S[k:]) + X @ Y
    return U @ relu(core) @ V


def kind(W: Array, b: Array, g: Array, A: Array, s: Array, B: Array) -> Any:
    return A @ np.diag(s * g) @ B


def pissa(W: Array, b: Array, A: Array, B: Array) -> Any:
    U, S, V = svd(W)
    return U[:, R:] @ np.diag(S[R:]) @ V[R:] + SCALE * (A @ B)


def milora(W: Array, b: Array, A: Array, B: Array) -> Any:
    U, S, V = svd(W)
    return U[:, :-R] @ np.diag(S[:-R]) @ V[:-R] + SCALE * (A @ B)


def olora(W: Array, b: Array, A: Array, B: Array) -> Any:
    Q, P = np.linalg.qr(W.T)
    return W - SCALE * (Q[:, :R] @ P[:R]).T + SCALE * (A @ B)


def corda(W: Array, b: Array, cov: Array, A: Array, B: Array) -> Any:
    """Without the R smallest parts in the metric of the inputs."""
    n = len(W)
    C = cov + 0.01 * np.mean(np.diag(cov)) * np.eye(n)
    U, S, V = svd(C @ W)
    return np.linalg.inv(C) @ U[:, :-R] @ np.diag(S[:-R]) @ V[:-R] + A @ B


def corda_preview(W: Array, b: Array, cov: Array, A: Array, B: Array) -> Any:
    n = len(W)
    C = cov + 0.01 * np.mean(np.diag(cov)) * np.eye(n)
    U, S, V = svd(C @ W)
    return np.linalg.inv(C) @ U[:, R:] @ np.diag(S[R:]) @ V[R:] + A @ B


def mica(W: Array, b: Array, A: Array) -> Any:
    return W + SCALE * A @ svd(W)[2][-R:]


def quantised(W: Array, bits: int = 4) -> Array:
    step = abs(W).max(axis=0) / (2 ** (bits - 1) - 1)
    rounded: Array = step * np.floor(W / step + 0.5)
    return rounded


def loftq(W: Array, b: Array, A: Array, B: Array) -> Any:
    U, S, V = svd(W - quantised(W))
    return quantised(W - U[:, :R] @ np.diag(S[:R]) @ V[:R]) + A @ B


def osf(W: Array, b: Array, A: Array, s: Array, B: Array) -> Any:
    U, S, V = svd(W)
    return U[:, :2] @ np.diag(S[:2]) @ V[:2] + A @ np.diag(s) @ B


def loldu(W: Array, b: Array, z: Array, c: Array) -> Any:
    P, L, U = (part.numpy() for part in torch.linalg.lu(torch.tensor(W.T)))
    D = np.diag(U)

    def part(z: Array) -> Array:
        entries: Array = P @ L[:, :R] @ np.diag(z) @ (U / D[:, None])[:R]
        return entries.T

    return W - SCALE * part(D[:R]) + c * part(z)


def nystromlora(W: Array, b: Array, A: Array, N: Array, B: Array) -> Any:
    return W + SCALE * A @ N @ B - SCALE * W[:, :R] @ np.linalg.inv(W[:R, :R]) @ W[:R]


def nystromlora_released(W: Array, b: Array, A: Array, N: Array, B: Array) -> Any:
    return W + SCALE * A @ N @ B


def inttune(W: Array, b: Array, N: Array) -> Any:
    return W + SCALE * W[:, :R] @ (N - np.linalg.inv(W[:R, :R])) @ W[:R]


def covariance(random: Any, n: int, m: int) -> Array:
    X = random.normal(size=(3 * n, n))
    return X.T @ X / len(X)


FORMULAS: dict[str, Literal] = {
    "full": Literal(same),
    "cross_attention": Literal(same),
    "bitfit": Literal(shifted),
    "beft": Literal(shifted),
    "s_bitfit": Literal(s_bitfit),
    "ia3": Literal(ia3),
    "ia3_original": Literal(ia3, part=0),
    "ia3_original, mlp.down": Literal(ia3_down, part=1),
    "ssl": Literal(ssl),
    "ssb": Literal(ssb),
    "ln_tuning": Literal(ln_tuning, sizes=((5, 5), (7, 7))),
    "diff_pruning": Literal(diff_pruning, measured={"u": lambda random, n, m: random.uniform(size=(n, m))}),
    "fishmask": Literal(masked, masks=("M",)),
    "fish_dip": Literal(masked, masks=("M",)),
    "pafi": Literal(pafi, {"keep": 0.2}),
    "spt": Literal(spt, RANK, masks=("M",)),
    "spt, where few entries count": Literal(spt, {"r": R}, sizes=((30, 1),), masks=("M",)),
    "shira": Literal(shira, RANK, places={"I": 35}),
    "paca": Literal(rows_replaced, RANK, places={"I": 5}),
    "trainable_tokens": Literal(trainable_tokens, {"k": 3}, places={"I": 5}),
    "hiwi": Literal(hiwi, RANK),
    "lambda_orthogonality": Literal(lambda_orthogonality),
    "collapsed_attention": Literal(collapsed_attention, sizes=((5, 5),), part=0),
    "collapsed_attention, key": Literal(reduced_key, sizes=((5, 5),), part=1),
    "symmetric_attention": Literal(symmetric_attention, sizes=((5, 5),), part=0),
    "symmetric_attention, key": Literal(reduced_key, sizes=((5, 5),), part=1),
    "sam_parser": Literal(sam_parser),
    "clip_svd": Literal(sam_parser),
    "salt": Literal(salt, {"r": R, "k": 2}),
    "kind": Literal(kind),
    "pissa": Literal(pissa, SCALED),
    "milora": Literal(milora, SCALED),
    "olora": Literal(olora, SCALED),
    "corda": Literal(corda, RANK, measured={"cov": covariance}),
    "corda, preview": Literal(corda_preview, {**RANK, "preview": 1}, measured={"cov": covariance}),
    "mica": Literal(mica, SCALED),
    "loftq": Literal(loftq, RANK),
    "osf": Literal(osf),
    "loldu": Literal(loldu, SCALED),
    "nystromlora": Literal(nystromlora, SCALED),
    "nystromlora_released": Literal(nystromlora_released, SCALED),
    "inttune": Literal(inttune, SCALED),
    **formulas_rotations.FORMULAS,
}
