from __future__ import annotations

import json
from pathlib import Path

import datasets
import huggingface_hub
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from specdsl.errors import SpecDataError, SpecFileError
from specdsl.runtime.data import evaluation_part, hold_out, load_data, split_name

ROWS = {"text": ["a good film", "NA", 'quoted, "so"\nand on'], "label": [1, 0, 1]}


@pytest.mark.parametrize("name", ["rows.csv", "saved"])
def test_one_table_is_all_for_training(tmp_path: Path, name: str) -> None:
    rows = Dataset.from_dict(ROWS)
    rows.to_csv(tmp_path / name, index=False) if name.endswith("csv") else rows.save_to_disk(tmp_path / name)
    data = load_data(str(tmp_path / name))
    assert list(data) == ["train"]
    assert data["train"][:] == ROWS


def test_parquet_and_saved_folders_keep_declared_classes(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    rows = Dataset.from_dict(ROWS, features=features)
    rows.to_parquet(tmp_path / "rows.parquet")
    DatasetDict(train=rows, test=rows).save_to_disk(tmp_path / "saved")
    assert load_data(str(tmp_path / "rows.parquet"))["train"].features == features
    assert load_data(str(tmp_path / "saved"))["test"].features == features


def test_files_of_a_folder_become_the_parts_that_their_names_say(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    for name in ("train-0.csv", "train-1.jsonl", "my.dev.csv", "test/rows.csv"):
        text = json.dumps({"text": name}) if name.endswith("jsonl") else f"text\n{name}"
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "README.md").write_text("not data")
    data = load_data(str(tmp_path))
    found = {part: rows["text"][:] for part, rows in data.items()}
    assert found == {
        "train": ["train-0.csv", "train-1.jsonl"],
        "validation": ["my.dev.csv"],
        "test": ["test/rows.csv"],
    }


def test_files_without_a_part_in_their_names_are_all_for_training(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"text\n{name}\n")
    assert load_data(str(tmp_path))["train"]["text"][:] == ["a.csv", "b.csv"]


def test_parts_of_a_saved_set_with_other_names_are_found_or_left_out(tmp_path: Path) -> None:
    one = Dataset.from_dict(ROWS)
    DatasetDict(train=one, validation_matched=one, unsupervised=one).save_to_disk(tmp_path / "saved")
    assert list(load_data(str(tmp_path / "saved"))) == ["train", "validation"]


def test_other_data_replace_every_part_but_training(tmp_path: Path) -> None:
    one, two = Dataset.from_dict(ROWS), Dataset.from_dict({"text": ["x", "y"], "label": [0, 1]})
    DatasetDict(train=one, validation=one, test=one).save_to_disk(tmp_path / "one")
    DatasetDict(validation=two).save_to_disk(tmp_path / "two")
    data = load_data(str(tmp_path / "one"), str(tmp_path / "two"))
    assert {part: len(rows) for part, rows in data.items()} == {"train": 3, "test": 2}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("validation_matched", "validation"),
        ("dev-00000-of-00001", "validation"),
        ("contest", None),
    ],
)
def test_a_part_is_told_by_whole_words(name: str, part: str | None) -> None:
    assert split_name(name) == part


def test_rows_are_held_out_once_and_always_the_same_ones() -> None:
    data = DatasetDict(train=Dataset.from_dict({"text": [str(number) for number in range(50)]}))
    first, second = hold_out(data, 0.1), hold_out(data, 0.1)
    assert (len(first["train"]), len(first["test"])) == (45, 5)
    assert first["test"]["text"][:] == second["test"]["text"][:]
    assert not set(first["test"]["text"]) & set(first["train"]["text"])


def test_data_with_parts_are_not_divided() -> None:
    one = Dataset.from_dict(ROWS)
    data = DatasetDict(train=one, validation=one)
    assert hold_out(data, 0.5) is data
    assert evaluation_part(data) is data["validation"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DatasetDict(test=Dataset.from_dict(ROWS)), "no part for training, only `test`"),
        (DatasetDict(train=Dataset.from_dict({"text": ["a"]})), "one row cannot be divided"),
    ],
)
def test_what_cannot_be_divided_says_why(data: DatasetDict, message: str) -> None:
    with pytest.raises(SpecDataError, match=message):
        hold_out(data, 0.1)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n")
    with pytest.raises(SpecDataError, match="has no rows in its part `train`"):
        load_data(str(tmp_path / "rows.csv"))


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"notes.md": "a"}, SpecFileError, "holds no data"),
        ({"train.csv": "text\na\n", "more.csv": "text\na\n"}, SpecFileError, "more.csv` does not say"),
        (
            {"a.csv": "text\na\n", "b.csv": "review\na\n"},
            SpecDataError,
            "differ in their columns: `text` and `review`",
        ),
        ({"a.csv": "label\n1\n", "b.csv": "label\nx\n"}, SpecDataError, "differ in a column's kind"),
        ({"state.json": "{}"}, SpecFileError, "the data set saved in .* cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(
    tmp_path: Path, files: dict[str, str], error: type[Exception], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message):
        load_data(str(tmp_path))


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text\na\n")
    with pytest.raises(SpecFileError, match="there is no file") as caught:
        load_data(str(tmp_path / "review.csv"))
    assert caught.value.hint == "did you mean `reviews.csv`?"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stanfordnlp/imdb", "no file or folder is called `stanfordnlp/imdb`, and the hub's data set"),
        ("nyu-mll/glue:sst2", "the hub's data set `nyu-mll/glue:sst2` cannot be read"),
        ("csv", "there are no data `csv`"),
        ("two words", "there are no data `two words`"),
    ],
)
def test_a_name_that_is_no_file_and_not_on_the_hub_says_so(name: str, message: str) -> None:
    with pytest.raises(SpecFileError, match=message):
        load_data(name)


def test_without_the_hub_a_data_set_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(SpecFileError, match="is not in the local cache and the hub cannot be reached"):
        load_data("stanfordnlp/imdb")
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_a_slip_in_the_example_data_is_seen() -> None:
    with pytest.raises(SpecFileError) as caught:
        load_data("movie_reviews")
    assert caught.value.hint == "did you mean `movie-reviews`?"
