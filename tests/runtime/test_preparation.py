from __future__ import annotations

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from specdsl.errors import SpecDataError
from specdsl.runtime.preparation import draw, prepare
from specdsl.runtime.settings import TrainSettings


def save(folder: Path, **parts: Dataset) -> str:
    DatasetDict(parts).save_to_disk(folder)
    return str(folder)


def numbered(count: int) -> Dataset:
    rows = {
        "text": [str(number) for number in range(count)],
        "label": [number % 2 for number in range(count)],
    }
    return Dataset.from_dict(rows)


def test_data_without_parts_are_divided_and_say_so(tmp_path: Path) -> None:
    prepared = prepare(save(tmp_path / "data", train=numbered(20)), TrainSettings(eval_share=0.25))
    assert {part: len(rows) for part, rows in prepared.parts.items()} == {"train": 15, "test": 5}
    assert prepared.divided is not None
    assert prepared.divided.share == 0.25


def test_data_with_parts_are_taken_as_they_are(tmp_path: Path) -> None:
    prepared = prepare(save(tmp_path / "data", train=numbered(20), test=numbered(4)), TrainSettings())
    assert {part: len(rows) for part, rows in prepared.parts.items()} == {"train": 20, "test": 4}
    assert prepared.divided is None


def test_a_test_part_without_labels_is_replaced_by_rows_held_out(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["n", "p"])})
    hidden = Dataset.from_dict({"text": ["a"], "label": [-1]}, features=features)
    train = numbered(20).cast(features)
    prepared = prepare(save(tmp_path / "data", train=train, test=hidden), TrainSettings())
    assert {part: len(rows) for part, rows in prepared.parts.items()} == {"train": 18, "test": 2}


def test_limits_draw_by_the_seed_for_training_only(tmp_path: Path) -> None:
    data = save(tmp_path / "data", train=numbered(50), test=numbered(50))
    first, second = (prepare(data, TrainSettings(limit=6, eval_limit=5, seed=seed)).parts for seed in (0, 1))
    assert (len(first["train"]), len(first["test"])) == (6, 5)
    assert first["train"]["text"][:] != second["train"]["text"][:]
    assert first["test"]["text"][:] == second["test"]["text"][:]


def test_drawing_more_than_there_is_takes_all() -> None:
    rows = numbered(3)
    assert draw(rows, 5) is rows
    assert draw(rows, None) is rows


def test_data_without_a_part_for_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecDataError, match="has no part for training"):
        prepare(save(tmp_path / "data", test=numbered(3)), TrainSettings())
