from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset

from specdsl.errors import SpecCheckpointError, SpecFileError
from specdsl.runtime.task_file import FILE, Divided, TaskFile, digest
from specdsl.runtime.tasks import Task

TASK = Task(kind="classification", texts=("text",), label="label", classes=("n", "p"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = TaskFile(model="bert-base", task=TASK, max_length=40, divided=Divided(digest="ab", share=0.1))
    file.write(tmp_path)
    assert TaskFile.read(tmp_path) == file


def test_a_folder_without_one_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(SpecFileError, match="No such file") as caught:
        TaskFile.read(tmp_path)
    assert caught.value.hint == "only `train` writes one"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("{", "the file"),
        ("{}", "model"),
        (
            '{"version": 2, "model": "m", "task": {"kind": "causal-lm", "texts": ["text"]}, "max_length": 4}',
            "version",
        ),
        ('{"model": "m", "task": {"kind": "poetry", "texts": ["text"]}, "max_length": 4}', "task.kind"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str, place: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(SpecCheckpointError, match=f"is no task file: {place}: "):
        TaskFile.read(tmp_path)


def test_the_digest_is_of_the_values_in_order(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1], "id": [7, 8]})
    rows.to_parquet(tmp_path / "rows.parquet")
    columns = ("text", "label")
    assert digest(Dataset.from_parquet(str(tmp_path / "rows.parquet")), columns) == digest(rows, columns)
    assert digest(rows.select([1, 0]), columns) != digest(rows, columns)
    assert digest(rows, ("text", "id")) != digest(rows, columns)
