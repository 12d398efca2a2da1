"""What references do besides the layer: gates over tokens, optimisers, penalties, starts from data."""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import peft
import pytest
import torch
from numpy.testing import assert_allclose
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer, create_riemannian_optimizer
from peft.tuners.lora.loraga import preprocess_loraga
from torch import Tensor, nn

import specdsl
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.interpret import Sizes, evaluate
from specdsl.ir import Factor, Measured, Node
from specdsl.spec import Spec
from specdsl.starting import Starting, draw_numpy
from tests.parity.beyond import TRAINING

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT
N, M, R, ALPHA = 7, 5, 2, 6


def lora_of_peft(**options: Any) -> tuple[Any, nn.Linear]:
    """PEFT's LoRA on one layer, both factors at random, and the layer as it was."""
    torch.manual_seed(1)
    base = nn.Linear(N, M)
    config = peft.LoraConfig(r=R, lora_alpha=ALPHA, target_modules=["0"], init_lora_weights=False, **options)
    return peft.get_peft_model(nn.Sequential(copy.deepcopy(base)), config), base


def with_gradients(theirs: Any) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]:
    """Factors and gradients as ours, after one backward pass."""
    torch.manual_seed(2)
    theirs(torch.randn(4, N)).square().sum().backward()
    layer = theirs.base_model.model[0]
    parameters = {"A": layer.lora_A["default"].weight, "B": layer.lora_B["default"].weight}
    values = {name: value.detach().numpy().T.astype(float) for name, value in parameters.items()}
    gradients = {name: value.grad for name, value in parameters.items()}
    return values, {name: value.numpy().T.astype(float) for name, value in gradients.items() if value is not None}


def assigned(spec: Spec, values: Any, gradients: Any) -> dict[str, np.ndarray[Any, Any]]:
    """What the spec's event sets, by the reference interpreter."""
    (event,) = spec.ir.events
    sizes = Sizes({**spec.ir.hyper_values(), "n": N, "m": M, "layer": 0, "layers": 1})

    def leaf(node: Node) -> Any:
        if isinstance(node, Measured):
            (of,) = node.arguments
            assert isinstance(of, Factor)
            return gradients[of.name]
        assert isinstance(node, Factor)
        return values[node.name]

    found = evaluate(list(event.values), NUMPY, sizes, leaf)
    return dict(zip(event.assigned, (found[value] for value in event.values), strict=True))


def test_lora_fa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peft.optimizers.lorafa.is_bf16_available", lambda: False)
    theirs, _ = lora_of_peft()
    optimizer = create_lorafa_optimizer(theirs, r=R, lora_alpha=ALPHA, lr=1e-3)
    values, gradients = with_gradients(theirs)
    optimizer.step()
    (state,) = (state for state in optimizer.state.values() if "exp_avg_B" in state)
    expected = state["exp_avg_B"].numpy().T / (1 - optimizer.param_groups[0]["betas"][0])
    found = assigned(specdsl.parse("lora_fa", r=R, alpha=ALPHA), values, gradients)
    assert_allclose(found["grad(B)"], expected, rtol=1e-4)


def test_riemannian() -> None:
    theirs, _ = lora_of_peft()
    optimizer = create_riemannian_optimizer(theirs, torch.optim.SGD, lr=1.0, reg=1e-6)
    values, gradients = with_gradients(theirs)
    optimizer.step()
    layer = theirs.base_model.model[0]
    after = {"A": layer.lora_A["default"].weight, "B": layer.lora_B["default"].weight}
    found = assigned(specdsl.parse("riemannian", r=R, alpha=ALPHA), values, gradients)
    for name, value in after.items():
        step = values[name] - value.detach().numpy().T
        assert_allclose(found[f"grad({name})"], step, rtol=0, atol=2e-4 * abs(step).max())


def test_lora_plus() -> None:
    theirs, base = lora_of_peft()
    optimizer = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16)
    layer = theirs.base_model.model[0]
    rates = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    adapter = specdsl.attach(nn.Sequential(base), "lora_plus", on="re:0", r=R)
    ours = {id(value): group["lr"] for group in adapter.parameter_groups(1e-3) for value in group["params"]}
    for name, value in (("A", layer.lora_A["default"].weight), ("B", layer.lora_B["default"].weight)):
        (own,) = (own for _, factor, own in adapter.trained_factors() if factor == name)
        assert ours[id(own)] == pytest.approx(rates[id(value)])


class Reader(nn.Module):
    """A model of tokens, as PEFT's search for the invocation wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="reader", get=lambda *_: None, to_dict=dict)
        self.table, self.layer = nn.Embedding(9, N), nn.Linear(N, M)

    def forward(self, input_ids: Tensor, **_: Any) -> Tensor:
        y: Tensor = self.layer(self.table(input_ids))
        return y

    def prepare_inputs_for_generation(self, *_: Any, **values: Any) -> dict[str, Any]:
        return values


def test_alora() -> None:
    torch.manual_seed(1)
    base = Reader()
    config = peft.LoraConfig(
        r=R, lora_alpha=ALPHA, target_modules=["layer"], init_lora_weights=False, alora_invocation_tokens=[3, 4],
        task_type="CAUSAL_LM",
    )  # fmt: skip
    theirs = peft.get_peft_model(copy.deepcopy(base), config)
    layer: Any = theirs.base_model.model.layer
    ids = torch.tensor([[1, 3, 4, 2, 5], [3, 4, 1, 3, 4], [1, 2, 5, 6, 7]])
    active = torch.tensor([[0, 1, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
    adapter = specdsl.attach(base, "alora", on="re:layer", r=R, alpha=ALPHA)
    with torch.no_grad():
        for _, name, value in adapter.trained_factors():
            value.copy_({"A": layer.lora_A, "B": layer.lora_B}[name]["default"].weight.T)
        adapter.set_inputs(active=active)
        ours, expected = base(ids), theirs(input_ids=ids)
        with adapter.disabled():
            bare = base(ids)
    torch.testing.assert_close(ours, expected)
    assert ((expected - bare).abs().sum(-1) > 1e-3).equal(active.bool())


class WithLoss(nn.Module):
    """Two layers and an output that carries a loss, to which PEFT adds AdaLoRA's penalty."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(7, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=self.second(self.first(x)).square().mean())


def test_adalora() -> None:
    torch.manual_seed(1)
    model, x = WithLoss(), torch.randn(4, 7)
    ours = copy.deepcopy(model)
    options = {"init_r": 3, "target_r": 3, "total_step": 10, "tinit": 1, "tfinal": 1}
    config = peft.AdaLoraConfig(target_modules=["first", "second"], orth_reg_weight=0.1, **options)
    theirs: Any = peft.get_peft_model(model, config)
    adapter = specdsl.attach(ours, "adalora", on=["re:first", "re:second"], r=3, events=False)
    with torch.no_grad():
        for place, name, value in adapter.trained_factors():
            layer = getattr(theirs.base_model.model, place)
            value.copy_(getattr(layer, f"lora_{name.upper()}")["default"].T.reshape(value.shape))
    task_loss = theirs.base_model.model(x).loss
    torch.testing.assert_close(adapter.penalty(), theirs.base_model(x).loss - task_loss)


def started(spec: Spec, W: Any, measured: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The starts of A and B by the reference interpreter, with a measure of data given."""
    n, m = W.shape
    sizes = Sizes({**spec.ir.hyper_values(), "n": n, "m": m, "layer": 0, "layers": 1})

    def draw(node: Any, shape: Any, options: Any) -> Any:
        return draw_numpy(node, shape, options, 0, "start")

    start = Starting(spec.ir, NUMPY, sizes, {"W": W, "b": np.zeros(m)}, draw, measured=lambda *_: measured)
    return {name: np.asarray(start.factor(name)) for name in ("A", "B")}


@pytest.mark.parametrize(("method", "preview"), [("kpm", 0), ("ipm", 1)])
def test_corda(method: Any, preview: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # PEFT takes a decorator from a package that it does not ask for; the standard library's does as well.
    monkeypatch.setitem(sys.modules, "attr", SimpleNamespace(dataclass=dataclass))
    from peft.tuners.lora.corda import preprocess_corda

    torch.manual_seed(1)
    model, x = nn.Sequential(nn.Linear(N, M)), torch.randn(40, N)
    W = model[0].weight.detach().numpy().T.astype(float)
    config = peft.LoraConfig(
        r=R, lora_alpha=ALPHA, target_modules=["0"], init_lora_weights="corda",
        corda_config=peft.tuners.lora.config.CordaConfig(corda_method=method, prune_temporary_fields=False),
    )  # fmt: skip
    preprocess_corda(model, config, run_model=lambda: model(x[None]))
    covariance = model[0].covariance_matrix.numpy().astype(float)
    layer: Any = peft.get_peft_model(model, config).base_model.model[0]
    theirs = ALPHA / R * (layer.lora_B["default"].weight @ layer.lora_A["default"].weight).detach().numpy().T
    ours = started(specdsl.parse("corda", r=R, preview=preview), W, covariance)
    assert_allclose(ours["A"] @ ours["B"], theirs, rtol=0, atol=1e-4 * abs(theirs).max())


def test_lora_ga() -> None:
    torch.manual_seed(1)
    model, x = nn.Sequential(nn.Linear(N, M)), torch.randn(40, N)
    W = model[0].weight.detach().numpy().T.astype(float)
    config = peft.LoraConfig(
        r=R, lora_alpha=ALPHA, target_modules=["0"], init_lora_weights="lora_ga",
        lora_ga_config=peft.tuners.lora.config.LoraGAConfig(),
    )  # fmt: skip
    preprocess_loraga(model, config, lambda: model(x).square().mean().backward())
    gradient = model[0]._peft_loraga_grad.numpy().T.astype(float)
    layer: Any = peft.get_peft_model(model, config).base_model.model[0]
    ours = started(specdsl.parse("lora_ga", r=R, alpha=ALPHA), W, gradient)
    A, B = (layer.lora_A["default"].weight.detach().numpy().T, layer.lora_B["default"].weight.detach().numpy().T)
    for own, their in ((ours["A"].T, A.T), (ours["B"], B)):
        cosines = np.sum(own * their, axis=1) / np.linalg.norm(own, axis=1) / np.linalg.norm(their, axis=1)
        assert_allclose(abs(cosines), 1, atol=1e-4)


def test_every_row_of_the_page_has_its_test() -> None:
    assert [row[0].strip("`") for row in TRAINING if f"test_{row[0].strip('`')}" not in globals()] == []
