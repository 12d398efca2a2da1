"""Every operator keeps its word: shape, value, torch, derivatives, dtype, facts, on random legal arguments.

`operator_formulas` says what each operator is. An operator without an entry there, or without a line of
documentation, fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch._subclasses.fake_tensor import FakeTensorMode

from specdsl.arrays.dual import DUAL, Dual
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.arrays.torch_arrays import TorchArrays
from specdsl.operators import Operator, Option, add_operator, all_operators, find_operator, remove_operator
from specdsl.operators.registry import REQUIRED, check_operator
from specdsl.randomness import Stream
from specdsl.sizes import Size
from tests.operator_formulas import DRAWS, FORMULAS, PROPERTIES

ALL = {operator.name: operator for operator in all_operators()}
COMPUTED = sorted(name for name, operator in ALL.items() if operator.draw is None)
DRAWN = sorted(ALL.keys() - set(COMPUTED))
WITH_ARRAYS = [name for name in COMPUTED if ALL[name].inputs]
SMOOTH = [name for name in WITH_ARRAYS if not ALL[name].has("constant")]
BY_DIFFERENCES = {"svd", "qr", "lu", "ldu", "eigh", "pinv"}
ROUNDS = 6
TORCH = TorchArrays(dtype=torch.float64)


# ------------------------------------------------------------------------------------- random legal arguments


@dataclass(frozen=True)
class Case:
    """An operator with arguments."""

    operator: Operator
    arrays: tuple[Any, ...]
    options: Mapping[str, Any]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [array.shape for array in self.arrays]

    @property
    def floats(self) -> list[int]:
        """The positions of arrays of numbers; the others are places."""
        return [i for i, array in enumerate(self.arrays) if array.dtype.kind != "i"]

    def value(self, *arrays: Any) -> Any:
        return self.operator.value(NUMPY, *(arrays or self.arrays), **self.options)

    def in_torch(self, *arrays: Any, xp: TorchArrays = TORCH) -> tuple[Any, ...]:
        return as_tuple(self.operator.value(xp, *arrays, **self.options))

    def tensors(self, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
        tensors = [torch.tensor(array) for array in self.arrays]
        return [tensor.to(dtype) if i in self.floats else tensor for i, tensor in enumerate(tensors)]

    def of_floats(self) -> tuple[Callable[..., tuple[Any, ...]], list[torch.Tensor]]:
        """The operator in torch as a function of its arrays of numbers, and those."""
        fixed, floats = self.tensors(), self.floats

        def function(*free: torch.Tensor) -> tuple[Any, ...]:
            given = dict(zip(floats, free, strict=True))
            values = self.in_torch(*(given.get(i, tensor) for i, tensor in enumerate(fixed)))
            return tuple(torch.where(torch.isfinite(value), value, 0.0) for value in values)

        return function, [fixed[i] for i in floats]


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def random_case(name: str, round: int) -> Case:
    operator, random = ALL[name], np.random.default_rng([round, *name.encode()])
    arrays, options = (operator.samples or signature_samples(operator))(random)
    return Case(operator, tuple(np.asarray(array) for array in arrays), options)


def random_cases(name: str) -> Iterator[Case]:
    return (random_case(name, round) for round in range(ROUNDS))


def signature_samples(operator: Operator) -> Callable[[Any], tuple[list[Any], dict[str, Any]]]:
    """Normal arrays of random sizes, as the signature says."""

    def samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
        leading = random.integers(1, 4, size=random.integers(0, 3))
        sizes: dict[str, Any] = {}
        shapes = []
        for pattern in operator.inputs:
            axes = [] if pattern == "()" else pattern.split()
            for axis in axes:
                sizes.setdefault(axis, (*leading,) if axis == "..." else (random.integers(1, 6),))
            shapes.append([size for axis in axes for size in sizes[axis]])
        return [random.normal(size=shape) for shape in shapes], {}

    return samples


# ------------------------------------------------------------------------------------------------- shapes


def signature_shapes(case: Case) -> list[tuple[int, ...]]:
    """The shapes that the signature gives to the values."""
    known: dict[str, Any] = {name: value for name, value in case.options.items() if isinstance(value, int)}
    leading: tuple[int, ...] = ()
    for pattern, shape in zip(case.operator.inputs, case.shapes, strict=True):
        axes = [] if pattern == "()" else pattern.split()
        if axes[:1] == ["..."]:
            axes = axes[1:]
            leading = shape[: len(shape) - len(axes)]
        for axis, size in zip(axes, shape[len(shape) - len(axes) :], strict=True):
            assert known.setdefault(axis, size) == size, "the arguments do not fit the signature"
    results = []
    for pattern in case.operator.outputs:
        axes = [] if pattern == "()" else pattern.split()
        sizes = [leading if axis == "..." else (eval(axis, {"min": min}, known),) for axis in axes]
        results.append(tuple(size for part in sizes for size in part))
    return results


class NumericContext:
    """A shape context that knows all sizes and refuses arguments that do not fit."""

    def fresh(self) -> Size:
        raise AssertionError("nothing is unknown here")

    def same(self, left: Size, right: Size, why: str) -> None:
        assert left == right, why

    def whole(self, size: Size, why: str) -> None:
        assert size.integer({}) >= 1, why

    def at_most(self, small: Size, large: Size, why: str) -> None:
        assert small.integer({}) <= large.integer({}), why

    def resolved(self, size: Size) -> Size:
        return size


def symbolic(value: Any) -> Any:
    """A size as a shape rule gets it."""
    if isinstance(value, tuple):
        return tuple(map(symbolic, value))
    return Size.of(value) if isinstance(value, int) and not isinstance(value, bool) else value


def rule_shapes(case: Case) -> list[tuple[int, ...]]:
    """The shape that the operator's own rule gives."""
    axes = {option.name for option in case.operator.options if option.kind == "axis"}
    options = {n: value if n in axes else symbolic(value) for n, value in case.options.items()}
    assert case.operator.shape is not None
    shape = case.operator.shape(NumericContext(), [symbolic(tuple(map(int, s))) for s in case.shapes], options)
    return [tuple(size.integer({}) for size in shape)]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", COMPUTED)
def test_the_value_has_the_promised_shape(name: str) -> None:
    tried = set()
    for case in random_cases(name):
        shapes = rule_shapes(case) if case.operator.shape else signature_shapes(case)
        assert [np.shape(value) for value in as_tuple(case.value())] == shapes
        tried.add((tuple(case.shapes), str(case.options)))
    assert len(tried) > 1


# ------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("name", sorted(set(COMPUTED) & FORMULAS.keys()))
def test_the_value_is_the_formula(name: str) -> None:
    for case in random_cases(name):
        expected = FORMULAS[name](*case.arrays, **case.options)
        assert_allclose(case.value(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(COMPUTED) & PROPERTIES.keys()))
def test_the_value_has_its_defining_properties(name: str) -> None:
    for case in random_cases(name):
        PROPERTIES[name](case.value(), *case.arrays)


@pytest.mark.parametrize("name", COMPUTED)
def test_torch_computes_the_same(name: str) -> None:
    for case in random_cases(name):
        for tensor, array in zip(case.in_torch(*case.tensors()), as_tuple(case.value()), strict=True):
            assert_allclose(tensor.numpy(), array, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", COMPUTED)
def test_torch_keeps_the_dtype(name: str) -> None:
    case, xp = random_case(name, 0), TorchArrays(dtype=torch.float32)
    dtypes = {value.dtype for value in case.in_torch(*case.tensors(torch.float32), xp=xp)}
    assert dtypes <= {torch.int64 if name == "butterfly" else torch.float32, torch.complex64}
    assert dtypes == {torch.complex64} or name not in ("fft2", "ifft2")


@pytest.mark.parametrize("name", COMPUTED)
def test_everything_stays_on_the_device_without_waiting_for_it(name: str) -> None:
    case = random_case(name, 0)
    with FakeTensorMode():
        tensors = [torch.empty(a.shape, dtype=torch.tensor(a).dtype, device="cuda:0") for a in case.arrays]
        for value in case.in_torch(*tensors, xp=TorchArrays(device="cuda:0")):
            assert value.device == torch.device("cuda:0")


@pytest.mark.gpu
def test_cuda_computes_the_same_without_being_waited_for() -> None:
    xp = TorchArrays(device="cuda", dtype=torch.float64)
    for name in COMPUTED:
        case = random_case(name, 0)
        tensors = [tensor.cuda() for tensor in case.tensors()]
        case.in_torch(*tensors, xp=xp)  # the first call loads what CUDA needs
        torch.cuda.set_sync_debug_mode("default" if name in BY_DIFFERENCES else "error")
        try:
            values = case.in_torch(*tensors, xp=xp)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        for tensor, array in zip(values, as_tuple(case.value()), strict=True):
            assert_allclose(tensor.cpu().numpy(), array, rtol=1e-9, atol=1e-9, err_msg=name)


# -------------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("name", SMOOTH)
def test_the_gradient_is_that_of_the_value(name: str) -> None:
    for round in range(2):
        function, tensors = random_case(name, round).of_floats()
        assert torch.autograd.gradcheck(function, [tensor.requires_grad_() for tensor in tensors])


@pytest.mark.parametrize("name", WITH_ARRAYS)
def test_dual_numbers_carry_the_derivative_of_torch(name: str) -> None:
    tolerance = 1e-5 if name in BY_DIFFERENCES else 1e-10
    for round in range(2):
        case = random_case(name, round)
        function, tensors = case.of_floats()
        random = np.random.default_rng(round)
        tangents = dict(zip(case.floats, (random.normal(size=tensor.shape) for tensor in tensors), strict=True))
        duals = [Dual(a, tangents[i]) if i in tangents else a for i, a in enumerate(case.arrays)]
        values = as_tuple(case.operator.value(DUAL, *duals, **case.options))
        directions = tuple(torch.tensor(tangent) for tangent in tangents.values())
        _, expected = torch.func.jvp(function, tuple(tensors), directions)
        for value, tangent, plain in zip(values, expected, as_tuple(case.value()), strict=True):
            assert_allclose(value.value, plain, rtol=1e-12, atol=1e-12)
            assert_allclose(value.tangent, tangent.numpy(), rtol=tolerance, atol=tolerance)


# -------------------------------------------------------------------------------------------------- facts


def zeroed(case: Case, where: Any = True) -> list[Any]:
    """The arguments with zeros in the first array."""
    first, *rest = case.arrays
    return [np.where(where, 0.0, first), *rest]


def is_elementwise(case: Case) -> None:
    order = np.random.default_rng(0).permutation(case.arrays[0].size)
    mixed = [array.ravel()[order].reshape(array.shape) for array in case.arrays]
    assert_allclose(case.value(*mixed).ravel(), case.value().ravel()[order])


def is_linear_in(case: Case, position: int) -> None:
    def value(array: Any) -> Any:
        return case.value(*case.arrays[:position], array, *case.arrays[position + 1 :])

    A = case.arrays[position]
    B = np.random.default_rng(0).normal(size=A.shape)
    assert_allclose(value(-1.5 * A + B), -1.5 * value(A) + value(B), atol=1e-10)


def is_linear(case: Case) -> None:
    assert case.floats == [0]
    is_linear_in(case, 0)


def is_multilinear(case: Case) -> None:
    for position in range(len(case.arrays)):
        is_linear_in(case, position)


def keeps_zero(case: Case) -> None:
    assert not np.any(case.value(*zeroed(case)))
    if case.operator.has("elementwise"):
        where = np.random.default_rng(0).random(size=case.arrays[0].shape) < 0.5
        assert not np.any(case.value(*zeroed(case, where))[where])


def is_identity_at_zero(case: Case) -> None:
    value = case.value(*zeroed(case))
    one = 1.0 if case.operator.has("elementwise") else np.eye(value.shape[-1])
    assert_array_equal(value, np.broadcast_to(one, value.shape))


def is_orthogonal(case: Case) -> None:
    V = case.value()
    assert_allclose(V @ np.swapaxes(V, -1, -2), np.broadcast_to(np.eye(V.shape[-1]), V.shape), atol=1e-12)


def again(case: Case) -> Any:
    return case.value(case.value(), *case.arrays[1:])


def is_constant(case: Case) -> None:
    function, tensors = case.of_floats()
    for value in function(*(tensor.requires_grad_() for tensor in tensors)):
        if value.requires_grad:
            gradients = torch.autograd.grad(value.sum(), tensors)
            assert not any(gradient.any() for gradient in gradients)


def flipped(A: Any) -> Any:
    return np.swapaxes(A, -1, -2)


FACTS: dict[str, Callable[[Case], None]] = {
    "elementwise": is_elementwise,
    "linear": is_linear,
    "multilinear": is_multilinear,
    "keeps_zero": keeps_zero,
    "nonnegative": lambda case: assert_array_equal(case.value() >= 0, True),
    "symmetric": lambda case: assert_array_equal(case.value(), flipped(case.value())),
    "skew": lambda case: assert_array_equal(case.value(), -flipped(case.value())),
    "diagonal": lambda case: assert_array_equal(case.value(), np.triu(np.tril(case.value()))),
    "lower": lambda case: assert_array_equal(case.value(), np.tril(case.value())),
    "upper": lambda case: assert_array_equal(case.value(), np.triu(case.value())),
    "orthogonal": is_orthogonal,
    "identity_at_zero": is_identity_at_zero,
    "idempotent": lambda case: assert_allclose(again(case), case.value(), rtol=1e-12),
    "involution": lambda case: assert_allclose(again(case), case.arrays[0], rtol=1e-9, atol=1e-9),
    "constant": is_constant,
    "places": lambda case: assert_array_equal(case.value().dtype.kind, "i"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_of_places_are_whole_numbers_and_no_others(name: str) -> None:
    _, options = ALL[name].samples(np.random.default_rng(0))  # type: ignore[misc]
    drawn = ALL[name].draw(Stream(name), options.pop("shape"), **options)  # type: ignore[misc]
    assert (drawn.dtype.kind == "i") == ALL[name].has("places")


@pytest.mark.parametrize(("name", "fact"), [(name, fact) for name in COMPUTED for fact in sorted(ALL[name].facts)])
def test_a_claimed_fact_is_true(name: str, fact: str) -> None:
    for case in random_cases(name):
        FACTS[fact](case)


# -------------------------------------------------------------------------------------------- random starts


@pytest.mark.parametrize("name", DRAWN)
def test_a_random_start_is_what_it_says(name: str) -> None:
    draw, samples = ALL[name].draw, ALL[name].samples
    assert draw is not None
    assert samples is not None
    shapes = set()
    for round in range(ROUNDS):
        _, options = samples(np.random.default_rng(round))
        shape = options.pop("shape")
        if round == 0:  # enough values to see how they are distributed
            shape, options = (60, 50), options | ({"n": 4000} if "n" in options else {})
        values = draw(Stream(name, round), shape, **options)
        assert values.shape == tuple(shape)
        assert values.dtype == (np.int64 if "n" in options else np.float64)
        assert_array_equal(values, draw(Stream(name, round), shape, **options, seed=3))
        DRAWS[name](values, **options)
        shapes.add(shape)
    assert len(shapes) > 2


@pytest.mark.parametrize("name", DRAWN)
def test_a_random_start_has_no_value_to_compute(name: str) -> None:
    with pytest.raises(TypeError, match=f"`{name}` is random"):
        ALL[name].value(NUMPY)


# -------------------------------------------------------------------------------------------- completeness


def complaints(operator: Operator) -> list[str]:
    """What an operator lacks."""
    first = operator.doc.partition("\n")[0]
    is_open = operator.shape is not None or any(option.default is REQUIRED for option in operator.options)
    lacking = {
        "a line of documentation": not first.endswith("."),
        "samples": operator.samples is None and is_open,
        "a formula": operator.name not in FORMULAS.keys() | PROPERTIES.keys() | DRAWS.keys(),
    }
    return [what for what, is_lacking in lacking.items() if is_lacking]


@pytest.mark.parametrize("name", sorted(ALL))
def test_an_operator_is_complete(name: str) -> None:
    check_operator(ALL[name])
    assert complaints(ALL[name]) == []


def test_every_formula_is_that_of_an_operator() -> None:
    assert FORMULAS.keys() | PROPERTIES.keys() | DRAWS.keys() == ALL.keys()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"doc": ""}, "a line of documentation"),
        ({"options": (Option("k", "size"),), "value": lambda xp, A, k: xp.tanh(A)}, "samples"),
        ({"shape": lambda context, shapes, options: shapes[0]}, "samples"),
    ],
)
def test_an_incomplete_operator_is_found(
    change: dict[str, Any], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_operator(replace(ALL["tanh"], name="half_done", **change))
    try:
        found = find_operator("half_done")
        assert found is not None
        assert complaints(found) == [complaint, "a formula"]
        monkeypatch.setitem(FORMULAS, "half_done", np.tanh)
        assert complaints(found) == [complaint]
    finally:
        remove_operator("half_done")
