"""The functions that emitted code brings along: plain torch, nothing of specdsl.

Their source is copied as it stands here, those that are used and no others. So a function uses only torch, `math` and
other functions of this file, and its lines have at most 88 characters, the width of emitted code.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def near_root(value: int) -> int:
    """The largest divisor of `value` that is not above its square root."""
    root = math.isqrt(value)
    return next(divisor for divisor in range(root, 0, -1) if value % divisor == 0)


# --------------------------------------------------------------------------- starts


def as_parameter(value: Tensor) -> nn.Parameter:
    """`value` itself if it is a parameter, so that several layers can share it."""
    return value if isinstance(value, nn.Parameter) else nn.Parameter(value)


def at_least_float32(A: Tensor) -> Tensor:
    """A in a dtype that torch can decompose matrices in."""
    return A.to(torch.promote_types(A.dtype, torch.float32))


def seeded(seed: int) -> torch.Generator:
    """A generator that gives the same numbers for the same seed."""
    return torch.Generator().manual_seed(seed)


def seeded_uniform(seed: int, low: float, high: float, *shape: int) -> Tensor:
    """Uniform between `low` and `high`, the same for the same seed."""
    return torch.empty(shape).uniform_(low, high, generator=seeded(seed))


def seeded_normal(seed: int, std: float, *shape: int) -> Tensor:
    """Normal with mean 0, the same for the same seed."""
    return torch.empty(shape).normal_(0, std, generator=seeded(seed))


def random_orthonormal(*shape: int, seed: int | None = None) -> Tensor:
    """Random matrices with orthonormal columns (rows, if wide)."""
    *stack, rows, columns = shape
    generator = None if seed is None else seeded(seed)
    size = (*stack, max(rows, columns), min(rows, columns))
    Q, _ = qr(torch.randn(size, generator=generator, dtype=torch.float64))
    return Q if rows >= columns else Q.mT


# ------------------------------------------------------------------- decompositions


def signs_of(values: Tensor) -> Tensor:
    """-1 where a value is negative, else 1."""
    return torch.where(values < 0, -torch.ones_like(values), torch.ones_like(values))


def column_signs(U: Tensor) -> Tensor:
    """The sign of the largest entry of every column, as a row."""
    return signs_of(U.gather(-2, U.abs().argmax(-2, keepdim=True)))


def svd(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A = U @ diag(S) @ V; in each column of U the largest entry is positive."""
    U, S, V = torch.linalg.svd(A, full_matrices=False)
    signs = column_signs(U.detach())
    return U * signs, S, V * signs.mT


def qr(A: Tensor) -> tuple[Tensor, Tensor]:
    """A = Q @ R with orthonormal columns; the diagonal of R is not negative."""
    Q, R = torch.linalg.qr(A)
    signs = signs_of(R.detach().diagonal(dim1=-2, dim2=-1))
    return Q * signs.unsqueeze(-2), R * signs.unsqueeze(-1)


def ldu(A: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A = P @ L @ diag(D) @ U with ones on the diagonals of L and U."""
    P, L, U = torch.linalg.lu(A)
    D = U.diagonal()
    return P, L, D, U / D.unsqueeze(-1)


def eigh(A: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvalues of (A + A.T) / 2, ascending, and its eigenvectors."""
    E, V = torch.linalg.eigh((A + A.mT) / 2)
    return E, V * column_signs(V.detach())


# ------------------------------------------------------------ structure and rotations


def eye(size: int, like: Tensor) -> Tensor:
    """The identity matrix, with the dtype and device of `like`."""
    return torch.eye(size, dtype=like.dtype, device=like.device)


def sym(A: Tensor) -> Tensor:
    """(A + A.T) / 2."""
    return (A + A.mT) / 2


def skew(A: Tensor) -> Tensor:
    """(A - A.T) / 2."""
    return (A - A.mT) / 2


def skew_from(q: Tensor) -> Tensor:
    """The skew matrix with the entries of q above its diagonal, row by row."""
    k = (1 + math.isqrt(1 + 8 * q.shape[-1])) // 2
    row, column = torch.triu_indices(k, k, 1, device=q.device)
    upper = q.new_zeros(*q.shape[:-1], k, k)
    upper[..., row, column] = q
    return upper - upper.mT


def lower_from(v: Tensor) -> Tensor:
    """The lower triangular matrix with the entries of v, row by row."""
    k = (math.isqrt(1 + 8 * v.shape[-1]) - 1) // 2
    row, column = torch.tril_indices(k, k, device=v.device)
    lower = v.new_zeros(*v.shape[:-1], k, k)
    lower[..., row, column] = v
    return lower


def sym_from(v: Tensor) -> Tensor:
    """The symmetric matrix with the entries of v in its lower half, row by row."""
    lower = lower_from(v)
    return lower + lower.tril(-1).mT


def cayley(Q: Tensor) -> Tensor:
    """(I - Q) @ (I + Q)^-1, a rotation for skew Q."""
    one = eye(Q.shape[-1], Q)
    inverse: Tensor = torch.linalg.inv(at_least_float32(one + Q))
    return (one - Q) @ inverse.to(Q.dtype)


def cayley_series(Q: Tensor, terms: int) -> Tensor:
    """I - 2*Q + 2*Q^2 - ..., the first terms of `cayley`; the last one counts once."""
    total = power = eye(Q.shape[-1], Q)
    for i in range(1, terms):
        power = -(power @ Q)
        total = total + (power if i == terms - 1 else 2 * power)
    return total


def householder(U: Tensor) -> Tensor:
    """The product of the reflections I - 2*u*u.T/|u|^2 over the columns u of U."""
    product = eye(U.shape[-2], U)
    for column in U.unbind(-1):
        u = column.unsqueeze(-1)
        squared = (u * u).sum(-2, keepdim=True)
        squared = torch.where(squared > 0, squared, 1.0)
        product = product - (product @ u) @ u.mT * (2 / squared)
    return product


def orthonormal(free: Tensor) -> Tensor:
    """The Q of free = Q @ R (of its transpose, if wide)."""
    A = at_least_float32(free)
    Q = qr(A)[0] if A.shape[-2] >= A.shape[-1] else qr(A.mT)[0].mT
    return Q.to(free.dtype)


def circulant(v: Tensor) -> Tensor:
    """The matrix with v as first column; each column is the one before, moved down."""
    places = torch.arange(v.shape[-1], device=v.device)
    return v[..., (places[:, None] - places) % len(places)]


# ---------------------------------------------------------------- entries laid out anew


def tile(M: Tensor, rows: int, columns: int) -> Tensor:
    """M repeated to rows x columns, the last copies cut."""
    down, across = -(-rows // M.shape[0]), -(-columns // M.shape[1])
    return M.repeat(down, across)[:rows, :columns]


def blocks(M: Tensor, p: int, q: int) -> Tensor:
    """M cut into p x q blocks, as block row x block column x p x q."""
    n, m = M.shape
    return M.reshape(n // p, p, m // q, q).transpose(1, 2)


def unblocks(B: Tensor) -> Tensor:
    """The matrix put together from its blocks."""
    return B.transpose(1, 2).flatten(2, 3).flatten(0, 1)


def times_kron(X: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """X @ kron(A, B), each row of X as a matrix between A and B, the cheaper first."""
    (a, b), (c, d) = A.shape, B.shape
    parts = X.reshape(*X.shape[:-1], a, c)
    if b * c * (a + d) < a * d * (b + c):
        return ((parts.mT @ A).mT @ B).flatten(-2)
    return ((parts @ B).mT @ A).mT.flatten(-2)


def scatter(values: Tensor, places: Tensor, n: int, m: int) -> Tensor:
    """The n x m matrix with values at the places, counted row by row; else zeros."""
    return values.new_zeros(n * m).index_put((places,), values).reshape(n, m)


def quantise(A: Tensor, bits: int) -> Tensor:
    """A rounded to even levels, the largest entry of every column one of them."""
    A = A.detach()
    step = A.abs().amax(-2, keepdim=True) / (2 ** (bits - 1) - 1)
    step = torch.where(step > 0, step, 1.0)
    return step * torch.floor(A / step + 0.5)


def butterfly(n: int, k: int, i: int) -> Tensor:
    """n places in k blocks: of 2^i neighbours the even halves first, then the odd."""
    if i == 0:
        return torch.arange(n)
    halves = torch.arange(n).reshape(k // 2**i, 2**i, 2, n // (2 * k))
    return halves.transpose(1, 2).reshape(n)


# ------------------------------------------------------------------ entries by size


def top(A: Tensor, k: float) -> Tensor:
    """1 at the k largest entries (k < 1: at that share of them), 0 elsewhere."""
    values = A.detach().flatten()
    wanted = k * len(values) if k < 1 else k
    count = max(1, min(len(values), math.floor(wanted + 1e-9)))
    places = values.argsort(descending=True, stable=True)[:count]
    return torch.zeros_like(values).scatter(0, places, 1.0).reshape(A.shape)


def keep(A: Tensor, k: int) -> Tensor:
    """All but the k largest entries of every row at minus infinity."""
    places = A.detach().argsort(dim=-1, descending=True, stable=True)[..., :k]
    kept = torch.zeros_like(A, dtype=torch.bool).scatter(-1, places, True)
    return A.masked_fill(~kept, -math.inf)


def clamp(A: Tensor, low: float, high: float) -> Tensor:
    """A between low and high; an entry on a bound passes on half its gradient."""
    above = torch.maximum(A, torch.full_like(A, low))
    return torch.minimum(above, torch.full_like(A, high))


def orth(A: Tensor, squared: bool = True, tolerance: float = 0.0) -> Tensor:
    """|A.T@A - I|^2 (of a wide matrix |A@A.T - I|^2): zero if A is orthonormal."""
    gram = A.T @ A if A.shape[0] >= A.shape[1] else A @ A.T
    gap = gram - eye(len(gram), A)
    value = gap.square().sum() if squared else torch.linalg.vector_norm(gap)
    return torch.relu(value - tolerance) if tolerance else value


# -------------------------------------------------------------------------- layers


def layer_norm(base: nn.LayerNorm, x: Tensor, *affine: Tensor | None) -> Tensor:
    """`base` with another weight and bias, without them if none are given."""
    weight, bias = (*affine, None, None)[:2]
    return F.layer_norm(x, base.normalized_shape, weight, bias, base.eps)


def rms_norm(base: nn.Module, x: Tensor, *affine: Tensor | None) -> Tensor:
    """`base` with another weight and bias, without them if none are given."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    given = (getattr(base, "variance_epsilon", None), getattr(base, "eps", None))
    eps = next((one for one in given if one is not None), torch.finfo(wide.dtype).eps)
    mean = wide.square().mean(-1, keepdim=True)
    scaled = (wide * torch.rsqrt(mean + eps)).to(x.dtype)
    weight, bias = (*affine, None, None)[:2]
    scaled = scaled if weight is None else weight * scaled
    return scaled if bias is None else scaled + bias


def embed(base: nn.Embedding, x: Tensor, M: Tensor) -> Tensor:
    """Rows of M, scaled where `base` scales its own."""
    return F.embedding(x, M) * getattr(base, "embed_scale", 1.0)


def convolve(
    base: nn.Conv1d | nn.Conv2d | nn.Conv3d,
    x: Tensor,
    M: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """`base` with the columns of M as kernels."""
    kernels = M.T.reshape(-1, *base.weight.shape[1:])
    image: Tensor = base._conv_forward(x, kernels, bias)
    return image


def unfolded(base: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Tensor) -> Tensor:
    """The patches that the kernels of `base` see, as rows."""
    mode = base.padding_mode.replace("zeros", "constant")
    x = F.pad(x, base._reversed_padding_repeated_twice, mode=mode)
    axes = len(base.kernel_size)
    first = x.dim() - axes
    for axis in range(axes):
        gap, step = base.dilation[axis], base.stride[axis]
        width = gap * (base.kernel_size[axis] - 1) + 1
        x = x.unfold(first + axis, width, step)[..., ::gap]
    patches = x.movedim(first - 1, first - 1 + axes).flatten(-axes - 1)
    return patches.flatten(-axes - 1, -2)


def as_rows(base: nn.Conv1d | nn.Conv2d | nn.Conv3d, image: Tensor) -> Tensor:
    """A row of channels for every place in an output of `base`."""
    return image.flatten(-len(base.kernel_size)).mT


def as_image(rows: Tensor, like: Tensor) -> Tensor:
    """Rows of channels as an image with the places of `like`."""
    return rows.mT.reshape(*rows.shape[:-2], -1, *like.shape[rows.dim() - 1 :])
