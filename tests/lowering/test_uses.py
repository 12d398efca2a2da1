"""Adapted layers in all that PyTorch does with modules: odd shapes, pickles, replicas, functional calls."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecSettingError, SpecTargetError
from specdsl.runtime.adapter import Adapter
from tests.ordinary_methods import ORDINARY

BOUNDED_RANK = ("pissa", "spectral_adapter")
"""Their factors start as parts of W, of which there are min(n, m)."""

SOME = ["lora", "dora", "vera", "hydra", "houlsby", "mpc_o", "spectral_adapter", "ssb"]


def attached(model: nn.Module, name: str, rank: int = 2, on: str = "re:[02]") -> Adapter:
    """The spec on the model, its factors moved away from where they start."""
    spec = specdsl.parse(name)
    with suppress(SpecSettingError):  # a spec without a rank
        spec = spec.set(r=rank)
    adapter = specdsl.attach(model, spec, on=on)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
    return adapter


def two_layers(name: str) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))
    attached(model, name)
    return model.eval()


def one_layer(layer: nn.Module, name: str, rank: int = 2) -> tuple[nn.Sequential, Adapter]:
    torch.manual_seed(0)
    model = nn.Sequential(layer)
    return model, attached(model, name, rank, on="re:0")


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


# ------------------------------------------------------------------------------------------ sizes and shapes


@pytest.mark.parametrize("sizes", [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("name", ORDINARY)
def test_sizes_of_one_work(name: str, sizes: tuple[int, int]) -> None:
    model, adapter = one_layer(nn.Linear(*sizes), name, rank=1)
    y = model(normal(3, sizes[0]))
    assert y.shape == (3, sizes[1])
    y.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in adapter.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("name", [name for name in ORDINARY if name not in BOUNDED_RANK])
def test_a_rank_above_the_sizes_works(name: str) -> None:
    model, _ = one_layer(nn.Linear(3, 4), name, rank=9)
    assert model(normal(5, 3)).shape == (5, 4)


@pytest.mark.parametrize("name", BOUNDED_RANK)
def test_a_rank_above_that_of_the_weight_is_refused(name: str) -> None:
    with pytest.raises(SpecTargetError, match=r"`0` does not meet the size condition r <= min\(m, n\)"):
        one_layer(nn.Linear(3, 4), name, rank=9)


@pytest.mark.parametrize("leading", [(0,), (2, 0)])
@pytest.mark.parametrize("name", ORDINARY)
def test_an_empty_batch_gives_an_empty_output(name: str, leading: tuple[int, ...]) -> None:
    model, _ = one_layer(nn.Linear(6, 4), name)
    y = model(normal(*leading, 6))
    assert y.shape == (*leading, 4)
    y.sum().backward()


@pytest.mark.parametrize("name", ORDINARY)
def test_leading_axes_and_strides_change_nothing(name: str) -> None:
    model, _ = one_layer(nn.Linear(6, 4), name)
    x = normal(2, 3, 5, 6)
    y = model(x)
    assert not x.requires_grad
    assert_close(model(x.reshape(-1, 6)).reshape(y.shape), y)
    assert_close(model(x[1]), y[1])
    assert_close(model(x[0, 1, 2]), y[0, 1, 2])
    assert_close(model(x.transpose(0, 2)), y.transpose(0, 2))
    assert_close(model(x[:1].expand(4, 3, 5, 6))[3], y[0])


CONVOLUTIONS: list[dict[str, Any]] = [
    {"padding": 1, "padding_mode": "reflect"},
    {"padding": "same", "padding_mode": "circular"},
    {"stride": 2, "dilation": 2},
    {"stride": (2, 1), "dilation": (1, 2), "padding": (2, 1), "padding_mode": "replicate", "bias": False},
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
@pytest.mark.parametrize("name", ORDINARY)
def test_convolutions_of_all_kinds_run_and_merge(name: str, options: dict[str, Any]) -> None:
    model, adapter = one_layer(nn.Conv2d(2, 4, 3, **options), name)
    x = normal(2, 2, 7, 8)
    y = model(x).detach()
    assert y.shape == nn.Conv2d(2, 4, 3, **options)(x).shape
    if adapter.spec.facts.mergeable:
        adapter.merge()
        assert_close(model(x), y, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("options", "why"), [({"max_norm": 1.0}, "max_norm"), ({"scale_grad_by_freq": True}, "scale_grad_by_freq")]
)
def test_an_embedding_that_is_no_product_is_refused(options: dict[str, Any], why: str) -> None:
    model = nn.Sequential(nn.Embedding(9, 4, **options))
    before = model[0].weight.clone()  # type: ignore[operator]
    with pytest.raises(SpecTargetError, match=f"`0` cannot carry a spec: its `{why}`"):
        specdsl.attach(model, "lora", on="re:0")
    assert torch.equal(model[0].weight, before)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [(4, 3), (200, 100)])
def test_padding_trains_as_the_formula_says_in_any_plan(sizes: tuple[int, int]) -> None:
    """Small tables build W', large ones gather rows of A; factors of all rows change the padding's too."""
    n, m = sizes
    model, adapter = one_layer(nn.Embedding(n, m, padding_idx=1), "W + A@B | r = 2")
    x = torch.tensor([[1, 2, 3], [1, 1, 0]])
    model(x).sum().backward()
    A, B = (value for _, _, value in adapter.factors())
    one_hot = torch.nn.functional.one_hot(x, n).float().reshape(-1, n)
    ones = torch.ones(len(one_hot), m)
    assert_close(A.grad, one_hot.T @ ones @ B.T)
    assert_close(B.grad, (one_hot @ A).T @ ones)


@pytest.mark.parametrize("norm", [lambda: nn.LayerNorm(6, elementwise_affine=False), lambda: nn.LayerNorm((3, 6))])
def test_a_norm_without_a_vector_for_weight_is_refused(norm: Any) -> None:
    with pytest.raises(SpecTargetError, match="names only modules that cannot carry a spec: LayerNorm"):
        specdsl.attach(nn.Sequential(norm()), "bitfit", on="re:0")


# ------------------------------------------------------------------------------------------ copies of modules


@pytest.mark.parametrize("name", ORDINARY)
def test_a_deep_copy_is_independent(name: str) -> None:
    model = two_layers(name)
    other = copy.deepcopy(model)
    x = normal(5, 6)
    before = model(x)
    assert torch.equal(other(x), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 1.0
    assert not torch.allclose(other(x), before)
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("name", ORDINARY)
def test_a_model_is_pickled_with_its_adapters(name: str) -> None:
    model = two_layers(name)
    other = pickle.loads(pickle.dumps(model))
    assert type(other[0]) is type(model[0])
    assert torch.equal(other(normal(5, 6)), model(normal(5, 6)))
    assert list(other.state_dict()) == list(model.state_dict())


def test_a_saved_model_is_read_by_another_process(tmp_path: Path) -> None:
    """Strings have other hashes there."""
    model, x = two_layers("mpc_o"), normal(5, 6)
    torch.save((model, x, model(x)), tmp_path / "model.pt")
    script = (
        "import sys, torch; model, x, y = torch.load(sys.argv[1], weights_only=False); assert torch.equal(model(x), y);"
        "assert isinstance(model[0], torch.nn.Linear); model.train()(x).sum().backward();"
        "torch.optim.SGD(model.parameters(), lr=0.1).step(); assert not torch.equal(model.eval()(x), y)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "model.pt")], check=True)


def test_a_pickled_model_has_penalties_of_its_own() -> None:
    buffer = io.BytesIO()
    torch.save(two_layers("W + A@B | penalty 2 * norm(A)^2"), buffer)
    buffer.seek(0)
    other = torch.load(buffer, weights_only=False).train()
    x, A = normal(5, 6), dict(other.named_parameters())["0.specdsl.default.A"]
    task = torch.autograd.grad(other(x).sum(), A)[0]
    other(x).sum().backward()
    torch.optim.SGD([value for value in other.parameters() if value.requires_grad], lr=0.0).step()
    assert A.grad is not None
    assert_close(A.grad - task, 4 * A.detach(), rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------------- other ways of running


def replica(module: nn.Module, scale: float) -> nn.Module:
    """What `nn.DataParallel` puts on another device: shallow copies whose tensors are copies; here scaled too."""
    made: nn.Module = module._replicate_for_data_parallel()
    for name, child in module._modules.items():
        made._modules[name] = None if child is None else replica(child, scale)
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        factor = scale if name in module._parameters else 1.0
        setattr(made, name, None if tensor is None else tensor * factor)
    return made


@pytest.mark.parametrize("name", SOME)
def test_a_replica_runs_with_tensors_of_its_own(name: str) -> None:
    model, x = two_layers(name), normal(5, 6)
    wanted = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in wanted.parameters():
            parameter *= 1.5
    assert_close(replica(model, 1.5)(x), wanted(x))


def test_a_replica_runs_while_an_adapter_is_merged() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4))
    attached(model, "lora", on="re:0").merge()
    specdsl.attach(model, "W + A@B", on="re:0", name="other", r=2)
    assert_close(replica(model, 1.0)(normal(5, 6)), model(normal(5, 6)))


@pytest.mark.parametrize("name", ORDINARY)
def test_a_functional_call_takes_other_tensors(name: str) -> None:
    model, x = two_layers(name), normal(5, 6)
    given = {name: parameter.detach() * 1.5 for name, parameter in model.named_parameters()}
    wanted = copy.deepcopy(model)
    wanted.load_state_dict(given)
    assert_close(torch.func.functional_call(model, given, (x,)), wanted(x))


@pytest.mark.parametrize("name", SOME)
def test_functional_gradients_are_those_of_backward(name: str) -> None:
    model, x = two_layers(name), normal(5, 6)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = torch.func.grad(lambda values: torch.func.functional_call(model, values, (x,)).sum())(
        {name: parameter.detach() for name, parameter in trained.items()}
    )
    model(x).sum().backward()
    for name, parameter in trained.items():
        assert_close(found[name], parameter.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", ORDINARY)
def test_a_model_may_be_cast_after_attaching(name: str, dtype: torch.dtype) -> None:
    model, x = two_layers(name), normal(5, 6)
    wanted = model(x)
    y = model.to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    assert_close(y.float(), wanted, rtol=0.05, atol=0.05)
    y.sum().backward()
