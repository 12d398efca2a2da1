from __future__ import annotations

from pathlib import Path

import pytest
import torch

from specdsl.errors import SpecSettingError
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.tasks import Task
from specdsl.runtime.trainer_arguments import check_device, has_accelerator, trainer_arguments

NUMBER = Task(kind="regression", texts=("text",), label="score")


def test_settings_arrive_under_their_names_in_transformers(tmp_path: Path) -> None:
    settings = TrainSettings(lr=0.25, batch_size=3, gradient_accumulation=5, max_steps=7, clip=0.0, seed=9, warmup=2)
    made = trainer_arguments(settings, NUMBER, tmp_path)
    assert (made.learning_rate, made.per_device_train_batch_size, made.gradient_accumulation_steps) == (
        0.25,
        3,
        5,
    )
    assert (made.max_steps, made.max_grad_norm, made.seed, made.get_warmup_steps(7)) == (7, 0.0, 9, 2)


@pytest.mark.parametrize(
    ("warmup", "steps", "wanted"), [(0.06, 1, 0), (0.06, 2, 1), (0.06, 100, 6), (5, 100, 5), (5, 5, 4), (0, 1, 0)]
)
def test_a_warm_up_ends_before_the_run(tmp_path: Path, warmup: float, steps: int, wanted: int) -> None:
    assert trainer_arguments(TrainSettings(warmup=warmup), NUMBER, tmp_path).get_warmup_steps(steps) == wanted


@pytest.mark.parametrize(
    ("values", "save", "evaluate", "best"),
    [
        ({}, "epoch", "no", None),
        ({"save_every": 5}, "steps", "no", None),
        ({"best": "mse"}, "epoch", "epoch", ("mse", False)),
        ({"best": "pearson", "save_every": 5}, "steps", "steps", ("pearson", True)),
    ],
)
def test_checkpoints_are_compared_where_the_best_is_wanted(
    tmp_path: Path, values: dict[str, object], save: str, evaluate: str, best: tuple[str, bool] | None
) -> None:
    made = trainer_arguments(TrainSettings(**values), NUMBER, tmp_path)
    assert (made.save_strategy, made.eval_strategy) == (save, evaluate)
    assert made.load_best_model_at_end == (best is not None)
    if best:
        assert (made.metric_for_best_model, made.greater_is_better) == best
        assert made.save_steps == made.eval_steps or save == "epoch"


def test_a_metric_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecSettingError, match="regression has no metric `accuracy`"):
        trainer_arguments(TrainSettings(best="accuracy"), NUMBER, tmp_path)


@pytest.mark.parametrize(
    ("device", "there"), [("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())]
)
def test_a_device_that_is_not_there_is_refused(device: str, there: bool) -> None:
    settings = TrainSettings(device=device)
    if there:
        check_device(settings)
    else:
        with pytest.raises(SpecSettingError, match=f"device is {device}, but torch finds none here"):
            check_device(settings)


def test_the_cpu_is_always_there(tmp_path: Path) -> None:
    check_device(TrainSettings(device="cpu"))
    assert trainer_arguments(TrainSettings(device="cpu"), NUMBER, tmp_path).device == torch.device("cpu")


def test_bfloat16_trains_on_the_cpu_where_auto_finds_nothing_else(tmp_path: Path) -> None:
    if has_accelerator():
        return
    made = trainer_arguments(TrainSettings(bf16=True), NUMBER, tmp_path)
    assert (made.use_cpu, made.bf16) == (True, True)
