"""The three array namespaces offer the same functions, and they agree in value and derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from specdsl.arrays import Arrays, transpose
from specdsl.arrays.dual import DUAL, Dual
from specdsl.arrays.numpy_arrays import NUMPY, lu_by_elimination
from specdsl.arrays.torch_arrays import TorchArrays

TORCH = TorchArrays(dtype=torch.float64)
METHODS = sorted(name for name in vars(Arrays) if not name.startswith("_"))
RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=(2, 3, 4))
M = RANDOM.normal(size=(3, 3)) + 4 * np.eye(3)
POSITIVE = 0.5 + RANDOM.random(size=(2, 3))
PLACES = np.array([2, 0, 1])

# Each calls one function; `A` stands for the array that is differentiated.
CALLS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "full": (A, lambda xp, A: xp.full((2, 2), 1.5, like=A)),
    "eye": (A, lambda xp, A: xp.eye(3, like=A)),
    "arange": (A, lambda xp, A: xp.arange(4, like=A) * A),
    "reshape": (A, lambda xp, A: xp.reshape(A, (4, 6))),
    "permute": (A, lambda xp, A: xp.permute(A, (2, 0, 1))),
    "concat": (A, lambda xp, A: xp.concat([A, 2 * A], -1)),
    "broadcast": (A, lambda xp, A: xp.broadcast(A, (5, 2, 3, 4))),
    "take": (A, lambda xp, A: xp.take(A, places(xp), 1)),
    "slice": (A, lambda xp, A: xp.slice(A, -1, 1, 4, 2)),
    "scatter": (A[0, :, 0], lambda xp, v: xp.scatter(v, places(xp), 5)),
    "einsum": (A, lambda xp, A: xp.einsum("abc,abd,b->dc", A, A, xp.sum(A, axis=(0, 2)))),
    "exp": (A, lambda xp, A: xp.exp(A)),
    "log": (POSITIVE, lambda xp, A: xp.log(A)),
    "sqrt": (POSITIVE, lambda xp, A: xp.sqrt(A)),
    "sin": (A, lambda xp, A: xp.sin(A)),
    "cos": (A, lambda xp, A: xp.cos(A)),
    "tanh": (A, lambda xp, A: xp.tanh(A)),
    "erf": (A, lambda xp, A: xp.erf(A)),
    "relu": (A, lambda xp, A: xp.relu(A)),
    "sigmoid": (A, lambda xp, A: xp.sigmoid(A)),
    "silu": (A, lambda xp, A: xp.silu(A)),
    "gelu": (A, lambda xp, A: xp.gelu(A)),
    "softmax": (A, lambda xp, A: xp.softmax(A)),
    "abs": (A, lambda xp, A: xp.abs(A)),
    "sign": (A, lambda xp, A: xp.sign(A)),
    "floor": (A, lambda xp, A: xp.floor(A)),
    "ceil": (A, lambda xp, A: xp.ceil(A)),
    "where": (A, lambda xp, A: xp.where(A > 0.5, A * A, 2 * A)),
    "maximum": (A, lambda xp, A: xp.maximum(A * A, xp.maximum(A, 0.2))),
    "minimum": (A, lambda xp, A: xp.minimum(xp.minimum(0.2, A), -A)),
    "sum": (A, lambda xp, A: xp.sum(A, axis=(0, 2)) + xp.sum(A) + xp.sum(A, axis=1, keep=True)[0, :, :3]),
    "max": (A, lambda xp, A: xp.max(A) + xp.max(A, axis=1) + xp.max(A, axis=0, keep=True)[0, :2]),
    "min": (A, lambda xp, A: xp.min(A) + xp.min(A, axis=1) + xp.min(A, axis=0, keep=True)[0, :2]),
    "norm": (A, lambda xp, A: xp.norm(A) + xp.norm(A, axis=-1, keep=True) + xp.norm(A, axis=(0, 1))),
    "top_mask": (A, lambda xp, A: (xp.top_mask(A, 3) + xp.top_mask(A, 2, axis=-1)) * A),
    "inverse": (M, lambda xp, A: xp.inverse(A)),
    "pinv": (A, lambda xp, A: xp.pinv(A)),
    "svd": (A, lambda xp, A: xp.concat([xp.reshape(part, (-1,)) for part in xp.svd(A)], 0)),
    "qr": (A, lambda xp, A: xp.concat(xp.qr(A), -1)),
    "lu": (M, lambda xp, A: xp.concat(xp.lu(A), -1)),
    "eigh": (M, lambda xp, A: xp.concat([xp.reshape(E, (-1,)) for E in xp.eigh(A + transpose(xp, A))], 0)),
    "fft2": (A, lambda xp, A: xp.fft2(A)),
    "ifft2": (A, lambda xp, A: xp.ifft2(A)),
    "real": (A, lambda xp, A: xp.real(xp.ifft2(xp.fft2(A) * xp.fft2(A)))),
    "dropout": (A, lambda xp, A: xp.dropout(A, 0.5)),
    "stop": (A, lambda xp, A: xp.stop(A) * A),
    "is_complex": (A, lambda xp, A: A * (xp.is_complex(xp.fft2(A)) + 2 * xp.is_complex(A))),
}  # fmt: skip


def places(xp: Any) -> Any:
    return torch.tensor(PLACES) if xp is TORCH else PLACES


def test_the_three_namespaces_have_every_function() -> None:
    assert sorted(CALLS) == METHODS
    for namespace in (NUMPY, DUAL, TORCH):
        assert [name for name in METHODS if not callable(getattr(namespace, name, None))] == []


@pytest.mark.parametrize("name", METHODS)
def test_the_namespaces_agree(name: str) -> None:
    array, call = CALLS[name]
    direction = np.random.default_rng(1).normal(size=array.shape)
    value = call(NUMPY, array)
    pair = call(DUAL, Dual(array, direction))
    expected, change = torch.func.jvp(lambda A: call(TORCH, A), (torch.tensor(array),), (torch.tensor(direction),))
    assert_allclose(value, expected.numpy(), rtol=1e-10, atol=1e-10)
    assert_allclose(pair.value, value, rtol=1e-12, atol=1e-12)
    assert_allclose(pair.tangent, change.numpy(), rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------------------- dual numbers

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b + 1.5,
    "right add": lambda a, b: 1.5 + a,
    "subtract": lambda a, b: a - b - 2.0,
    "right subtract": lambda a, b: 2.0 - b,
    "negate": lambda a, b: -a,
    "multiply": lambda a, b: 3.0 * a * b * 2.0,
    "divide": lambda a, b: a / b / 2.0,
    "right divide": lambda a, b: 1.5 / b,
    "matrix product": lambda a, b: a @ b,
    "whole power": lambda a, b: a**3 + b**-1 + a**0,
    "broken power": lambda a, b: b**0.5,
    "power of two arrays": lambda a, b: b**a,
    "compare": lambda a, b: (a < b) * a + (a > 0.1) * b + (a <= 0.3) * a * a + (a >= b) * b * b,
    "index": lambda a, b: a[0] + b[:, 1],
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_of_dual_numbers_follows_torch(name: str) -> None:
    function, random = ARITHMETIC[name], np.random.default_rng(2)
    a, b, da, db = (random.normal(size=(3, 3)) for _ in range(4))
    b = 0.5 + np.abs(b)
    result = function(Dual(a, da), Dual(b, db))
    value, change = torch.func.jvp(function, (torch.tensor(a), torch.tensor(b)), (torch.tensor(da), torch.tensor(db)))
    assert_allclose(result.value, value.numpy(), rtol=1e-12)
    assert_allclose(result.tangent, change.numpy(), rtol=1e-10, atol=1e-12)


def test_a_dual_number_meets_a_plain_array_from_either_side() -> None:
    plain, number = np.array([[1.0, 2.0], [3.0, 4.0]]), Dual(np.eye(2), np.ones((2, 2)))
    for result in (plain @ number, plain * number, plain + number, plain - number, plain / (number + 1.0)):
        assert isinstance(result, Dual)
        assert result.shape == (2, 2)
    assert_allclose((plain @ number).tangent, plain @ np.ones((2, 2)))


@pytest.mark.parametrize(
    ("function", "at"),
    [
        (lambda xp, A: xp.relu(A), [0.0, 1.0]),
        (lambda xp, A: xp.abs(A), [0.0, -2.0]),
        (lambda xp, A: xp.norm(A), [0.0, 0.0]),
        (lambda xp, A: xp.norm(A, axis=-1), [[0.0, 0.0], [3.0, 4.0]]),
        (lambda xp, A: xp.maximum(A, -A), [0.0, 1.0]),
        (lambda xp, A: xp.max(A), [1.0, 1.0, 0.0]),
        (lambda xp, A: A**2, [0.0, 1.0]),
    ],
)
def test_derivatives_at_kinks_are_those_of_torch(function: Callable[..., Any], at: Any) -> None:
    point = np.array(at)
    direction = np.linspace(0.5, 1.5, point.size).reshape(point.shape)
    tensor = torch.tensor(point, requires_grad=True)
    (gradient,) = torch.autograd.grad(function(TORCH, tensor).sum(), tensor)
    assert_allclose(np.sum(function(DUAL, Dual(point, direction)).tangent), np.sum(gradient.numpy() * direction))


# ------------------------------------------------------------------------------------------------ details


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (1, 1)])
def test_elimination_gives_a_permutation_and_triangles(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(3).normal(size=shape)
    P, L, U = lu_by_elimination(matrix)
    assert_allclose(P @ L @ U, matrix, atol=1e-13)
    assert_array_equal(L, np.tril(L))
    assert_array_equal(np.diagonal(L), 1.0)
    assert_array_equal(U, np.triu(U))
    for ours, theirs in zip((P, L, U), torch.linalg.lu(torch.tensor(matrix)), strict=True):
        assert_allclose(ours, theirs.numpy(), atol=1e-13)


def test_elimination_of_a_singular_matrix_does_not_divide_by_zero() -> None:
    P, L, U = lu_by_elimination(np.array([[0.0, 1.0], [0.0, 2.0]]))
    assert_allclose(P @ L @ U, [[0.0, 1.0], [0.0, 2.0]])


def test_decompositions_do_not_depend_on_the_signs_that_a_library_happens_to_choose() -> None:
    rotation, _ = np.linalg.qr(RANDOM.normal(size=(4, 4)))
    U, S, V = NUMPY.svd(rotation[:, :3] * [3.0, 2.0, 1.0])
    expected = rotation[:, :3] * np.sign(rotation[np.argmax(np.abs(rotation[:, :3]), 0), range(3)])
    assert_allclose(U, expected, atol=1e-12)
    assert_allclose((U * S) @ V, rotation[:, :3] * [3.0, 2.0, 1.0], atol=1e-12)
    assert np.all(np.diagonal(NUMPY.qr(-rotation)[1]) > 0)


@pytest.mark.parametrize("xp", [NUMPY, DUAL, TORCH])
def test_the_first_of_equal_entries_is_among_the_top(xp: Any) -> None:
    values = np.array([[1.0, 2.0, 2.0], [2.0, 0.0, 0.0]])
    array = torch.tensor(values) if xp is TORCH else values

    def plain(mask: Any) -> Any:
        return getattr(mask, "value", mask)

    assert_array_equal(plain(xp.top_mask(array, 2)), [[0, 1, 1], [0, 0, 0]])
    assert_array_equal(plain(xp.top_mask(array, 2, axis=-1)), [[0, 1, 1], [1, 1, 0]])
    assert_array_equal(plain(xp.top_mask(array, 1, axis=0)), [[0, 1, 1], [1, 0, 0]])


def test_a_singular_matrix_has_an_inverse_of_nan_in_torch() -> None:
    stack = torch.stack([torch.zeros(2, 2), 2 * torch.eye(2)])
    assert_array_equal(TORCH.inverse(stack).isnan().all(-1).all(-1), [True, False])
    assert_array_equal(TORCH.inverse(stack)[1], 0.5 * np.eye(2))


def test_dropout_drops_in_training_only() -> None:
    xp, ones = TorchArrays(), torch.ones(10_000)
    assert_array_equal(xp.dropout(ones, 0.25), ones)
    xp.training = True
    dropped = xp.dropout(ones, 0.25)
    assert sorted(set(dropped.tolist())) == pytest.approx([0.0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_new_tensors_take_dtype_and_device_from_their_model(dtype: torch.dtype) -> None:
    model = torch.ones(2, dtype=dtype, device="meta")
    for made in (TORCH.full((3,), 1.0, like=model), TORCH.eye(3, like=model)):
        assert (made.dtype, made.device.type) == (dtype, "meta")
    assert TORCH.arange(3, like=model).device.type == "meta"


def test_new_tensors_without_a_model_take_those_of_the_namespace() -> None:
    xp = TorchArrays(device="meta", dtype=torch.float16)
    for made in (xp.full((3,), 1.0), xp.eye(3)):
        assert (made.dtype, made.device.type) == (torch.float16, "meta")


def test_maximum_takes_numbers_on_either_side() -> None:
    tensor = torch.tensor([1.0, 3.0])
    assert_array_equal(TORCH.maximum(2.0, tensor), [2.0, 3.0])
    assert_array_equal(TORCH.minimum(tensor, 2.0), [1.0, 2.0])
    assert TORCH.maximum(1.0, 2.0) == 2.0
