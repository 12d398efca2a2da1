"""Methods that PEFT has too: with the same factors, the same output, gradients and merged weight, in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from specdsl.runtime.adapter import Adapter
from tests.library.small_layers import attached_if_built, checked

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:Unsupported layer type.*LayerNorm:UserWarning")  # by PEFT, of its own

R, ALPHA = 3, 5
RANKED = {"r": R, "alpha": ALPHA}


class Tiny(nn.Module):
    """One layer, and a head that gives its outputs different gradients."""

    def __init__(self, layer: nn.Module, m: int) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(m, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        scores: Tensor = self.head(y.movedim(1, -1) if x.dim() == 4 else y)
        return scores.tanh()


def linear(bias: bool = True) -> tuple[nn.Module, Tensor]:
    return Tiny(nn.Linear(7, 5, bias=bias), 5), torch.randn(2, 4, 7)


def unbiased() -> tuple[nn.Module, Tensor]:
    return linear(bias=False)


def conv1d() -> tuple[nn.Module, Tensor]:
    layer: nn.Module = Conv1D(5, 7)  # type: ignore[no-untyped-call]
    nn.init.normal_(layer.get_parameter("weight"))
    return Tiny(layer, 5), torch.randn(2, 4, 7)


def conv2d() -> tuple[nn.Module, Tensor]:
    return Tiny(nn.Conv2d(3, 5, (2, 3), stride=(1, 2), padding=1), 5), torch.randn(2, 3, 5, 6)


def embedding() -> tuple[nn.Module, Tensor]:
    return Tiny(nn.Embedding(9, 5), 5), torch.randint(9, (2, 4))


def norm() -> tuple[nn.Module, Tensor]:
    layer = nn.LayerNorm(5)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    return Tiny(layer, 5), torch.randn(2, 4, 5)


# --------------------------------------- PEFT's factors in the row convention, as views of its parameters


def lora_factors(layer: Any) -> dict[str, Tensor]:
    return {"A": layer.lora_A["default"].weight.T, "B": layer.lora_B["default"].weight.T}


def dora_factors(layer: Any) -> dict[str, Tensor]:
    return lora_factors(layer) | {"g": layer.lora_magnitude_vector["default"].weight}


def kernel_factors(layer: Any) -> dict[str, Tensor]:
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return {"A": A.flatten(1).T, "B": B.flatten(1).T}


def kernel_dora_factors(layer: Any) -> dict[str, Tensor]:
    return kernel_factors(layer) | {"g": layer.lora_magnitude_vector["default"].weight.flatten()}


def table_factors(layer: Any) -> dict[str, Tensor]:
    return {"A": layer.lora_embedding_A["default"].T, "B": layer.lora_embedding_B["default"].T}


def adalora_factors(layer: Any) -> dict[str, Tensor]:
    A, e, B = layer.lora_A["default"], layer.lora_E["default"], layer.lora_B["default"]
    return {"A": A.T, "e": e[:, 0], "B": B.T}


def vera_factors(layer: Any) -> dict[str, Tensor]:
    A, B = layer.vera_A["default"].T, layer.vera_B["default"].T
    return {"A": A, "B": B, "d": layer.vera_lambda_d["default"], "e": layer.vera_lambda_b["default"]}


def ia3_factors(layer: Any) -> dict[str, Tensor]:
    return {"l": layer.ia3_l["default"].flatten()}


def bias_factors(layer: Any) -> dict[str, Tensor]:
    return {"d": layer.beft_bias["default"].flatten()}


def norm_factors(layer: Any) -> dict[str, Tensor]:
    own, base = layer.ln_tuning_layers["default"], layer.base_layer
    return {"l": own.weight / base.weight.detach(), "d": own.bias - base.bias.detach()}


@dataclass(frozen=True)
class Case:
    """A spec and the PEFT configuration that says the same.

    Attributes:
        spec: ours.
        model: makes the model and an input.
        config: the name of PEFT's configuration class.
        factors: PEFT's factors of a layer, under our names and in our orientation.
        settings: our hyper-parameters.
        options: PEFT's.
    """

    spec: str
    model: Callable[[], tuple[nn.Module, Tensor]]
    config: str
    factors: Callable[[Any], dict[str, Tensor]]
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def lora(spec: str, model: Any, factors: Any, **options: Any) -> Case:
    return Case(spec, model, "LoraConfig", factors, RANKED, {"r": R, "lora_alpha": ALPHA, **options})


def adalora(model: Any, **options: Any) -> Case:
    rank = {"init_r": R, "target_r": R, "lora_alpha": ALPHA, "total_step": 10, "tinit": 1, "tfinal": 1}
    return Case("adalora", model, "AdaLoraConfig", adalora_factors, RANKED, rank | options)


def ia3(model: Any, **options: Any) -> Case:
    return Case("ia3", model, "IA3Config", ia3_factors, {}, {"feedforward_modules": [], **options})


CASES = {
    "LoRA": lora("lora", linear, lora_factors),
    "LoRA, no bias": lora("lora", unbiased, lora_factors),
    "LoRA, Conv1D": lora("lora", conv1d, lora_factors, fan_in_fan_out=True),
    "LoRA, Conv2d": lora("lora", conv2d, kernel_factors),
    "LoRA, embedding": lora("lora", embedding, table_factors),
    "rsLoRA": lora("rslora", linear, lora_factors, use_rslora=True),
    "rsLoRA, embedding": lora("rslora", embedding, table_factors, use_rslora=True),
    "DoRA": lora("dora", linear, dora_factors, use_dora=True),
    "DoRA, Conv1D": lora("dora", conv1d, dora_factors, use_dora=True, fan_in_fan_out=True),
    "DoRA, Conv2d": lora("dora", conv2d, kernel_dora_factors, use_dora=True),
    "PiSSA": lora("pissa", linear, lora_factors, init_lora_weights="pissa"),
    "AdaLoRA": adalora(linear),
    "AdaLoRA, Conv1D": adalora(conv1d, fan_in_fan_out=True),
    "VeRA": Case("vera", linear, "VeraConfig", vera_factors, {"r": R}, {"r": R}),
    "IA3": ia3(linear),
    "IA3, no bias": ia3(unbiased),
    "IA3, Conv1D": ia3(conv1d, fan_in_fan_out=True),
    "BEFT is BitFit": Case("bitfit", linear, "BeftConfig", bias_factors),
    "LN tuning": Case("W' = diag(l)@W | b' = b + d", norm, "LNTuningConfig", norm_factors),
}


@dataclass(frozen=True)
class Pair:
    """The same model with PEFT's adapter and with ours, and one input for both."""

    theirs: Any
    ours: nn.Module
    adapter: Adapter
    x: Tensor
    factors: dict[str, Tensor]


@pytest.fixture(params=CASES)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Both models with the same factors, drawn as if after training."""
    case = CASES[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model, x = case.model()
        ours = copy.deepcopy(model)
        config = getattr(peft, case.config)(target_modules=["layer"], **case.options)
        theirs = peft.get_peft_model(model, config).eval()
        with torch.no_grad():
            for parameter in theirs.parameters():
                if parameter.requires_grad:
                    parameter.normal_()
    adapter = attached_if_built(ours, checked(case.spec, **case.settings), on="re:layer")
    factors = case.factors(theirs.base_model.model.layer)
    own = {name: value for _, name, value in adapter.factors()}
    assert own.keys() == factors.keys()
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(factors[name])
    return Pair(theirs, ours, adapter, x.requires_grad_(x.is_floating_point()), factors)


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * max(1.0, theirs.abs().max().item()))


def test_outputs_agree(pair: Pair) -> None:
    assert_same(pair.ours(pair.x), pair.theirs(pair.x))


def test_the_factors_matter(pair: Pair) -> None:
    with pair.adapter.disabled():
        bare = pair.ours(pair.x)
    assert (pair.ours(pair.x) - bare).abs().max() > 1e-2


@pytest.mark.parametrize("pair", [name for name in CASES if "embedding" not in name], indirect=True)
def test_input_gradients_agree(pair: Pair) -> None:
    (ours,) = torch.autograd.grad(pair.ours(pair.x).square().sum(), pair.x)
    (theirs,) = torch.autograd.grad(pair.theirs(pair.x).square().sum(), pair.x)
    assert_same(ours, theirs)


def test_factor_gradients_agree(pair: Pair) -> None:
    """Ours, carried back to PEFT's parameters by the chain rule, since an orientation or a scale may differ."""
    own = {name: value for _, name, value in pair.adapter.factors() if value.requires_grad}
    parameters = [value for value in pair.theirs.parameters() if value.requires_grad]
    gradients = torch.autograd.grad(pair.ours(pair.x).square().sum(), list(own.values()))
    ours = torch.autograd.grad([pair.factors[name] for name in own], parameters, gradients)
    theirs = torch.autograd.grad(pair.theirs(pair.x).square().sum(), parameters)
    for own_gradient, gradient in zip(ours, theirs, strict=True):
        assert_same(own_gradient, gradient)


def test_merged_weights_agree(pair: Pair) -> None:
    ours: Any = pair.adapter.merge_and_unload().layer
    theirs = pair.theirs.merge_and_unload().layer
    assert_same(ours.weight, theirs.weight)
    if getattr(theirs, "bias", None) is not None:
        assert_same(ours.bias, theirs.bias)


class WithLoss(nn.Module):
    """Two layers and an output that carries a loss, to which PEFT adds AdaLoRA's penalty."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(7, 5), nn.Linear(5, 6)

    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=self.second(self.first(x)).square().mean())


def test_the_penalty_of_adalora_agrees() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model, x = WithLoss(), torch.randn(4, 7)
        ours = copy.deepcopy(model)
        options = {"init_r": R, "target_r": R, "total_step": 10, "tinit": 1, "tfinal": 1}
        config = peft.AdaLoraConfig(target_modules=["first", "second"], orth_reg_weight=0.1, **options)
        theirs = peft.get_peft_model(model, config)
    adapter = attached_if_built(ours, checked("adalora", r=R), on=["re:first", "re:second"])
    with torch.no_grad():
        for place, name, value in adapter.factors():
            value.copy_(adalora_factors(getattr(theirs.base_model.model, place))[name])
    task_loss = theirs.base_model.model(x).loss
    assert_same(adapter.penalty(), theirs.base_model(x).loss - task_loss)
