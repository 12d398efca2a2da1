from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from torch import nn

from specdsl.errors import (
    SpecCheckpointError,
    SpecDataError,
    SpecFileError,
    SpecSettingError,
    SpecTargetError,
)
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.training import fine_tune

SPEC = "W + A@G@B | orth(A) | r = 4"
TEXTS = ["a good film", "the bad plot", "good good", "bad film"]


@pytest.fixture
def reviews(tmp_path: Path) -> str:
    """A folder with 32 rows to train on and 16 to test on, told apart by one word."""
    rows = Dataset.from_dict({"text": TEXTS * 8, "label": ["good", "bad"] * 16})
    DatasetDict(train=rows, test=rows.select(range(16))).save_to_disk(tmp_path / "reviews")
    return str(tmp_path / "reviews")


def settings(folder: Path, **values: Any) -> TrainSettings:
    usual = {
        "output": str(folder / "out"),
        "device": "cpu",
        "batch_size": 8,
        "lr": 1e-2,
        "log_every": 1,
        "epochs": 1,
        "overwrite": True,
    }
    return TrainSettings(**usual | values)


def values_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_beats_the_start_and_the_baseline(tmp_path: Path, tiny_llama: Path, reviews: str) -> None:
    result = fine_tune(SPEC, str(tiny_llama), reviews, settings(tmp_path, epochs=4))
    assert result.baseline == {"accuracy": 0.5}
    assert result.after["accuracy"] > 0.9
    assert result.after["loss"] < result.before["loss"]
    assert result.examples == (32, 16)


def test_only_the_adapter_and_the_new_head_are_trained(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    start = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, max_steps=1, lr=1e-30))
    result = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path))
    before, after = values_of(start.model), values_of(result.model)
    moved = {name for name in after if not torch.allclose(after[name], before[name], rtol=0, atol=1e-9)}
    trained = {name for name, parameter in result.model.named_parameters() if parameter.requires_grad}
    assert moved == trained
    assert {"classifier.weight", "classifier.bias"} < moved
    assert not any(name in moved for name in values_of(result.model.base_model) if "." not in name)


def test_the_history_holds_penalties_by_their_text(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    result = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path))
    assert [logged["orth(A)"] > 0 for logged in result.history if "loss" in logged] == [True] * 4


def test_an_adapter_is_not_replaced_unasked(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, max_steps=1))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(SpecFileError, match="holds an adapter already"):
        fine_tune("W + A@B", str(tiny_bert), reviews, settings(tmp_path, max_steps=1, overwrite=False))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("scheduler", ["linear", "cosine", "constant", "constant_with_warmup", "polynomial"])
def test_a_run_of_one_step_learns(tmp_path: Path, tiny_bert: Path, reviews: str, scheduler: str) -> None:
    result = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, max_steps=1, lr=0.01, scheduler=scheduler))
    assert result.history[0]["learning_rate"] == pytest.approx(0.01)
    assert all(float(value.detach().abs().max()) > 0 for _, name, value in result.adapter.factors() if name == "B")


def test_the_metrics_file_holds_penalties_and_the_history(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    result = fine_tune(f"{SPEC} | loss = norm(A)^2 | penalty loss", str(tiny_bert), reviews, settings(tmp_path))
    found = json.loads((result.folder / "metrics.json").read_text())
    factors = {place: value.detach() for place, name, value in result.adapter.factors() if name == "A"}
    last = {
        "orth(A)": sum(float(((A.T @ A - torch.eye(4)) ** 2).sum()) for A in factors.values()),
        "penalty loss": sum(float((A**2).sum()) for A in factors.values()),
    }
    assert {text: pair["after"] for text, pair in found["penalties"].items()} == pytest.approx(last)
    assert {text: found["history"][-1][text] for text in last} == pytest.approx(last)
    assert all(pair["before"] != pair["after"] for pair in found["penalties"].values())
    assert [logged["step"] for logged in found["history"]] == [1, 2, 3, 4]
    assert all(0 < logged["loss"] < 2 for logged in found["history"])


def test_checkpoints_can_be_kept(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, keep_checkpoints=True))
    assert (tmp_path / "out.checkpoints" / "checkpoint-4" / "trainer_state.json").is_file()


def test_the_best_checkpoint_is_what_is_saved(tmp_path: Path, tiny_llama: Path) -> None:
    rows = Dataset.from_dict({"text": TEXTS * 8, "label": ["good", "bad"] * 16})
    opposite = Dataset.from_dict({"text": TEXTS, "label": ["bad", "good"] * 2})
    DatasetDict(train=rows, validation=opposite, test=opposite).save_to_disk(tmp_path / "data")
    first, best = (
        fine_tune(SPEC, str(tiny_llama), str(tmp_path / "data"), settings(tmp_path, epochs=3, **values))
        for values in ({"max_steps": 12}, {"best": "loss"})
    )
    assert best.after["loss"] < first.after["loss"]


def test_the_folder_holds_the_adapter_the_tokenizer_and_nothing_pickled(
    tmp_path: Path, tiny_bert: Path, reviews: str
) -> None:
    result = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path))
    names = {path.name for path in result.folder.iterdir()}
    assert {"task.json", "tokenizer.json"} <= names
    assert {Path(name).suffix for name in names} == {".json", ".safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == {"out", "reviews"}


class Interrupted(Exception):
    pass


def interrupt_at(last: int) -> Any:
    def progress(step: int, steps: int, logs: Mapping[str, float]) -> None:
        if step == last:
            raise Interrupted

    return progress


@pytest.mark.parametrize("every", [None, 3], ids=["between epochs", "within an epoch"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, tiny_bert: Path, reviews: str, every: int | None
) -> None:
    values = {"epochs": 2, "save_every": every, "gradient_accumulation": 1}
    whole = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path / "whole", **values))
    with pytest.raises(Interrupted):
        fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, **values), progress=interrupt_at(5))
    resumed = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, **values, resume=True))
    assert same(values_of(resumed.model), values_of(whole.model))
    assert (resumed.before, resumed.after) == (whole.before, whole.after)


def test_an_interrupted_run_is_neither_overwritten_nor_mixed_with_another(
    tmp_path: Path, tiny_bert: Path, reviews: str
) -> None:
    with pytest.raises(Interrupted):
        fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, save_every=2), progress=interrupt_at(3))
    with pytest.raises(SpecFileError, match="holds a run that was interrupted"):
        fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, save_every=2))
    with pytest.raises(SpecCheckpointError, match="had spec = "):
        fine_tune("W + A@B", str(tiny_bert), reviews, settings(tmp_path, save_every=2, resume=True))


@pytest.mark.parametrize(("seed", "equal"), [(3, True), (4, False)])
def test_the_seed_decides_everything(tmp_path: Path, tiny_bert: Path, reviews: str, seed: int, equal: bool) -> None:
    first = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, seed=3))
    torch.manual_seed(99)
    second = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, seed=seed))
    assert same(values_of(first.model), values_of(second.model)) == equal


def test_recomputing_activations_changes_no_trained_number(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    plain, saving = (
        fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, gradient_checkpointing=flag))
        for flag in (False, True)
    )
    one, other = values_of(plain.model), values_of(saving.model)
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_bfloat16_trains_factors_and_head_in_float32(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    result = fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, bf16=True))
    assert {p.dtype for p in result.model.parameters() if p.requires_grad} == {torch.float32}
    assert all(value == value for value in result.after.values())


def test_options_reach_the_adapter(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    result = fine_tune(
        "W + A@B",
        str(tiny_bert),
        reviews,
        settings(tmp_path, max_steps=1),
        hyperparameters={"r": 2},
        on=["attention.query"],
        train=["norm"],
    )
    shapes = {tuple(p.shape) for n, p in result.model.named_parameters() if p.requires_grad and ".query." in n}
    assert shapes == {(32, 2), (2, 32)}
    trained = {name for name, parameter in result.model.named_parameters() if parameter.requires_grad}
    assert any(name.endswith("LayerNorm.weight") for name in trained)
    assert not any("key" in name for name in trained)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"best": "pearson"}, SpecSettingError, "classification has no metric `pearson`"),
        ({"max_length": 99}, SpecSettingError, "max_length is 99, but the model reads at most 40"),
        ({"task": "causal-lm"}, SpecSettingError, "a `bert` model cannot do causal-lm"),
        ({"task": "regression"}, SpecDataError, "`label` is no label for regression"),
        ({"text_columns": ("txt",)}, SpecDataError, "no column `txt`"),
    ],
)
def test_what_does_not_fit_is_said_before_training(
    tmp_path: Path,
    tiny_bert: Path,
    reviews: str,
    values: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path, **values))
    assert not (tmp_path / "out").exists()


def test_a_class_of_the_test_part_alone_is_refused(tmp_path: Path, tiny_bert: Path) -> None:
    train = Dataset.from_dict({"text": TEXTS, "label": ["a", "b", "a", "b"]})
    test = Dataset.from_dict({"text": TEXTS, "label": ["a", "b", "a", "c"]})
    DatasetDict(train=train, test=test).save_to_disk(tmp_path / "data")
    with pytest.raises(SpecDataError, match="the class 'c' of `label` does not occur in training"):
        fine_tune(SPEC, str(tiny_bert), str(tmp_path / "data"), settings(tmp_path))


@pytest.mark.parametrize("name", ["rank", "seed", "model", "layers"])
def test_a_value_that_the_spec_does_not_use_is_refused(
    tmp_path: Path, tiny_bert: Path, reviews: str, name: str
) -> None:
    with pytest.raises(SpecSettingError, match=f"`{name}`"):
        fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path), hyperparameters={name: 4})


def test_targets_that_match_nothing_are_refused(tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    with pytest.raises(SpecTargetError):
        fine_tune(SPEC, str(tiny_bert), reviews, settings(tmp_path), on=["attention.quary"])
