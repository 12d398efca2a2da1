"""What only a CUDA device can show: real numbers there, no wait for it in a step, and training in bfloat16.

These tests are skipped where torch sees no CUDA device, as in CI; `make test-gpu` runs them, and fails without one.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

import specdsl
from specdsl.errors import SpecMergeError
from specdsl.runtime.adapter import Adapter
from tests.ordinary_methods import ORDINARY

pytestmark = pytest.mark.gpu

LINES = {
    "card": "W + A@G@B | orth(A)",
    "second card": "U*diag(s)*W*diag(t)",
    "orthonormal": "A : n x r ~ orthogonal, orthonormal\nr = 4\nW' = W + A@B",
    "attend": "r = 4\nattend(Z) = softmax(Z@Z.T / sqrt(r)) @ Z\ny' = y + attend(x@A)@B",
}
SPECS = {name: name for name in ORDINARY} | LINES


def layers() -> nn.Sequential:
    """Two layers drawn from their own seed, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 20, bias=False))


def tokens() -> Tensor:
    return torch.randn(6, 24, generator=torch.Generator().manual_seed(1))


def attached(model: nn.Module, spec: str, dtype: torch.dtype | None = None) -> Adapter:
    checked = specdsl.parse(SPECS[spec])
    ranked = re.search(r"\br\b", str(checked.facts.trained)) is not None
    return specdsl.attach(model, checked.set(r=4) if ranked else checked, on=r"re:\d", dtype=dtype)


def move(adapter: Adapter) -> None:
    """Change every trained factor a little, equally on every device."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw).to(parameter))


def step(model: nn.Module, adapter: Adapter, x: Tensor) -> Tensor:
    """Forward, penalty and backward; the gradients stay in the factors."""
    y: Tensor = model(x)
    loss = y.square().sum()
    if adapter.spec.ir.penalties:
        loss = loss + adapter.penalty()
    loss.backward()
    return y.detach()


@pytest.mark.parametrize("spec", SPECS)
def test_cuda_computes_what_the_cpu_computes(spec: str) -> None:
    """In float64, so that no TF32 and no other order of sums hides a mistake."""
    model = layers().double()
    models = {"cpu": model, "cuda": copy.deepcopy(model).cuda()}
    outputs, gradients = {}, {}
    for device, one in models.items():
        adapter = attached(one, spec, torch.float64)
        move(adapter)
        outputs[device] = step(one, adapter, tokens().double().to(device)).cpu()
        assert {parameter.device.type for parameter in one.parameters()} == {device}
        assert {buffer.device.type for buffer in one.buffers()} <= {device}
        gradients[device] = [parameter.grad.cpu() for parameter in adapter.parameters() if parameter.grad is not None]
        assert len(gradients[device]) == len(list(adapter.parameters()))
    torch.testing.assert_close(outputs["cuda"], outputs["cpu"])
    torch.testing.assert_close(gradients["cuda"], gradients["cpu"])


@pytest.mark.parametrize("spec", SPECS)
def test_a_step_never_waits_for_the_device(spec: str) -> None:
    model, x = layers().cuda(), tokens().cuda()
    adapter = attached(model, spec)
    step(model, adapter, x)  # the first step may set up libraries
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(model, adapter, x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("spec", SPECS)
def test_merging_on_cuda_changes_no_output_and_is_undone_exactly(spec: str) -> None:
    model, x = layers().double().cuda(), tokens().double().cuda()
    before = [parameter.clone() for parameter in model.parameters()]
    adapter = attached(model, spec, torch.float64)
    move(adapter)
    own = [model[place].weight for place in (0, 2)]
    with torch.no_grad():
        expected = model(x)
        if not adapter.spec.facts.mergeable:
            with pytest.raises(SpecMergeError, match="cannot be merged"):
                adapter.merge()
            return
        adapter.merge()
        torch.testing.assert_close(model(x), expected)
        assert all(weight.is_cuda for weight in own)
    adapter.detach()
    assert all(map(torch.equal, model.parameters(), before))


@pytest.mark.parametrize("spec", ["lora", "dora", "pissa", "card"])
def test_a_model_from_a_config_learns_in_bfloat16(spec: str, tmp_path: Path) -> None:
    """Base and activations in bfloat16, factors in float32; 60 steps on a rule of one token; saved and loaded."""
    config = BertConfig(
        vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, num_labels=2
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(config).bfloat16().cuda().eval()
        ids = torch.randint(4, 64, (64, 12), device="cuda")
    ids[::2, 0], ids[1::2, 0] = 2, 3
    labels = torch.arange(64, device="cuda") % 2
    bare = copy.deepcopy(model)
    adapter = specdsl.attach(model, specdsl.parse(SPECS[spec], r=4), on="attention", train="head")
    assert {value.dtype for _, _, value in adapter.factors()} == {torch.float32}
    optimiser = torch.optim.AdamW(adapter.parameter_groups(5e-3))
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        out = model(input_ids=ids, labels=labels)
        out.loss.backward()
        optimiser.step()
        losses.append(out.loss.detach())
    assert out.logits.dtype == torch.bfloat16
    assert losses[-1].item() < 0.5 * losses[0].item()
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        specdsl.load(bare, adapter.save(tmp_path / "adapter"))
        torch.testing.assert_close(bare(input_ids=ids).logits, expected)
