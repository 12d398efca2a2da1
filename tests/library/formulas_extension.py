"""The formulas of library_specs/extension, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.library.literal import ALPHA, RANK, SCALE, SCALED, Array, Literal, R, near_root, sigmoid, svd


def softmax(z: Array) -> Array:
    powers: Array = np.exp(z - z.max())
    return powers / powers.sum()


# ----------------------------------------------------------------------------------------- products of two and three


def lora(W: Array, b: Array, A: Array, B: Array) -> Any:
    return W + SCALE * A @ B


def product(W: Array, b: Array, A: Array, B: Array) -> Any:
    return W + A @ B


def rslora(W: Array, b: Array, A: Array, B: Array) -> Any:
    return W + ALPHA / np.sqrt(R) * A @ B


def eva(W: Array, b: Array, A: Array, B: Array) -> Any:
    return W + ALPHA / 8 * A @ B


def lora_bias(W: Array, b: Array, A: Array, B: Array, d: Array) -> Any:
    return W + SCALE * A @ B, b + SCALE * d


def lora_fused(W: Array, b: Array, A: Array, B: Array) -> Any:
    query, key, value = np.split(W, 3, axis=1)
    return np.hstack([query + SCALE * A[0] @ B[0], key + SCALE * A[1] @ B[1], value + SCALE * A[2] @ B[2]])


def lora_ga(W: Array, b: Array, grad: Array, A: Array, B: Array) -> Any:
    P, _, Q = svd(grad)
    s = ALPHA / np.sqrt(R)
    return W - s * np.sqrt(W.shape[1]) / 16 * P[:, :R] @ Q[R : 2 * R] + s * A @ B


def adalora(W: Array, b: Array, A: Array, e: Array, B: Array) -> Any:
    return W + ALPHA / (R + 1e-5) * A @ np.diag(e) @ B


def trilora(W: Array, b: Array, A: Array, d: Array, B: Array) -> Any:
    return W + A @ np.diag(d) @ B


def flora(W: Array, b: Array, A: Array, G: Array, B: Array) -> Any:
    return W + ALPHA / (R + 1e-5) * A @ G @ B


def triadaptlora(W: Array, b: Array, A: Array, c: Array, k: Array, B: Array) -> Any:
    lower, upper = np.zeros((R, R)), np.zeros((R, R))
    lower[np.tril_indices(R)] = c
    upper.T[np.tril_indices(R)] = k
    return W + ALPHA / (R + 1e-5) * A @ (lower + upper) @ B


def three(W: Array, b: Array, A: Array, G: Array, B: Array) -> Any:
    return W + SCALE * A @ G @ B


def lora_xs(W: Array, b: Array, R: Array) -> Any:
    U, S, V = svd(W)
    r = len(R)
    return W + ALPHA / r * U[:, :r] @ np.diag(S[:r]) @ R @ V[:r]


def sora(W: Array, b: Array, A: Array, g: Array, B: Array) -> Any:
    return W + SCALE * A @ np.diag(g) @ B


def diffora(W: Array, b: Array, o: Array, g: Array, A: Array, B: Array) -> Any:
    return W + o * sigmoid(g) * SCALE * A @ B


def bayesian_lora(W: Array, b: Array, u: Array, l: Array, A: Array, e: Array, B: Array) -> Any:  # noqa: E741
    gate = np.clip(1.2 * sigmoid(np.log(u / (1 - u)) + l) - 0.1, 0, 1)
    return W + SCALE * A @ np.diag(gate * e) @ B


def lora_ggpo(W: Array, b: Array, A: Array, B: Array, g: Array, u: Array) -> Any:
    V = W + SCALE * A @ B
    return V + 0.01 * g * np.sqrt(np.mean(V**2)) * u


# ---------------------------------------------------------------------------------------------- shared and frozen parts


def vera(W: Array, b: Array, A: Array, d: Array, B: Array, e: Array) -> Any:
    return W + A @ np.diag(d) @ B @ np.diag(e)


def pvera(x: Array, W: Array, b: Array, A: Array, d: Array, B: Array, e: Array, u: Array) -> Array:
    """A draw from the normal distribution whose means and log variances the inputs give."""
    mean, log_variance = np.hsplit(x @ A * d, 2)
    y: Array = x @ W + b + (mean + u * np.sqrt(np.exp(log_variance))) @ B * e
    return y


def pvera_at_rest(W: Array, b: Array, A: Array, d: Array, B: Array, e: Array) -> Any:
    return W + A[:, :R] * d[:R] @ B * e


def tied_lora(W: Array, b: Array, A: Array, u: Array, B: Array, v: Array) -> Any:
    return W + SCALE * A @ np.diag(u) @ B @ np.diag(v)


def nola(W: Array, b: Array, P: Array, C: Array, D: Array, a: Array, c: Array) -> Any:
    A = P + sum(weight * part for weight, part in zip(a, C, strict=True)) / np.sqrt(3)
    B = sum(weight * part for weight, part in zip(c, D, strict=True)) / np.sqrt(3)
    return W + SCALE * A @ B


def tera(
    W: Array, b: Array, G: Array, A: Array, B: Array, C: Array, D: Array, d: Array, e: Array, f: Array, g: Array
) -> Any:
    changed = W.copy()
    for i, j, k, l in np.ndindex(*G.shape):  # noqa: E741
        row = np.kron(d[i] * A[:, i], e[j] * B[:, j])
        column = np.kron(f[k] * C[:, k], g[l] * D[:, l])
        changed += G[i, j, k, l] * np.outer(row, column)
    return changed


def mos(W: Array, b: Array, P: Array, Q: Array, I: Array, J: Array) -> Any:  # noqa: E741
    """Every row of A and B is two shards of its pool."""
    A = np.array([np.concatenate([P[I[2 * i]], P[I[2 * i + 1]]]) for i in range(R)])
    B = np.array([np.concatenate([Q[J[2 * i]], Q[J[2 * i + 1]]]) for i in range(R)])
    return W + SCALE * A.T @ B


def mixture(logits: Array, bank: Array) -> Array:
    chosen = np.argsort(logits)[-2:]
    mixed: Array = softmax(logits[chosen]) @ bank[chosen]
    return mixed


def vblora(W: Array, b: Array, V: Array, P: Array, Q: Array) -> Any:
    A, B = (np.array([np.concatenate([mixture(part, V) for part in row]) for row in logits]) for logits in (P, Q))
    return W + A.T @ B


def orthogonal_adaptation(W: Array, b: Array, Q: Array, B: Array) -> Any:
    return W + Q[:, R : 2 * R] @ B


def icm_fusion(W: Array, b: Array, A: Array, B: Array, l: Array) -> Any:  # noqa: E741
    return W + SCALE * (l[0] * A[0] @ B[0] + l[1] * A[1] @ B[1] + l[2] * A[2] @ B[2])


# ----------------------------------------------------------------------------------------------- structured differences


def block_lora(W: Array, b: Array, A: Array, B: Array) -> Any:
    return W + A @ (B[0] + B[1])


def melora(W: Array, b: Array, A: Array, B: Array) -> Any:
    changed = W.copy()
    changed[:3, :4] += SCALE * A[0] @ B[0]
    changed[3:, 4:] += SCALE * A[1] @ B[1]
    return changed


def loha(W: Array, b: Array, A: Array, B: Array, C: Array, D: Array) -> Any:
    return W + SCALE * (A @ B) * (C @ D)


def kernel(G: Array, A: Array, B: Array) -> Array:
    """The (c kh kw) x m matrix of a core over the kernel, one factor for the channels in and one for those out."""
    r, _, kh, kw = G.shape
    found = np.zeros((len(A) * kh * kw, len(B)))
    for i, j, h, w in np.ndindex(r, r, kh, kw):
        places = [(c * kh + h) * kw + w for c in range(len(A))]
        found[places] += G[i, j, h, w] * np.outer(A[:, i], B[:, j])
    return found


def loha_conv(W: Array, b: Array, G: Array, H: Array, A: Array, B: Array, C: Array, D: Array) -> Any:
    return W + SCALE * kernel(G, A, B) * kernel(H, C, D)


def lokr(W: Array, b: Array, C: Array, D: Array) -> Any:
    assert C.shape == (near_root(len(W)), near_root(W.shape[1]))
    return W + SCALE * np.kron(C, D)


def lokr_lowrank(W: Array, b: Array, C: Array, D: Array, E: Array) -> Any:
    return W + SCALE * np.kron(C, D @ E)


def lokr_conv(W: Array, b: Array, C: Array, G: Array, A: Array, B: Array) -> Any:
    return W + SCALE * np.kron(C, kernel(G, A, B))


def flora_conv(W: Array, b: Array, G: Array, A: Array, B: Array, C: Array, D: Array) -> Any:
    taps = np.zeros((R, R, len(C), len(D)))
    for e, f in np.ndindex(*G.shape[2:]):
        taps += G[:, :, e, f, None, None] * np.outer(C[:, e], D[:, f])
    return W + kernel(taps, A, B)


def fourierft(W: Array, b: Array, I: Array, c: Array) -> Any:  # noqa: E741
    """A sum of cosine waves, one for each frequency."""
    n, m = W.shape
    waves = np.zeros((m, n))
    for place, weight in zip(I, c, strict=True):
        k, l = divmod(place, n)  # noqa: E741
        angles = np.add.outer(k * np.arange(m) / m, l * np.arange(n) / n)
        waves += weight * np.cos(2 * np.pi * angles) / (n * m)
    return W + 150 * waves.T


def c3a(W: Array, b: Array, v: Array) -> Any:
    n, m = W.shape
    changed = W.copy()
    for i, j in np.ndindex(n, m):
        changed[i, j] += v[i // 2, j // 2, (i - j) % 2] / n
    return changed


def mps(W: Array, b: Array, A: Array, B: Array) -> Any:
    return W + sum(np.kron(A[:, :, k], B[k]) for k in range(len(B)))


def repeated_rows(W: Array, b: Array, D: Array) -> Any:
    return W + np.array([D[i % R] for i in range(len(W))])


def miss_mini(W: Array, b: Array, D: Array) -> Any:
    n, m = W.shape
    return W + np.array([[D[i % R, j % 3] for j in range(m)] for i in range(n)])


def standard_normal(random: Any, n: int, m: int) -> Any:
    return random.normal(size=(n, m))


CHANNELS = {"c": 4, "kh": 1, "kw": 2}
KERNEL = ((8, 6),)
FORMULAS: dict[str, Literal] = {
    **{name: Literal(lora, SCALED) for name in ("lora", "mpc_o", "mpc_d", "lora_plus", "lora_fa", "riemannian")},
    **{name: Literal(lora, SCALED) for name in ("lora_dropout", "lora_embedding", "watermark_lora")},
    "orthogonal_init": Literal(lora, SCALED),
    "rslora": Literal(rslora, SCALED),
    "eva": Literal(eva, {"alpha": ALPHA}, ((9, 11), (11, 9))),
    "lora_ga": Literal(lora_ga, SCALED, measured={"grad": standard_normal}),
    "lora_bias": Literal(lora_bias, SCALED),
    "lora_fused": Literal(lora_fused, SCALED, ((5, 6), (7, 9))),
    "fedsvd": Literal(product, RANK),
    "lora_fair": Literal(product, RANK),
    "adalora": Literal(adalora, SCALED),
    "flexlora": Literal(adalora, SCALED),
    "increlora": Literal(adalora, SCALED),
    "trilora": Literal(trilora, RANK),
    "flora": Literal(flora, SCALED),
    "triadaptlora": Literal(triadaptlora, SCALED),
    "moslora": Literal(three, SCALED),
    "lotr": Literal(three, SCALED),
    "structured_lora": Literal(lambda W, b, A, N, B: three(W, b, A, N, B), SCALED),
    "lora_xs": Literal(lora_xs, SCALED),
    "sora": Literal(sora, SCALED),
    "diffora": Literal(diffora, SCALED),
    "bayesian_lora": Literal(bayesian_lora, SCALED, measured={"u": lambda random, n, m: random.uniform(size=R)}),
    "lora_ggpo": Literal(lora_ggpo, SCALED),
    "vera": Literal(vera, RANK),
    "pvera, at rest": Literal(pvera_at_rest, RANK),
    "tied_lora": Literal(tied_lora, SCALED),
    "nola": Literal(nola, {**SCALED, "k": 3}),
    "tera": Literal(tera, RANK, ((6, 8), (8, 6))),
    "mos": Literal(mos, {**SCALED, "e": 4, "l": 2}, ((6, 8),), places={"I": 8, "J": 8}),
    "vblora": Literal(vblora, {**RANK, "v": 5, "h": 3}, ((6, 9), (9, 3))),
    "orthogonal_adaptation": Literal(orthogonal_adaptation, {**RANK, "concept": 1}),
    "icm_fusion": Literal(icm_fusion, {**SCALED, "k": 3}),
    "block_lora": Literal(block_lora, {"r": 4, "k": 2}),
    "melora": Literal(melora, {**SCALED, "k": 2}, ((6, 8),)),
    "loha": Literal(loha, SCALED),
    "loha_conv": Literal(loha_conv, SCALED, KERNEL, CHANNELS),
    "lokr": Literal(lokr, SCALED, ((6, 8), (12, 5))),
    "lokr_lowrank": Literal(lokr_lowrank, SCALED, ((6, 8), (12, 5))),
    "lokr_conv": Literal(lokr_conv, SCALED, KERNEL, CHANNELS),
    "flora_conv": Literal(flora_conv, RANK, KERNEL, CHANNELS),
    "fourierft": Literal(fourierft, {"k": 6}, places={"I": 35}),
    "c3a": Literal(c3a, {"k": 2}, ((6, 8), (8, 6))),
    "mps": Literal(mps, {"k": 3}, ((6, 8), (8, 6))),
    "miss": Literal(repeated_rows, RANK),
    "bone": Literal(repeated_rows, RANK),
    "miss_mini": Literal(miss_mini, {**RANK, "k": 3}),
}
OUTPUTS: dict[str, Literal] = {"pvera": Literal(pvera, RANK)}
