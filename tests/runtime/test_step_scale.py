"""Penalties keep their written weight where a `GradScaler` scales the loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from tests.runtime.penalised import (
    PLAIN,
    SPEC,
    Classifier,
    Gradients,
    batches,
    expected,
    factors_of,
    gradients_of,
    model_of,
    optimizer_of,
    penalty,
)  # fmt: skip


class Mixed(Classifier):
    """Runs its last layer in float32, as some models do under autocast."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        inner = torch.tanh(self.first(x))
        with torch.autocast("cpu", enabled=False):
            logits = self.second(inner.float())
        return {"loss": F.cross_entropy(logits, labels), "logits": logits} if labels is not None else {"logits": logits}


PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def scaled_steps(
    spec: str, precision: str, kind: type[Classifier] = Classifier, unscaled: bool = False, fused: bool = False
) -> list[Gradients]:
    """The gradients after each of two steps of two passes, which change no factor."""
    model, adapter = model_of(spec, kind)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.0, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1)
    steps = []
    for used in (batches()[:2], batches()[2:]):
        optimizer.zero_grad()
        for batch in used:
            with torch.autocast("cpu", PRECISIONS[precision], enabled=precision != "float32"):
                loss = model(**batch)["loss"] / 2
            scaler.scale(loss).backward()
        if unscaled:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        steps.append(gradients_of(adapter))
    return steps


def assert_penalised(found: list[Gradients], without: list[Gradients]) -> None:
    _, adapter = model_of(SPEC)
    factors = {name: value.detach().clone().requires_grad_() for name, value in factors_of(adapter).items()}
    wanted = torch.autograd.grad(penalty(factors), list(factors.values()))
    for own, other in zip(found, without, strict=True):
        assert_close([own[name] - other[name] for name in factors], list(wanted), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("unscaled", [False, True], ids=["unscaled by the step", "unscaled before"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_scaled_gradients_get_the_penalty_unscaled(precision: str, unscaled: bool, fused: bool) -> None:
    options = {"unscaled": unscaled, "fused": fused}
    assert_penalised(scaled_steps(SPEC, precision, **options), scaled_steps(PLAIN, precision, **options))


def test_a_model_may_mix_float16_and_float32() -> None:
    assert_penalised(scaled_steps(SPEC, "float16", Mixed), scaled_steps(PLAIN, "float16", Mixed))


def test_a_scaler_that_is_switched_off_scales_nothing() -> None:
    model, adapter = model_of(SPEC)
    optimizer, scaler = optimizer_of(adapter), torch.amp.GradScaler("cpu", enabled=False)
    batch = batches()[0]
    scaler.scale(model(**batch)["loss"]).backward()
    scaler.step(optimizer)
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_a_loop_that_adds_the_penalty_itself_may_scale_it_with_the_loss() -> None:
    model, adapter = model_of(SPEC)
    optimizer, scaler = optimizer_of(adapter), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for batch in batches():
        optimizer.zero_grad()
        scaler.scale(model(**batch)["loss"] + adapter.penalty()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_a_step_that_the_scaler_skips_leaves_nothing_behind() -> None:
    model, adapter = model_of(SPEC)
    optimizer, scaler = optimizer_of(adapter), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    batch = batches()[0]
    for broken in (True, False):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = model(**batch)["loss"]
        scaler.scale(loss * torch.inf if broken else loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch]), rtol=0.01, atol=0.05)
