"""A penalty is in every step of `transformers.Trainer` once, with its written weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

import specdsl
from specdsl.runtime.adapter import Adapter
from tests.runtime.penalised import (
    PLAIN,
    SPEC,
    Classifier,
    Gradients,
    Task,
    batches,
    clipped,
    data,
    expected,
    factors_of,
    gradients_of,
    model_of,
    penalty,
    smoothed,
)  # fmt: skip


class Recorder(torch.optim.SGD):
    """Notes the gradients that each step uses, and changes nothing: the learning rate is zero."""

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(list(adapter.parameters()), lr=0.0)
        self.adapter = adapter
        self.steps: list[Gradients] = []

    def step(self, closure: Any = None) -> None:
        self.steps.append(gradients_of(self.adapter))


def train(
    spec: str, folder: Path, *, compute_loss_func: Any = None, **arguments: Any
) -> tuple[Classifier, Adapter, list[Gradients]]:
    """The gradients of each step of a `Trainer` over 8 rows in batches of 2."""
    model, adapter = model_of(spec)
    recorder = Recorder(adapter)
    usual = {"per_device_train_batch_size": 2, "num_train_epochs": 1, "max_grad_norm": 0.0, "report_to": []}
    settings = TrainingArguments(
        output_dir=str(folder), use_cpu=True, disable_tqdm=True, save_strategy="no", logging_strategy="no",
        train_sampling_strategy="sequential", **usual | arguments,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.LambdaLR(recorder, lambda step: 1.0)
    Trainer(
        model, settings, train_dataset=data(), optimizers=(recorder, schedule), compute_loss_func=compute_loss_func
    ).train()
    return model, adapter, recorder.steps


def squared(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    """A loss of the user's, summed and divided by the labels of the whole step, as `Trainer` expects."""
    return (F.cross_entropy(outputs["logits"], labels, reduction="none") ** 2).sum() / num_items_in_batch


TRAINERS: dict[str, tuple[dict[str, Any], Task]] = {
    "plain": ({}, F.cross_entropy),
    "label_smoothing": ({"label_smoothing_factor": 0.2}, smoothed),
    "compute_loss_func": (
        {"compute_loss_func": squared},
        lambda logits, labels: (F.cross_entropy(logits, labels, reduction="none") ** 2).mean(),
    ),
}


@pytest.mark.parametrize("accumulated", [1, 4])
@pytest.mark.parametrize("kind", TRAINERS)
def test_trainer(kind: str, accumulated: int, tmp_path: Path) -> None:
    options, task = TRAINERS[kind]
    model, adapter, steps = train(SPEC, tmp_path, gradient_accumulation_steps=accumulated, **options)
    assert len(steps) == 4 // accumulated
    for number, found in enumerate(steps):
        used = batches()[number * accumulated : (number + 1) * accumulated]
        assert_close(found, expected(model, adapter, task, used))


def test_trainer_clips_task_and_penalties_together(tmp_path: Path) -> None:
    model, adapter, steps = train(SPEC, tmp_path, max_grad_norm=0.5, gradient_accumulation_steps=2)
    wanted = clipped(expected(model, adapter, F.cross_entropy, batches()[:2]), 0.5)
    assert_close(steps[0], wanted)


def test_trainer_with_a_limit_that_is_not_reached(tmp_path: Path) -> None:
    model, adapter, steps = train(SPEC, tmp_path, max_grad_norm=1e9, gradient_accumulation_steps=2)
    assert_close(steps[1], expected(model, adapter, F.cross_entropy, batches()[2:]))


@pytest.mark.parametrize("accumulated", [1, 4])
def test_trainer_under_bf16_autocast(accumulated: int, tmp_path: Path) -> None:
    model, adapter, steps = train(SPEC, tmp_path, bf16=True, gradient_accumulation_steps=accumulated)
    _, _, plain = train(PLAIN, tmp_path, bf16=True, gradient_accumulation_steps=accumulated)
    factors = {name: value.detach().clone().requires_grad_() for name, value in factors_of(adapter).items()}
    wanted = torch.autograd.grad(penalty(factors), list(factors.values()))
    for found, without in zip(steps, plain, strict=True):
        assert_close([found[name] - without[name] for name in factors], list(wanted), rtol=1e-5, atol=1e-4)
    assert_close(steps[0], expected(model, adapter, F.cross_entropy, batches()[:accumulated]), rtol=0.02, atol=0.2)


def causal_model(spec: str) -> tuple[nn.Module, Adapter]:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=20, bos_token_id=1, eos_token_id=2, **sizes))
    adapter = specdsl.attach(model, spec, on=["attention.query", "mlp.down"])
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return model, adapter


@pytest.mark.parametrize("accumulated", [1, 4])
def test_trainer_of_a_model_that_counts_the_tokens_of_a_step(accumulated: int, tmp_path: Path) -> None:
    """The loss of a causal model is a sum over the tokens of all its batches, divided once."""
    steps = {}
    for spec in (SPEC, PLAIN):
        model, adapter = causal_model(spec)
        recorder = Recorder(adapter)
        rows = [{"input_ids": torch.arange(i, i + 5), "labels": torch.arange(i, i + 5)} for i in range(8)]
        settings = TrainingArguments(
            output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, save_strategy="no", logging_strategy="no",
            report_to=[], per_device_train_batch_size=2, gradient_accumulation_steps=accumulated, max_grad_norm=0.0,
            num_train_epochs=1, train_sampling_strategy="sequential",
        )  # fmt: skip
        schedule = torch.optim.lr_scheduler.LambdaLR(recorder, lambda step: 1.0)
        Trainer(model, settings, train_dataset=rows, optimizers=(recorder, schedule)).train()
        steps[spec] = recorder.steps
    factors = {name: value.detach().clone().requires_grad_() for name, value in factors_of(adapter).items()}
    wanted = torch.autograd.grad(penalty(factors), list(factors.values()))
    for found, without in zip(steps[SPEC], steps[PLAIN], strict=True):
        assert_close([found[name] - without[name] for name in factors], list(wanted), rtol=1e-5, atol=1e-4)
