"""`specdsl.weight`: the adapted weight in float64, equal to the formula and to what the modules hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import specdsl
from specdsl.errors import SpecMergeError, SpecSettingError, SpecShapeError
from tests.lowering.literal import METHODS, attach_moved

N, M = 7, 5
WEIGHTS = [method for method in METHODS if method not in ("parallel", "houlsby", "attention")]


def arrays(seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, M)), rng.normal(size=M)


def literal(method: str, W: Any, b: Any, factors: dict[str, Any]) -> tuple[Any, Any]:
    """`W'` and `b'` read off the formula's output at zero and at the unit vectors."""

    def output(x: torch.Tensor) -> Any:
        tensors = {name: torch.as_tensor(value) for name, value in {"W": W, "b": b, **factors}.items()}
        values = SimpleNamespace(**tensors, x=x, y=x @ tensors["W"] + tensors["b"])
        return METHODS[method][1](values).numpy()

    shift = output(torch.zeros(1, N, dtype=torch.float64))
    return output(torch.eye(N, dtype=torch.float64)) - shift, shift[0]


@pytest.mark.parametrize("method", WEIGHTS)
def test_it_is_the_formula_and_what_merging_gives(method: str) -> None:
    W, b = arrays()
    module = nn.Linear(N, M).double()
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(W.T.copy()))
        module.bias.copy_(torch.as_tensor(b))
    adapter, starts = attach_moved(module, METHODS[method][0])
    factors = {name: value.detach().numpy().copy() for _, name, value in adapter.factors()}
    found, offset = specdsl.weight(METHODS[method][0], W, b, factors)

    wanted, shift = literal(method, W, b, {**factors, **{f"{name}0": value.numpy() for name, value in starts.items()}})
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(offset, shift, rtol=1e-9, atol=1e-9)
    adapter.merge()
    np.testing.assert_allclose(found, module.weight.detach().numpy().T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(offset, module.bias.detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", WEIGHTS)
def test_without_factors_it_is_the_base(method: str) -> None:
    W, b = arrays()
    found, offset = specdsl.weight(METHODS[method][0], W, b)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, W, atol=1e-12)
    np.testing.assert_allclose(offset, b, atol=1e-12)


def test_starts_are_those_of_attaching() -> None:
    W, _ = arrays()
    module = nn.Linear(N, M, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(W.T.copy()))
    spec = "frozen A : n x r ~ normal(1)\nr = 2\nW' = W + A@B"
    adapter = specdsl.attach(nn.Sequential(module), spec, on="re:0", seed=3, dtype="float64")
    B = np.ones((2, M))
    found, _ = specdsl.weight(spec, W, factors={"B": B}, seed=3, module="0")
    A = adapter.members[0].layer.factor("A").numpy()
    np.testing.assert_allclose(found, W + A @ B)


def test_an_absent_bias_stays_absent_unless_one_is_made() -> None:
    W, _ = arrays()
    assert specdsl.weight("W + A@B | r = 2", W)[1] is None
    assert specdsl.weight("y .* l", W)[1] is None
    d = np.arange(M)
    np.testing.assert_array_equal(specdsl.weight("b + d", W, factors={"d": d})[1], d)


def test_hyper_parameters_and_parsed_specs_are_taken() -> None:
    W, b = arrays()
    A, B = np.ones((N, 3)), np.ones((3, M))
    spec = specdsl.parse("W + alpha/r * A@B")
    found, _ = specdsl.weight(spec, W, b, {"A": A, "B": B}, r=3, alpha=6)
    np.testing.assert_allclose(found, W + 6)


def test_an_index_is_taken_as_whole_numbers() -> None:
    W, _ = arrays()
    spec = "index I : r\nr = 2\nfrozen P ~ W[I, :]\nW' = W + A@P"
    A = np.ones((N, 2))
    found, _ = specdsl.weight(spec, W, factors={"I": [4, 1], "A": A})
    np.testing.assert_allclose(found, W + A @ W[[4, 1]])


MISTAKES = {
    "no weight": (
        SpecMergeError,
        "r = 2 | y + relu(x@A)@B is not a weight: `relu(x@A)` is not linear in the input",
        {"spec": "y + relu(x@A)@B | r = 2"},
    ),
    "a factor of another shape": (
        SpecShapeError, "the factor `A` is (7, 3), but the spec says (7, 2)",
        {"spec": "W + A@B | r = 2", "factors": {"A": np.ones((7, 3))}},
    ),
    "an unknown factor": (
        SpecSettingError, "the spec has no factor `a`", {"spec": "W + A@B | r = 2", "factors": {"a": np.ones((7, 2))}},
    ),
    "a size condition": (
        SpecShapeError, "a 7 x 5 weight does not meet the size condition m/2 is a whole number",
        {"spec": "A : n x m/2\nW' = W + tile(A, n, m)"},
    ),
    "an index without a value": (
        SpecSettingError, "the index `I` is given when attaching",
        {"spec": "index I : r\nr = 2\nfrozen P ~ W[I, :]\nW' = W + A@P"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake: str) -> None:
    kind, message, options = MISTAKES[mistake]
    W, b = arrays()
    with pytest.raises(kind) as caught:
        specdsl.weight(options["spec"], W, b, options.get("factors"))
    assert caught.value.message == message


def test_a_bias_has_the_length_of_the_output() -> None:
    W, _ = arrays()
    with pytest.raises(SpecShapeError, match=r"b has the shape \(1,\), but W is 7 x 5"):
        specdsl.weight("W + A@B", W, np.ones(1))


def test_a_weight_has_two_axes() -> None:
    with pytest.raises(SpecShapeError, match="W has 1 axes; it is n x m"):
        specdsl.weight("W + A@B", np.ones(3))


def test_what_is_given_stays_as_it_is() -> None:
    W, b = arrays()
    before = W.copy(), b.copy()
    found, offset = specdsl.weight("b + d", W, b)
    found[0, 0], offset[0] = 9.0, 9.0  # type: ignore[index]
    np.testing.assert_array_equal(W, before[0])
    np.testing.assert_array_equal(b, before[1])


def test_tensors_that_are_trained_are_read_as_numbers() -> None:
    import torch

    A, B = torch.ones(3, 1, requires_grad=True), torch.ones(1, 2, dtype=torch.bfloat16)
    adapted, _ = specdsl.weight("W + A@B", torch.zeros(3, 2), factors={"A": A, "B": B}, r=np.int64(1))
    np.testing.assert_array_equal(adapted, np.ones((3, 2)))
