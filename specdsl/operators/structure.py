"""Matrices of a certain structure: diagonal, identity, triangular, symmetric, skew, circulant, Kronecker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from specdsl.arrays import Array, Arrays, transpose
from specdsl.operators.registry import Option, Shape, ShapeContext, operator
from specdsl.sizes import Size


def _diag_form(forms: Any, v: Any) -> Any:
    return forms.diagonal(v)


@operator(
    "diag", "... k -> ... k k", form=_diag_form, latex=r"\operatorname{{diag}}({0})",
    facts=["linear", "keeps_zero", "diagonal", "symmetric", "lower", "upper"],
)  # fmt: skip
def diag(xp: Arrays, v: Array) -> Array:
    """The square matrix with v on its diagonal; `v@diag(d) = v .* d`."""
    *leading, k = v.shape
    on_diagonal = xp.eye(k, like=v) > 0.5
    return xp.where(on_diagonal, xp.reshape(v, (*leading, 1, k)), 0.0)


@operator(
    "eye", "-> size size", form="value", options=[Option("size", "size")], latex="I",
    facts=["constant", "orthogonal", "diagonal", "symmetric", "lower", "upper", "nonnegative"],
    samples=lambda random: ([], {"size": int(random.integers(1, 6))}),
    torch="eye({size}, {like})",
)  # fmt: skip
def eye(xp: Arrays, size: int) -> Array:
    """The identity matrix; its size is found where it stands, or given: `eye(n/k)`."""
    return xp.eye(size)


def _shape_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    return [], {"shape": tuple(int(size) for size in random.integers(1, 6, size=random.integers(0, 4)))}


def _given_shape(context: Any, shapes: Any, options: Any) -> Any:
    return tuple(options["shape"])


@operator("ones", "-> ...", form="value", facts=["constant", "nonnegative"], options=[Option("shape", "size")],
          shape=_given_shape, samples=_shape_samples, is_start=True, latex=r"\mathbf{{1}}")  # fmt: skip
def ones(xp: Arrays, shape: tuple[int, ...]) -> Array:
    """1 everywhere; `A ~ ones` takes the shape of A, `ones(n, r)` states it."""
    return xp.full(shape, 1.0)


@operator("zeros", "-> ...", form="value", facts=["constant", "nonnegative"], options=[Option("shape", "size")],
          shape=_given_shape, samples=_shape_samples, is_start=True, latex=r"\mathbf{{0}}")  # fmt: skip
def zeros(xp: Arrays, shape: tuple[int, ...]) -> Array:
    """0 everywhere; `B ~ zeros` takes the shape of B, `zeros(r, m)` states it."""
    return xp.full(shape, 0.0)


@operator("outer", "a, b -> a b", form="value", facts=["multilinear", "keeps_zero"], latex=r"{0} {1}^\top",
          torch="torch.outer({0}, {1})")  # fmt: skip
def outer(xp: Arrays, u: Array, v: Array) -> Array:
    """The matrix of all products `u_i * v_j`."""
    return xp.reshape(u, (*u.shape, 1)) * v


@operator("kron", "a b, c d -> a*c b*d", form="value", facts=["multilinear", "keeps_zero"], latex=r"{0} \otimes {1}",
          torch="torch.kron({0}, {1})")  # fmt: skip
def kron(xp: Arrays, A: Array, B: Array) -> Array:
    """The Kronecker product: the block matrix with the blocks `A_ij * B`."""
    (a, b), (c, d) = A.shape, B.shape
    return xp.reshape(xp.reshape(A, (a, 1, b, 1)) * xp.reshape(B, (1, c, 1, d)), (a * c, b * d))


def _times_kron_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    X, A, B = shapes
    if not X or len(A) != 2 or len(B) != 2:
        raise ValueError("it takes rows and two matrices")
    context.same(X[-1], A[0] * B[0], "`times_kron(X, A, B)` is `X @ kron(A, B)`")
    return (*X[:-1], A[1] * B[1])


def _times_kron_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    rows, a, b, c, d = (int(size) for size in random.integers(1, 5, size=5))
    arrays = [random.normal(size=shape) for shape in ((rows, a * c), (a, b), (c, d))]
    return arrays, {}


@operator("times_kron", "... n, a b, c d -> ... b*d", facts=["multilinear", "keeps_zero"], shape=_times_kron_shape,
          samples=_times_kron_samples, latex=r"{0} \left({1} \otimes {2}\right)",
          torch="times_kron({0}, {1}, {2})")  # fmt: skip
def times_kron(xp: Arrays, X: Array, A: Array, B: Array) -> Array:
    """`X @ kron(A, B)` without the Kronecker product: each row of X as a matrix between A and B, the cheaper first."""
    *leading, _ = X.shape
    (a, b), (c, d) = A.shape, B.shape
    rows = math.prod(leading)
    parts = xp.reshape(X, (rows, a, c))
    if b * c * (a + d) < a * d * (b + c):
        left = xp.reshape(xp.permute(parts, (0, 2, 1)), (rows * c, a)) @ A
        between = xp.reshape(xp.permute(xp.reshape(left, (rows, c, b)), (0, 2, 1)), (rows * b, c))
        return xp.reshape(between @ B, (*leading, b * d))
    right = xp.reshape(xp.reshape(parts, (rows * a, c)) @ B, (rows, a, d))
    between = xp.reshape(xp.permute(right, (0, 2, 1)), (rows * d, a))
    return xp.reshape(xp.permute(xp.reshape(between @ A, (rows, d, b)), (0, 2, 1)), (*leading, b * d))


@operator("circulant", "... k -> ... k k", facts=["linear", "keeps_zero"], latex=r"\operatorname{{circ}}({0})",
          torch="circulant({0})")  # fmt: skip
def circulant(xp: Arrays, v: Array) -> Array:
    """`C_ij = v_(i-j mod k)`: v is the first column, and every column is the one before it, moved down."""
    *leading, k = v.shape
    places = xp.arange(k * k, like=v)
    return xp.reshape(xp.take(v, (places // k - places) % k, -1), (*leading, k, k))


def _rows_and_columns(xp: Arrays, A: Array) -> tuple[Array, Array]:
    n, m = A.shape[-2:]
    return xp.reshape(xp.arange(n, like=A), (n, 1)), xp.arange(m, like=A)


def _lower_form(forms: Any, A: Any) -> Any:
    if Size.of(1) in A.shape[-2:]:
        return None
    return A * forms.constant("mask", "lower", A.shape[-2:])


@operator("lower", "... n m -> ... n m", form=_lower_form, facts=["linear", "keeps_zero", "lower", "idempotent"],
          latex=r"\operatorname{{tril}}({0})", torch="torch.tril({0})")  # fmt: skip
def lower(xp: Arrays, A: Array) -> Array:
    """A with zeros above the diagonal."""
    rows, columns = _rows_and_columns(xp, A)
    return xp.where(rows >= columns, A, 0.0)


def _upper_form(forms: Any, A: Any) -> Any:
    if Size.of(1) in A.shape[-2:]:
        return None
    return A * forms.constant("mask", "upper", A.shape[-2:])


@operator("upper", "... n m -> ... n m", form=_upper_form, facts=["linear", "keeps_zero", "upper", "idempotent"],
          latex=r"\operatorname{{triu}}({0})", torch="torch.triu({0})")  # fmt: skip
def upper(xp: Arrays, A: Array) -> Array:
    """A with zeros below the diagonal."""
    rows, columns = _rows_and_columns(xp, A)
    return xp.where(rows <= columns, A, 0.0)


@operator("sym", "... k k -> ... k k", form="value", facts=["linear", "keeps_zero", "symmetric", "idempotent"],
          latex=r"\operatorname{{sym}}({0})", torch="sym({0})")  # fmt: skip
def sym(xp: Arrays, A: Array) -> Array:
    """`(A + A.T) / 2`."""
    return 0.5 * (A + transpose(xp, A))


@operator("skew", "... k k -> ... k k", form="value", facts=["linear", "keeps_zero", "skew", "idempotent"],
          latex=r"\operatorname{{skew}}({0})", torch="skew({0})")  # fmt: skip
def skew(xp: Arrays, A: Array) -> Array:
    """`(A - A.T) / 2`."""
    return 0.5 * (A - transpose(xp, A))
