"""Arrays as torch tensors: what is trained. All stays on the device and in the dtype of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from specdsl.arrays.numpy_arrays import largest_columns


class TorchArrays:
    """The namespace `specdsl.arrays.Arrays` over `torch.Tensor`.

    Args:
        device: where arrays without a model (`like`) are made.
        dtype: their dtype.

    Attributes:
        training: whether `dropout` drops.
    """

    def __init__(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        self.device = device
        self.dtype = dtype
        self.training = False

    def _placed(self, like: Any) -> dict[str, Any]:
        if isinstance(like, torch.Tensor):
            return {"device": like.device, "dtype": like.dtype}
        return {"device": self.device, "dtype": self.dtype}

    def full(self, shape: Sequence[int], value: float, like: Any = None) -> Any:
        return torch.full(tuple(shape), float(value), **self._placed(like))

    def eye(self, size: int, like: Any = None) -> Any:
        return torch.eye(size, **self._placed(like))

    def arange(self, stop: int, like: Any = None) -> Any:
        return torch.arange(stop, device=self._placed(like)["device"])

    def reshape(self, array: Any, shape: Sequence[int]) -> Any:
        return array.reshape(tuple(shape))

    def permute(self, array: Any, axes: Sequence[int]) -> Any:
        return array.permute(tuple(axes))

    def concat(self, arrays: Sequence[Any], axis: int) -> Any:
        return torch.cat(list(arrays), axis)

    def broadcast(self, array: Any, shape: Sequence[int]) -> Any:
        return array.expand(tuple(shape))

    def take(self, array: Any, index: Any, axis: int) -> Any:
        axis %= array.dim()
        taken = array.index_select(axis, index.reshape(-1).long())
        return taken.reshape(*array.shape[:axis], *index.shape, *array.shape[axis + 1 :])

    def slice(self, array: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
        # Unlike `array[...]`, this works on fake tensors of a device that this build of torch does not have.
        return torch.ops.aten.slice.Tensor(array, axis, start, stop, step)

    def scatter(self, values: Any, index: Any, length: int) -> Any:
        return values.new_zeros(length).index_put((index.long(),), values)

    def einsum(self, pattern: str, *arrays: Any) -> Any:
        return torch.einsum(pattern, *arrays)

    def exp(self, array: Any) -> Any:
        return torch.exp(array)

    def log(self, array: Any) -> Any:
        return torch.log(array)

    def sqrt(self, array: Any) -> Any:
        return torch.sqrt(array)

    def sin(self, array: Any) -> Any:
        return torch.sin(array)

    def cos(self, array: Any) -> Any:
        return torch.cos(array)

    def tanh(self, array: Any) -> Any:
        return torch.tanh(array)

    def erf(self, array: Any) -> Any:
        return torch.erf(array)

    def relu(self, array: Any) -> Any:
        return torch.relu(array)

    def sigmoid(self, array: Any) -> Any:
        return torch.sigmoid(array)

    def silu(self, array: Any) -> Any:
        return torch.nn.functional.silu(array)

    def gelu(self, array: Any) -> Any:
        return torch.nn.functional.gelu(array)

    def softmax(self, array: Any) -> Any:
        return torch.softmax(array, -1)

    def abs(self, array: Any) -> Any:
        return torch.abs(array)

    def sign(self, array: Any) -> Any:
        return torch.sign(array)

    def floor(self, array: Any) -> Any:
        return torch.floor(array)

    def ceil(self, array: Any) -> Any:
        return torch.ceil(array)

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        return torch.where(condition, yes, no)

    def maximum(self, left: Any, right: Any) -> Any:
        if not isinstance(left, torch.Tensor) and not isinstance(right, torch.Tensor):
            return max(left, right)
        if not isinstance(right, torch.Tensor):
            right = torch.full_like(left, right)
        if not isinstance(left, torch.Tensor):
            left = torch.full_like(right, left)
        return torch.maximum(left, right)

    def minimum(self, left: Any, right: Any) -> Any:
        return -self.maximum(-left, -right)

    def sum(self, array: Any, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Any:
        return torch.sum(array) if axis is None and not keep else torch.sum(array, dim=axis, keepdim=keep)

    def max(self, array: Any, axis: int | None = None, keep: bool = False) -> Any:
        return torch.amax(array, dim=() if axis is None else axis, keepdim=keep)

    def min(self, array: Any, axis: int | None = None, keep: bool = False) -> Any:
        return torch.amin(array, dim=() if axis is None else axis, keepdim=keep)

    def norm(self, array: Any, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Any:
        return torch.linalg.vector_norm(array, dim=axis, keepdim=keep)

    def top_mask(self, array: Any, count: int, axis: int | None = None) -> Any:
        if axis is None:
            return self.top_mask(array.reshape(-1), count, 0).reshape(array.shape)
        values = array.detach()
        chosen = torch.argsort(values, dim=axis, descending=True, stable=True).narrow(axis, 0, count)
        return torch.zeros_like(values).scatter(axis, chosen, 1.0)

    def inverse(self, array: Any) -> Any:
        # `inv` would wait for the device to learn whether a matrix is singular; NaN says it without waiting.
        inverse, failed = torch.linalg.inv_ex(_wide(array))
        return inverse.masked_fill((failed != 0).unsqueeze(-1).unsqueeze(-1), torch.nan).to(array.dtype)

    def pinv(self, array: Any) -> Any:
        return torch.linalg.pinv(_wide(array)).to(array.dtype)

    def svd(self, array: Any) -> tuple[Any, Any, Any]:
        U, S, V = torch.linalg.svd(_wide(array), full_matrices=False)
        signs = self._column_signs(U.detach())
        found: tuple[Any, Any, Any] = _narrow(array, U * signs, S, V * signs.transpose(-1, -2))
        return found

    def _column_signs(self, U: Any) -> Any:
        largest = U.gather(-2, largest_columns(U, torch.abs).unsqueeze(-2))
        return _one_or_minus_one(largest)

    def qr(self, array: Any) -> tuple[Any, Any]:
        Q, R = torch.linalg.qr(_wide(array))
        signs = _one_or_minus_one(R.detach().diagonal(dim1=-2, dim2=-1))
        found: tuple[Any, Any] = _narrow(array, Q * signs.unsqueeze(-2), R * signs.unsqueeze(-1))
        return found

    def lu(self, array: Any) -> tuple[Any, Any, Any]:
        found: tuple[Any, Any, Any] = _narrow(array, *torch.linalg.lu(_wide(array)))
        return found

    def eigh(self, array: Any) -> tuple[Any, Any]:
        values, vectors = torch.linalg.eigh(_wide(array))
        found: tuple[Any, Any] = _narrow(array, values, vectors * self._column_signs(vectors.detach()))
        return found

    def fft2(self, array: Any) -> Any:
        return torch.fft.fft2(_wide(array))

    def ifft2(self, array: Any) -> Any:
        return torch.fft.ifft2(_wide(array))

    def real(self, array: Any) -> Any:
        return array.real if array.is_complex() else array

    def dropout(self, array: Any, share: float) -> Any:
        return torch.nn.functional.dropout(array, share, training=self.training)

    def stop(self, array: Any) -> Any:
        return array.detach()

    def is_complex(self, array: Any) -> bool:
        return bool(array.is_complex())


def _wide(array: torch.Tensor) -> torch.Tensor:
    """Decompositions do not exist in half precision; they are computed in float32."""
    return array.float() if array.dtype in (torch.float16, torch.bfloat16) else array


def _narrow(like: torch.Tensor, *parts: torch.Tensor) -> Any:
    return tuple(part.to(like.dtype) for part in parts)


def _one_or_minus_one(array: torch.Tensor) -> torch.Tensor:
    return torch.where(array < 0, -torch.ones_like(array), torch.ones_like(array))
