"""Matrix decompositions and inverses. Signs and orders are fixed, so that equal matrices give equal parts."""

from __future__ import annotations

from typing import Any

from specdsl.arrays import Array, Arrays, transpose
from specdsl.operators.registry import operator


@operator("svd", "... n m -> ... n min(n,m), ... min(n,m), ... min(n,m) m", latex=r"\operatorname{{svd}}({0})",
          torch="svd({0})")  # fmt: skip
def svd(xp: Arrays, A: Array) -> tuple[Array, Array, Array]:
    """`U, S, V` with `A = U @ diag(S) @ V`: singular values descending, V as rows.

    In every column of U the entry of largest magnitude is positive.
    """
    return xp.svd(A)


@operator("qr", "... n m -> ... n min(n,m), ... min(n,m) m", latex=r"\operatorname{{qr}}({0})", torch="qr({0})")
def qr(xp: Arrays, A: Array) -> tuple[Array, Array]:
    """`Q, R` with `A = Q @ R`: orthonormal columns, and R upper with a diagonal that is not negative."""
    return xp.qr(A)


@operator("lu", "n m -> n n, n min(n,m), min(n,m) m", latex=r"\operatorname{{lu}}({0})", torch="torch.linalg.lu({0})")
def lu(xp: Arrays, A: Array) -> tuple[Array, Array, Array]:
    """`P, L, U` with `A = P @ L @ U`: a permutation, lower with ones on the diagonal, upper."""
    return xp.lu(A)


@operator("ldu", "n m -> n n, n min(n,m), min(n,m), min(n,m) m", latex=r"\operatorname{{ldu}}({0})", torch="ldu({0})")
def ldu(xp: Arrays, A: Array) -> tuple[Array, Array, Array, Array]:
    """`P, L, D, U` with `A = P @ L @ diag(D) @ U`: as `lu`, and U too has ones on its diagonal."""
    P, L, U = xp.lu(A)
    k = U.shape[0]
    D = xp.einsum("kk->k", xp.slice(U, 1, 0, k))
    return P, L, D, U / xp.reshape(D, (k, 1))


@operator("eigh", "... k k -> ... k, ... k k", latex=r"\operatorname{{eigh}}({0})", torch="eigh({0})")
def eigh(xp: Arrays, A: Array) -> tuple[Array, Array]:
    """`E, V` with `sym(A) = V @ diag(E) @ V.T`: eigenvalues ascending, V orthogonal, signs as in `svd`."""
    return xp.eigh(0.5 * (A + transpose(xp, A)))


def _well_conditioned(random: Any) -> tuple[list[Any], dict[str, Any]]:
    k = int(random.integers(1, 6))
    A = random.normal(size=(*random.integers(1, 3, size=random.integers(0, 2)), k, k))
    for i in range(k):
        A[..., i, i] += 4 * k**0.5
    return [A], {}


@operator("inverse", "... k k -> ... k k", form="value",
          facts=["involution"], samples=_well_conditioned, latex="{0}^{{-1}}",
          torch="torch.linalg.inv({0})")  # fmt: skip
def inverse(xp: Arrays, A: Array) -> Array:
    """`A^-1`."""
    return xp.inverse(A)


@operator("pinv", "... n m -> ... m n", facts=["involution", "keeps_zero"], latex="{0}^{{+}}",
          torch="torch.linalg.pinv({0})")  # fmt: skip
def pinv(xp: Arrays, A: Array) -> Array:
    """The Moore-Penrose inverse; at full rank `(A.T@A)^-1@A.T`, of a wide matrix `A.T@(A@A.T)^-1`."""
    return xp.pinv(A)
