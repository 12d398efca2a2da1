"""Arrays as numpy's, in float64: the reference interpreter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

_erf = np.vectorize(math.erf, otypes=[np.float64])


def largest_columns(U: Any, absolute: Any) -> Any:
    """The row index of each column's entry of largest magnitude, the first among equals."""
    return absolute(U).argmax(-2)


class NumpyArrays:
    """The namespace `specdsl.arrays.Arrays` over `numpy.ndarray`."""

    def full(self, shape: Sequence[int], value: float, like: Any = None) -> Any:
        return np.full(tuple(shape), float(value))

    def eye(self, size: int, like: Any = None) -> Any:
        return np.eye(size)

    def arange(self, stop: int, like: Any = None) -> Any:
        return np.arange(stop)

    def reshape(self, array: Any, shape: Sequence[int]) -> Any:
        return np.reshape(array, tuple(shape))

    def permute(self, array: Any, axes: Sequence[int]) -> Any:
        return np.transpose(array, tuple(axes))

    def concat(self, arrays: Sequence[Any], axis: int) -> Any:
        return np.concatenate(list(arrays), axis)

    def broadcast(self, array: Any, shape: Sequence[int]) -> Any:
        return np.broadcast_to(array, tuple(shape))

    def take(self, array: Any, index: Any, axis: int) -> Any:
        return np.take(array, np.asarray(index).astype(np.int64), axis)

    def slice(self, array: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
        return array[(slice(None),) * (axis % array.ndim) + (slice(start, stop, step),)]

    def scatter(self, values: Any, index: Any, length: int) -> Any:
        flat = np.zeros(length, dtype=values.dtype)
        flat[np.asarray(index).astype(np.int64)] = values
        return flat

    def einsum(self, pattern: str, *arrays: Any) -> Any:
        return np.einsum(pattern, *arrays, optimize=len(arrays) > 2)

    def exp(self, array: Any) -> Any:
        return np.exp(array)

    def log(self, array: Any) -> Any:
        return np.log(array)

    def sqrt(self, array: Any) -> Any:
        return np.sqrt(array)

    def sin(self, array: Any) -> Any:
        return np.sin(array)

    def cos(self, array: Any) -> Any:
        return np.cos(array)

    def tanh(self, array: Any) -> Any:
        return np.tanh(array)

    def erf(self, array: Any) -> Any:
        return _erf(array)

    def relu(self, array: Any) -> Any:
        return np.maximum(array, 0.0)

    def sigmoid(self, array: Any) -> Any:
        return 0.5 * (1.0 + np.tanh(0.5 * array))

    def silu(self, array: Any) -> Any:
        return array * self.sigmoid(array)

    def gelu(self, array: Any) -> Any:
        return 0.5 * array * (1.0 + _erf(array / math.sqrt(2.0)))

    def softmax(self, array: Any) -> Any:
        shifted = np.exp(array - np.max(array, axis=-1, keepdims=True))
        return shifted / np.sum(shifted, axis=-1, keepdims=True)

    def abs(self, array: Any) -> Any:
        return np.abs(array)

    def sign(self, array: Any) -> Any:
        return np.sign(array)

    def floor(self, array: Any) -> Any:
        return np.floor(array)

    def ceil(self, array: Any) -> Any:
        return np.ceil(array)

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        return np.where(condition, yes, no)

    def maximum(self, left: Any, right: Any) -> Any:
        return np.maximum(left, right)

    def minimum(self, left: Any, right: Any) -> Any:
        return np.minimum(left, right)

    def sum(self, array: Any, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Any:
        return np.sum(array, axis=axis, keepdims=keep)

    def max(self, array: Any, axis: int | None = None, keep: bool = False) -> Any:
        return np.max(array, axis=axis, keepdims=keep)

    def min(self, array: Any, axis: int | None = None, keep: bool = False) -> Any:
        return np.min(array, axis=axis, keepdims=keep)

    def norm(self, array: Any, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Any:
        return np.sqrt(np.sum(np.abs(array) ** 2, axis=axis, keepdims=keep))

    def top_mask(self, array: Any, count: int, axis: int | None = None) -> Any:
        if axis is None:
            return np.reshape(self.top_mask(np.reshape(array, -1), count, 0), np.shape(array))
        chosen = np.argsort(-array, axis, kind="stable")
        mask = np.zeros(np.shape(array))
        np.put_along_axis(mask, np.take(chosen, np.arange(count), axis), 1.0, axis)
        return mask

    def inverse(self, array: Any) -> Any:
        return np.linalg.inv(array)

    def pinv(self, array: Any) -> Any:
        return np.linalg.pinv(array)

    def svd(self, array: Any) -> tuple[Any, Any, Any]:
        U, S, V = np.linalg.svd(array, full_matrices=False)
        signs = self._column_signs(U)
        return U * signs, S, V * np.swapaxes(signs, -1, -2)

    def _column_signs(self, U: Any) -> Any:
        largest = np.take_along_axis(U, largest_columns(U, np.abs)[..., None, :], -2)
        return np.where(largest < 0, -1.0, 1.0)

    def qr(self, array: Any) -> tuple[Any, Any]:
        Q, R = np.linalg.qr(array)
        signs = np.where(np.diagonal(R, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
        return Q * signs[..., None, :], R * signs[..., None]

    def lu(self, array: Any) -> tuple[Any, Any, Any]:
        return lu_by_elimination(array)

    def eigh(self, array: Any) -> tuple[Any, Any]:
        values, vectors = np.linalg.eigh(array)
        return values, vectors * self._column_signs(vectors)

    def fft2(self, array: Any) -> Any:
        return np.fft.fft2(array)

    def ifft2(self, array: Any) -> Any:
        return np.fft.ifft2(array)

    def real(self, array: Any) -> Any:
        return np.real(array)

    def dropout(self, array: Any, share: float) -> Any:
        return array

    def stop(self, array: Any) -> Any:
        return array

    def is_complex(self, array: Any) -> bool:
        return bool(np.iscomplexobj(array))


def lu_by_elimination(matrix: Any) -> tuple[Any, Any, Any]:
    """`matrix = P @ L @ U` with partial pivoting; numpy has none of its own.

    Args:
        matrix: `n x m`.

    Returns:
        `P : n x n`, a permutation; `L : n x k`, unit lower; `U : k x m`, upper; `k = min(n, m)`.
    """
    rows, columns = matrix.shape
    size = min(rows, columns)
    work, order = np.array(matrix, dtype=np.float64), np.arange(rows)
    for k in range(size):
        pivot = k + int(np.argmax(np.abs(work[k:, k])))
        if pivot != k:
            work[[k, pivot]], order[[k, pivot]] = work[[pivot, k]], order[[pivot, k]]
        if work[k, k] != 0:
            work[k + 1 :, k] /= work[k, k]
            work[k + 1 :, k + 1 :] -= np.outer(work[k + 1 :, k], work[k, k + 1 :])
    lower = np.tril(work[:, :size], -1)
    lower[np.arange(size), np.arange(size)] = 1.0
    return np.eye(rows)[:, order], lower, np.triu(work[:size])


NUMPY = NumpyArrays()
