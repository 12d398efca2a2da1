from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from specdsl.errors import SpecDataError, SpecFileError
from specdsl.runtime.evaluation import evaluate
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.training import TrainResult, fine_tune

SPEC = "W + A@B | r = 2"
TEXTS = ["a good film", "the bad plot", "good good", "bad film"]

TASKS: dict[str, dict[str, list[Any]]] = {
    "classification": {"text": TEXTS * 5, "label": ["good", "bad"] * 10},
    "regression": {"sentence1": TEXTS * 5, "sentence2": TEXTS * 5, "score": [0.5, 1.5] * 10},
    "token-classification": {
        "tokens": [["John", "lives", "in", "Rome"], ["bad", "films"]] * 10,
        "ner_tags": [["P", "O", "O", "L"], ["O", "O"]] * 10,
    },
    "causal-lm": {"text": TEXTS * 5},
}


def write(rows: dict[str, list[Any]], folder: Path, form: str) -> str:
    """The rows as a file of that form; a CSV holds lists as JSON."""
    path = folder / f"rows.{form}"
    data = Dataset.from_dict(rows)
    if form == "csv":
        flat = {
            name: [json.dumps(value) if isinstance(value, list) else value for value in values]
            for name, values in rows.items()
        }
        Dataset.from_dict(flat).to_csv(path, index=False)
    elif form == "json":
        path.write_text(json.dumps(data.to_list()))
    elif form == "parquet":
        data.to_parquet(path)
    else:
        data.save_to_disk(path)
    return str(path)


def train(folder: Path, model: Path, data: str, **values: Any) -> TrainResult:
    usual = {"output": str(folder / "out"), "device": "cpu", "batch_size": 8, "lr": 1e-2, "max_steps": 2}
    return fine_tune(SPEC, str(model), data, TrainSettings(**usual | values))


CPU = TrainSettings(device="cpu")


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "saved"])
@pytest.mark.parametrize("kind", TASKS)
def test_a_saved_adapter_reaches_what_it_reached_in_training(
    tmp_path: Path, tiny_bert: Path, tiny_llama: Path, kind: str, form: str
) -> None:
    data = write(TASKS[kind], tmp_path, form)
    trained = train(tmp_path, tiny_llama if kind == "causal-lm" else tiny_bert, data)
    found = evaluate(tmp_path / "out", data, settings=CPU)
    assert trained.task.kind == found.task.kind == kind
    assert found.metrics == trained.after
    assert trained.after != trained.before
    assert (found.held_out, found.examples) == (True, 2)


@pytest.fixture
def trained(tmp_path: Path, tiny_bert: Path) -> TrainResult:
    return train(tmp_path, tiny_bert, write(TASKS["classification"], tmp_path, "parquet"))


def test_other_data_are_evaluated_whole(tmp_path: Path, trained: TrainResult) -> None:
    (tmp_path / "other.csv").write_text("label,text\n1,good\n0,bad\n1,good film\n")
    found = evaluate(trained.folder, str(tmp_path / "other.csv"), settings=CPU)
    assert (found.held_out, found.examples) == (False, 3)


def test_the_test_part_is_what_is_evaluated(tmp_path: Path, trained: TrainResult) -> None:
    rows = Dataset.from_dict(TASKS["classification"])
    DatasetDict(train=rows, validation=rows, test=rows.select(range(7))).save_to_disk(tmp_path / "parts")
    assert evaluate(trained.folder, str(tmp_path / "parts"), settings=CPU).examples == 7
    limited = TrainSettings(device="cpu", eval_limit=4)
    assert evaluate(trained.folder, str(tmp_path / "parts"), settings=limited).examples == 4


def test_a_base_model_that_moved_can_be_named(tmp_path: Path, tiny_bert: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(tiny_bert, first)
    data = write(TASKS["classification"], tmp_path, "csv")
    result = train(tmp_path, first, data)
    first.rename(second)
    with pytest.raises(SpecFileError, match="cannot load the model"):
        evaluate(result.folder, data, settings=CPU)
    assert evaluate(result.folder, data, str(second), CPU).metrics == result.after


def test_data_without_the_columns_are_refused(tmp_path: Path, trained: TrainResult) -> None:
    (tmp_path / "other.csv").write_text("label,texts\n1,good\n")
    with pytest.raises(SpecDataError, match="no column `text` among `label`, `texts`"):
        evaluate(trained.folder, str(tmp_path / "other.csv"), settings=CPU)


def test_a_class_that_training_did_not_have_is_refused(tmp_path: Path, trained: TrainResult) -> None:
    (tmp_path / "other.csv").write_text("label,text\nfair,good\n")
    with pytest.raises(SpecDataError, match="the class 'fair' of `label` does not occur in training"):
        evaluate(trained.folder, str(tmp_path / "other.csv"), settings=CPU)


def test_a_folder_without_a_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecFileError, match=r"cannot read `.*task.json`"):
        evaluate(tmp_path, "movie-reviews")
