from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors import safe_open
from transformers import set_seed

from specdsl.errors import SpecCheckpointError
from specdsl.runtime.attach import attach
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.task_model import TaskModel
from specdsl.runtime.tasks import Task, find_task
from specdsl.runtime.trainer import AdapterTrainer

SPEC = "W + A@G@B | orth(A) | r = 4"
ROWS = Dataset.from_dict({"text": ["a good film", "the bad plot", "good good", "bad film"] * 4, "label": [1, 0] * 8})
OPPOSITE = ROWS.remove_columns("label").add_column("label", [0, 1] * 8)
NEXT = Task(kind="causal-lm", texts=("text",))

Build = Callable[..., AdapterTrainer]


@pytest.fixture
def build(tmp_path: Path, tiny_llama: Path) -> Build:
    """A trainer of a spec on a tiny Llama, which has no dropout."""

    def trainer(
        spec: str = SPEC,
        task: Task | None = None,
        progress: Any = None,
        selection: Dataset | None = None,
        **values: Any,
    ) -> AdapterTrainer:
        usual = {"device": "cpu", "batch_size": 4, "lr": 1e-2, "log_every": 1, "epochs": 1}
        settings = TrainSettings(**usual | values)
        set_seed(0)
        base = TaskModel.load(str(tiny_llama), task or find_task(ROWS))
        return AdapterTrainer(
            base,
            attach(base.model, spec, train=base.trained_whole(None)),
            settings,
            checkpoints=tmp_path / "checkpoints",
            train=base.encode(ROWS),
            selection=base.encode(selection) if selection else None,
            progress=progress,
        )

    return trainer


def test_penalties_are_logged_under_their_text_beside_the_loss_only(build: Build) -> None:
    trainer = build(best="loss", selection=ROWS)
    trainer.train()
    training = [logged for logged in trainer.state.log_history if "loss" in logged]
    others = [logged for logged in trainer.state.log_history if "loss" not in logged]
    assert len(training) == 4
    assert all(logged["orth(A)"] > 0 for logged in training)
    assert training[-1]["orth(A)"] == pytest.approx(trainer.adapter.penalties()["orth(A)"].item())
    assert any("eval_loss" in logged for logged in others)
    assert not any("orth" in name for logged in others for name in logged)


def test_the_logged_loss_is_the_tasks_alone(build: Build) -> None:
    with_penalty, without = (build(spec, max_steps=1) for spec in (SPEC, "W + A@G@B | r = 4 | G ~ zeros"))
    for trainer in (with_penalty, without):
        trainer.train()
    assert with_penalty.state.log_history[0]["loss"] == pytest.approx(without.state.log_history[0]["loss"])


def test_factors_have_the_learning_rates_and_decays_of_the_spec(build: Build) -> None:
    trainer = build("W + A@B | r = 2 | A : n x r, decay = 0 | B ~ zeros, lr = 16", weight_decay=0.25)
    rates = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in trainer.create_optimizer().param_groups
        for parameter in group["params"]
    }
    found = {name: rates[id(value)] for _, name, value in trainer.adapter.factors()}
    assert found == {"A": (0.01, 0.0), "B": (0.16, 0.25)}
    assert rates[id(trainer.model.get_submodule("score").weight)] == (0.01, 0.25)


@pytest.mark.parametrize("task", [None, NEXT], ids=["classification", "causal-lm"])
def test_accumulated_batches_weigh_like_one_large_batch(build: Build, task: Task | None) -> None:
    logs = []
    for batches in ({"batch_size": 16}, {"batch_size": 4, "gradient_accumulation": 4}):
        trainer = build(task=task, max_steps=1, **batches)
        trainer.train()
        logs.append(trainer.state.log_history[0])
    assert logs[1]["loss"] == pytest.approx(logs[0]["loss"], rel=1e-4)
    assert logs[1]["grad_norm"] == pytest.approx(logs[0]["grad_norm"], rel=1e-4)


def test_checkpoints_hold_the_adapter_and_not_the_base_model(build: Build, tmp_path: Path) -> None:
    trainer = build()
    trainer.train()
    trainer.adapter.save(tmp_path / "adapter")
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    assert names_in(checkpoint / "adapter") == names_in(tmp_path / "adapter")
    assert not list(checkpoint.glob("*.safetensors"))


def names_in(folder: Path) -> set[str]:
    (path,) = folder.glob("*.safetensors")
    with safe_open(path, framework="pt") as file:
        return set(file.keys())


def test_the_best_checkpoint_is_taken_back(build: Build) -> None:
    trainer = build(epochs=3, best="loss", selection=OPPOSITE)
    trainer.train()
    losses = [logged["eval_loss"] for logged in trainer.state.log_history if "eval_loss" in logged]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]
    assert trainer.evaluate()["eval_loss"] == losses[0]


def test_a_checkpoint_of_another_spec_is_refused(build: Build, tmp_path: Path) -> None:
    build("W + A@B").train()
    with pytest.raises(SpecCheckpointError, match="was made with another spec"):
        build().train(resume_from_checkpoint=str(tmp_path / "checkpoints" / "checkpoint-4"))


def test_progress_hears_of_every_step_and_log(build: Build) -> None:
    steps: list[tuple[int, int]] = []
    logs: list[tuple[int, set[str]]] = []

    def progress(step: int, last: int, logged: Mapping[str, float]) -> None:
        if logged:
            logs.append((step, {"loss", "orth(A)"} & set(logged)))
        else:
            steps.append((step, last))

    build(log_every=2, progress=progress).train()
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert logs == [(1, {"loss", "orth(A)"}), (2, {"loss", "orth(A)"}), (4, {"loss", "orth(A)"})]


def test_measuring_agrees_with_asking_the_model(build: Build) -> None:
    trainer = build()
    rows = trainer.train_dataset
    found = trainer.measure(rows)
    batch = trainer.data_collator(rows.to_list())
    with torch.no_grad():
        output = trainer.model.eval()(**batch)
    assert set(found) == {"accuracy", "f1", "loss"}
    assert found["loss"] == pytest.approx(float(output.loss), rel=1e-5)
    assert found["accuracy"] == (output.logits.argmax(-1) == batch["labels"]).float().mean()
