"""A penalty is in every optimiser step once, with its written weight: gradients against autograd of the formula."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedConfig, Trainer, TrainingArguments

import specdsl
from specdsl.errors import SpecWarning
from specdsl.runtime.adapter import Adapter

SPEC = "W + A@G@B | r = 3 | orth(A) | penalty 0.1 * norm(A@G@B)^2"
PLAIN = "W + A@G@B | r = 3"
ON = ["re:first", "re:second"]
Factors = dict[str, Tensor]
Gradients = dict[str, Tensor]


class Classifier(nn.Module):
    """Two linear layers; like the models of transformers it returns a loss where there are labels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.second = nn.Linear(5, 4, bias=False)
        self.config = PreTrainedConfig()

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.second(torch.tanh(self.first(x)))
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


def model_of(spec: str, kind: type[Classifier] = Classifier, **options: Any) -> tuple[Classifier, Adapter]:
    """A model whose factors are not at their start."""
    torch.manual_seed(0)
    model = kind()
    adapter = specdsl.attach(model, spec, on=ON, **options)
    with torch.no_grad():
        for place, name, value in adapter.factors():
            generator = torch.Generator().manual_seed(len(place) * 31 + ord(name[0]))
            value.copy_(torch.randn(value.shape, generator=generator))
    return model, adapter


def data(count: int = 8) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [
        {"x": torch.randn(6, generator=generator), "labels": torch.randint(4, (), generator=generator)}
        for _ in range(count)
    ]


def batches(size: int = 2) -> list[dict[str, Tensor]]:
    rows = data()
    return [
        {key: torch.stack([row[key] for row in rows[start : start + size]]) for key in rows[0]}
        for start in range(0, len(rows), size)
    ]


def factors_of(adapter: Adapter) -> Factors:
    return {f"{place}.{name}": value for place, name, value in adapter.factors()}


def gradients_of(adapter: Adapter) -> Gradients:
    return {
        name: torch.zeros_like(value) if value.grad is None else value.grad.clone()
        for name, value in factors_of(adapter).items()
    }


# --------------------------------------------------------------------------- the formula, without specdsl


def orth(A: Tensor) -> Tensor:
    return ((A.T @ A - torch.eye(A.shape[1])) ** 2).sum()


def penalty(factors: Factors) -> Tensor:
    """The penalties of SPEC, written out."""
    places = sorted({name.rpartition(".")[0] for name in factors})
    parts = [[factors[f"{place}.{name}"] for name in "AGB"] for place in places]
    return sum((orth(A) + 0.1 * ((A @ G @ B) ** 2).sum() for A, G, B in parts), torch.zeros(()))


def outputs(model: Classifier, factors: Factors, batch: dict[str, Tensor]) -> Tensor:
    """The logits of the bare model with `W + A@G@B` for weights."""
    bare = Classifier()
    weights = {name: value.detach() for name, value in model.state_dict().items() if "specdsl" not in name}
    for place in ("first", "second"):
        A, G, B = (factors[f"{place}.{name}"] for name in "AGB")
        weights[f"{place}.weight"] = weights[f"{place}.weight"] + (A @ G @ B).T
    logits = functional_call(bare, weights, (batch["x"],))["logits"]
    assert isinstance(logits, Tensor)
    return logits


Task = Callable[[Tensor, Tensor], Tensor]


def expected(
    model: Classifier, adapter: Adapter, task: Task, used: list[dict[str, Tensor]], weight: float = 1.0
) -> Gradients:
    """The gradient of the mean task loss of `used` batches plus `weight` times the penalties."""
    factors = {name: value.detach().clone().requires_grad_() for name, value in factors_of(adapter).items()}
    losses = [task(outputs(model, factors, batch), batch["labels"]) for batch in used]
    total = torch.stack(losses).mean() + weight * penalty(factors)
    return dict(zip(factors, torch.autograd.grad(total, list(factors.values())), strict=True))


def clipped(gradients: Gradients, limit: float) -> Gradients:
    norm = torch.sqrt(sum(((g**2).sum() for g in gradients.values()), torch.zeros(())))
    return {name: g * min(1.0, limit / float(norm)) for name, g in gradients.items()}


# --------------------------------------------------------------------------------- transformers.Trainer


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


def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, label_smoothing=0.2)


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


# ------------------------------------------------------------------------------------------ plain loops


def optimizer_of(adapter: Adapter) -> torch.optim.Optimizer:
    return torch.optim.SGD(adapter.parameters(), lr=0.0)


def stepped(adapter: Adapter, optimizer: torch.optim.Optimizer | None = None) -> Gradients:
    """The gradients after a step (which changes no factor)."""
    (optimizer or optimizer_of(adapter)).step()
    return gradients_of(adapter)


@pytest.mark.parametrize("accumulated", [1, 4])
def test_a_loop_over_the_loss_of_the_model(accumulated: int) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for number in range(4 // accumulated):
        used = batches()[number * accumulated : (number + 1) * accumulated]
        for batch in used:
            (model(**batch)["loss"] / accumulated).backward()
        found = stepped(adapter, optimizer)
        assert_close(found, expected(model, adapter, F.cross_entropy, used))
        optimizer.zero_grad()


@pytest.mark.parametrize("accumulated", [1, 4])
@pytest.mark.parametrize("when", ["every pass", "last pass"])
def test_a_loop_that_adds_the_penalty_itself(accumulated: int, when: str) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for number in range(4 // accumulated):
        used = batches()[number * accumulated : (number + 1) * accumulated]
        for batch in used:
            loss = smoothed(model(batch["x"])["logits"], batch["labels"]) / accumulated
            if when == "every pass":
                loss = loss + adapter.penalty() / accumulated
            elif batch is used[-1]:
                loss = loss + adapter.penalty()
            loss.backward()
        found = stepped(adapter, optimizer)
        assert_close(found, expected(model, adapter, smoothed, used))
        optimizer.zero_grad()


def test_a_penalty_added_in_the_first_pass_only() -> None:
    model, adapter = model_of(SPEC)
    first, second, *_ = batches()
    (model(**first)["loss"] / 2 + adapter.penalty()).backward()
    (model(**second)["loss"] / 2).backward()
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [first, second]))


def test_a_loop_may_weigh_the_penalty() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    (model(**batch)["loss"] + 3 * adapter.penalty()).backward()
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [batch], weight=3.0))


def test_a_loop_may_clip() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    model(**batch)["loss"].backward()
    torch.nn.utils.clip_grad_norm_(adapter.parameters(), 0.5)
    assert_close(stepped(adapter), clipped(expected(model, adapter, F.cross_entropy, [batch]), 0.5))


def test_clipping_every_pass_adds_no_penalty_twice() -> None:
    """The gradient was changed in place and still holds the first pass's penalty."""
    model, adapter = model_of(SPEC)
    first, second, *_ = batches()
    model(**first)["loss"].backward()
    torch.nn.utils.clip_grad_norm_(adapter.parameters(), 0.5)
    model(**second)["loss"].backward()
    before = clipped(expected(model, adapter, F.cross_entropy, [first]), 0.5)
    after = expected(model, adapter, F.cross_entropy, [second], weight=0.0)
    assert_close(stepped(adapter), {name: before[name] + after[name] for name in before})


@pytest.mark.parametrize("set_to_none", [True, False])
def test_dropping_gradients_without_a_step_drops_the_penalty_too(set_to_none: bool) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    first, second, *_ = batches()
    model(**first)["loss"].backward()
    optimizer.zero_grad(set_to_none)
    model(**second)["loss"].backward()
    assert_close(stepped(adapter, optimizer), expected(model, adapter, F.cross_entropy, [second]))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_dropping_gradients_before_the_loop_takes_over(set_to_none: bool) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    first, second, *_ = batches()
    model(**first)["loss"].backward()
    optimizer.zero_grad(set_to_none)
    (model(**second)["loss"] + adapter.penalty()).backward()
    assert_close(stepped(adapter, optimizer), expected(model, adapter, F.cross_entropy, [second]))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_kept_over_a_step_get_the_penalty_of_the_next(set_to_none: bool) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for batch in batches():
        optimizer.zero_grad(set_to_none)
        model(**batch)["loss"].backward()
        assert_close(stepped(adapter, optimizer), expected(model, adapter, F.cross_entropy, [batch]))


def test_new_gradient_tensors_get_no_second_penalty() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    model(**batch)["loss"].backward()
    for parameter in adapter.parameters():
        assert parameter.grad is not None
        parameter.grad = 0.5 * parameter.grad
    wanted = expected(model, adapter, F.cross_entropy, [batch])
    assert_close(stepped(adapter), {name: 0.5 * value for name, value in wanted.items()})


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_passes_that_keep_the_graph_get_no_second_penalty() -> None:
    """They accumulate into a new tensor each."""
    model, adapter = model_of(SPEC)
    for batch in batches()[:2]:
        (model(**batch)["loss"] / 2).backward(create_graph=True)
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, batches()[:2]))
    for parameter in adapter.parameters():
        parameter.grad = None  # of the graph, which refers to the parameter


def test_gradients_set_by_hand_get_the_penalty() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    parameters = list(adapter.parameters())
    found = torch.autograd.grad(model(**batch)["loss"], parameters)
    for parameter, gradient in zip(parameters, found, strict=True):
        parameter.grad = gradient
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_a_step_with_a_closure() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    optimizer = torch.optim.LBFGS(list(adapter.parameters()), lr=0.0, max_iter=1)
    seen = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = model(**batch)["loss"]
        loss.backward()
        seen.append(gradients_of(adapter))
        return loss

    optimizer.step(closure)
    assert_close(seen[0], expected(model, adapter, F.cross_entropy, [batch]))


def test_an_unused_module_is_penalised_too() -> None:
    """No backward pass reaches its factors, so they get the penalty at the step."""
    model, adapter = model_of(SPEC)
    model.first(batches()[0]["x"]).sum().backward()
    found = stepped(adapter)
    factors = {name: value.detach().clone().requires_grad_() for name, value in factors_of(adapter).items()}
    wanted = dict(zip(factors, torch.autograd.grad(penalty(factors), list(factors.values())), strict=True))
    for name in ("second.A", "second.G", "second.B"):
        assert_close(found[name], wanted[name])


def test_a_factor_that_is_frozen_by_hand_gets_no_gradient() -> None:
    model, adapter = model_of(SPEC)
    frozen = factors_of(adapter)["first.A"]
    frozen.requires_grad_(False)
    batch = batches()[0]
    model(**batch)["loss"].backward()
    found = stepped(adapter)
    wanted = expected(model, adapter, F.cross_entropy, [batch])
    assert frozen.grad is None
    assert_close(
        {k: v for k, v in found.items() if k != "first.A"}, {k: v for k, v in wanted.items() if k != "first.A"}
    )


class Mixed(Classifier):
    """Runs its last layer in float32, as some models do under autocast."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        inner = torch.tanh(self.first(x))
        with torch.autocast("cpu", enabled=False):
            logits = self.second(inner.float())
        return {"loss": F.cross_entropy(logits, labels), "logits": logits} if labels is not None else {"logits": logits}


def scaled_step(spec: str, kind: type[Classifier]) -> Gradients:
    model, adapter = model_of(spec, kind)
    optimizer, scaler = optimizer_of(adapter), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for batch in batches()[:2]:
        with torch.autocast("cpu", torch.float16):
            loss = model(**batch)["loss"] / 2
        scaler.scale(loss).backward()
    scaler.step(optimizer)
    return gradients_of(adapter)


@pytest.mark.parametrize("kind", [Classifier, Mixed])
def test_scaled_gradients_of_float16_get_the_penalty_unscaled(kind: type[Classifier]) -> None:
    _, adapter = model_of(SPEC)
    factors = {name: value.detach().clone().requires_grad_() for name, value in factors_of(adapter).items()}
    wanted = torch.autograd.grad(penalty(factors), list(factors.values()))
    found, without = scaled_step(SPEC, kind), scaled_step(PLAIN, kind)
    assert_close([found[name] - without[name] for name in factors], list(wanted), rtol=1e-5, atol=1e-4)


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


# ------------------------------------------------------------------------------------- which, and when


def added(model: nn.Module, optimizer: torch.optim.Optimizer, values: list[Tensor]) -> list[Tensor]:
    """What a step's gradients hold beyond those of the task loss, which `autograd.grad` gives alone."""
    batch = batches()[0]
    task = torch.autograd.grad(model(**batch)["loss"], values, allow_unused=True)
    model(**batch)["loss"].backward()
    optimizer.step()
    found = [torch.zeros_like(value) if value.grad is None else value.grad for value in values]
    return [one if own is None else one - own for one, own in zip(found, task, strict=True)]


def gradient_of(formula: Callable[..., Tensor], *values: Tensor) -> list[Tensor]:
    leaves = [value.detach().clone().requires_grad_() for value in values]
    return list(torch.autograd.grad(formula(*leaves), leaves))


def test_two_adapters_each_have_their_own() -> None:
    model, first = model_of("W + A@B | r = 2 | orth(A)", name="one")
    second = specdsl.attach(model, "W + C@D | r = 2 | penalty 2 * norm(C)^2", on="re:first", name="two")
    A, C = factors_of(first)["first.A"], factors_of(second)["first.C"]
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.0)
    assert_close(added(model, optimizer, [A, C]), [*gradient_of(orth, A), 4 * C.detach()])


def test_a_penalty_over_the_model_is_added_once() -> None:
    model, adapter = model_of("W + A@B | r = 2 | penalty 0.5 * mean(layers([norm(A.T@A - eye), norm(B)]))")
    values = [factors_of(adapter)[name] for name in ("first.A", "first.B", "second.A", "second.B")]

    def formula(A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        eye = torch.eye(2)
        return 0.5 * (torch.norm(A.T @ A - eye) + torch.norm(B) + torch.norm(C.T @ C - eye) + torch.norm(D)) / 4

    assert_close(added(model, optimizer_of(adapter), values), gradient_of(formula, *values))


def test_a_penalty_may_compare_a_module_with_the_model() -> None:
    """It reads its own module's factor beside a list over all: once for each module."""
    model, adapter = model_of("W + A@B | r = 2 | penalty (norm(A) - mean(layers(norm(A))))^2")
    values = [factors_of(adapter)[name] for name in ("first.A", "second.A")]

    def formula(A: Tensor, C: Tensor) -> Tensor:
        mean = (torch.norm(A) + torch.norm(C)) / 2
        return (torch.norm(A) - mean) ** 2 + (torch.norm(C) - mean) ** 2

    assert_close(added(model, optimizer_of(adapter), values), gradient_of(formula, *values))


def test_a_shared_factor_counts_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6))
    spec = "shared(n) A : n x r ~ normal(1)\nr = 2\nW' = W + A@B\npenalty norm(A)^2\npenalty norm(B)^2"
    adapter = specdsl.attach(model, spec, on="re:.*")
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.fill_(0.5)
    assert float(adapter.penalties()["norm(A)^2"].detach()) == pytest.approx(12 / 4)
    assert float(adapter.penalties()["norm(B)^2"].detach()) == pytest.approx(3 * 12 / 4)


def test_a_penalty_may_read_the_weight() -> None:
    model, adapter = model_of("W + A@B | r = 2 | penalty norm(W' - W)^2 | penalty norm(W.T@A)^2")
    values = [factors_of(adapter)[name] for name in ("first.A", "first.B")]
    W = model.first.weight.detach().T
    wanted = gradient_of(lambda A, B: ((A @ B) ** 2).sum() + ((W.T @ A) ** 2).sum(), *values)
    assert_close(added(model, optimizer_of(adapter), values), wanted, rtol=1e-4, atol=1e-4)


def test_a_penalty_reads_the_base_weight_while_another_adapter_is_merged() -> None:
    model, first = model_of("W + A@B | r = 2", name="one")
    second = specdsl.attach(model, "W + C@D | r = 2 | penalty norm(W)^2 * norm(C)^2", on=ON, name="two")
    before = second.penalty().detach()
    first.merge()
    assert_close(second.penalty().detach(), before)


def test_terms_are_known_by_their_text() -> None:
    _, adapter = model_of(SPEC)
    found = adapter.penalties()
    factors = factors_of(adapter)
    assert list(found) == ["orth(A)", "0.1 * norm(A@G@B)^2"]
    assert_close(found["orth(A)"], orth(factors["first.A"]) + orth(factors["second.A"]))
    assert_close(sum(found.values()), penalty(factors))
    assert_close(adapter.penalty(), penalty(factors))


def test_reading_terms_changes_no_step() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    float(adapter.penalty().detach())
    model(**batch)["loss"].backward()
    with torch.no_grad():
        adapter.penalty()
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_autocast_leaves_penalties_in_float32() -> None:
    _model, adapter = model_of(SPEC)
    with torch.autocast("cpu", torch.bfloat16):
        found = adapter.penalty()
    assert found.dtype == torch.float32
    assert torch.equal(found, adapter.penalty())


def test_the_adapter_may_be_forgotten() -> None:
    model, adapter = model_of(SPEC)
    wanted = expected(model, adapter, F.cross_entropy, [batches()[0]])
    optimizer, factors = optimizer_of(adapter), factors_of(adapter)
    del adapter
    gc.collect()
    model(**batches()[0])["loss"].backward()
    optimizer.step()
    assert_close({name: value.grad for name, value in factors.items()}, wanted)


def hooks_of(adapter: Adapter) -> int:
    from torch.optim import optimizer

    own = [p._backward_hooks or {} for p in adapter.parameters()]
    after = [p._post_accumulate_grad_hooks or {} for p in adapter.parameters()]
    return sum(map(len, own)) + sum(map(len, after)) + len(optimizer._global_optimizer_pre_hooks)


def test_detaching_removes_every_hook() -> None:
    _, plain = model_of(PLAIN)
    bare = hooks_of(plain)
    _, adapter = model_of(SPEC)
    assert hooks_of(adapter) > bare
    adapter.detach()
    assert hooks_of(adapter) == bare


def test_nothing_is_left_of_a_forgotten_model() -> None:
    from torch.optim import optimizer

    gc.collect()
    before = len(optimizer._global_optimizer_pre_hooks)
    model, adapter = model_of(SPEC)
    assert len(optimizer._global_optimizer_pre_hooks) == before + 1
    del model, adapter
    gc.collect()
    assert len(optimizer._global_optimizer_pre_hooks) == before


def test_a_pass_in_eval_mode_adds_none() -> None:
    model, adapter = model_of(SPEC)
    model.eval()
    batch = batches()[0]
    model(**batch)["loss"].backward()
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch], weight=0.0))


def test_a_step_in_eval_mode_is_a_step() -> None:
    """Some train with dropout switched off that way."""
    model, adapter = model_of(SPEC)
    model.eval()
    batch = batches()[0]
    model(**batch)["loss"].backward()
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_a_step_without_gradients_adds_none() -> None:
    _, adapter = model_of(SPEC)
    optimizer_of(adapter).step()
    assert all(parameter.grad is None for parameter in adapter.parameters())


# --------------------------------------------------------------------------------------------- warnings


@pytest.fixture
def warned() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", SpecWarning)
        yield found


def test_a_loop_that_leaves_its_penalty_out_is_warned_once_in_the_step(
    warned: list[warnings.WarningMessage],
) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for with_penalty in (True, False, True, False):
        for batch in batches():
            loss = model(**batch)["loss"]
            (loss + adapter.penalty() if with_penalty else loss).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert [str(one.message) for one in warned] == [
        (
            "this training step left out the penalty `orth(A)`, `0.1 * norm(A@G@B)^2` of the adapter `default`, which "
            "the loop adds itself with `adapter.penalty()`"
        )
    ] * 2
    assert {Path(one.filename).name for one in warned} == {"test_penalties.py"}


def test_two_optimisers_of_one_pass_are_not_warned(warned: list[warnings.WarningMessage]) -> None:
    model, adapter = model_of(SPEC)
    values = factors_of(adapter)
    optimizers = [torch.optim.SGD([values[f"{place}.{n}"] for place in ("first", "second")], lr=0.0) for n in "AGB"]
    batch = batches()[0]
    (model(**batch)["loss"] + adapter.penalty()).backward()
    for optimizer in optimizers:
        optimizer.step()
    assert not warned
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_two_optimisers_of_one_pass_share_the_automatic_penalty() -> None:
    model, adapter = model_of(SPEC)
    values = factors_of(adapter)
    optimizers = [torch.optim.SGD([values[f"{place}.{n}"] for place in ("first", "second")], lr=0.0) for n in "AGB"]
    batch = batches()[0]
    model(**batch)["loss"].backward()
    for optimizer in optimizers:
        optimizer.step()
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_steps_of_something_else_are_not_warned(warned: list[warnings.WarningMessage]) -> None:
    model, adapter = model_of(SPEC)
    (model(**batches()[0])["loss"] + adapter.penalty()).backward()
    stepped(adapter)
    other = nn.Linear(2, 2)
    other(torch.ones(2)).sum().backward()
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    assert not warned
