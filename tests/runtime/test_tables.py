from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset

from specdsl.errors import SpecDataError, SpecFileError
from specdsl.runtime.tables import quoted, read_table

ROWS = {"text": ["a good film", "NA", 'quoted, "so"\nand on'], "label": [1, 0, 1]}


def write_csv(rows: Dataset, path: Path) -> None:
    rows.to_csv(path, index=False)


def write_json(rows: Dataset, path: Path) -> None:
    path.write_text(json.dumps(rows.to_list()))


def write_json_columns(rows: Dataset, path: Path) -> None:
    path.write_text(json.dumps(rows[:]))


def write_json_lines(rows: Dataset, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(rows: Dataset, path: Path) -> None:
    rows.to_parquet(path)


Write = Callable[[Dataset, Path], None]
FORMATS: list[tuple[str, Write]] = [
    ("rows.csv", write_csv),
    ("rows.json", write_json),
    ("columns.json", write_json_columns),
    ("lines.json", write_json_lines),
    ("rows.jsonl", write_json_lines),
    ("rows.parquet", write_parquet),
    ("rows.tsv", lambda rows, path: rows.to_csv(path, index=False, sep="\t")),
]


@pytest.mark.parametrize(("name", "write"), FORMATS, ids=[name for name, _ in FORMATS])
def test_every_format_gives_back_the_rows(tmp_path: Path, name: str, write: Write) -> None:
    write(Dataset.from_dict(ROWS), tmp_path / name)
    assert read_table(tmp_path / name)[:] == ROWS


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    for name, content in (
        ("rows.csv", "text\na\n"),
        ("rows.json", '[{"text": "a"}]'),
        ("rows.jsonl", '{"text": "a"}'),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
        assert read_table(tmp_path / name)[:] == {"text": ["a"]}


def test_numbers_may_be_missing_and_objects_may_lack_columns(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,1\nb,\nc,NA\n")
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": 1}\n\n{"text": "b"}\n')
    assert read_table(tmp_path / "rows.csv")["label"][:] == [1, None, None]
    assert read_table(tmp_path / "rows.jsonl")["label"][:] == [1, None]


def test_a_late_fraction_makes_the_whole_column_fractions(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("score\n" + "1\n" * 300_000 + "1.5\n")
    assert read_table(tmp_path / "rows.csv").features["score"].dtype == "float64"


def test_names_are_listed_in_quotes() -> None:
    assert quoted({"text", "label"}) == "`label`, `text`"


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("rows.csv", b"", SpecDataError, "is empty"),
        ("rows.csv", b"text,text\na,b\n", SpecDataError, "has the column `text` twice"),
        ("rows.csv", b"text,label\na,b,c\n", SpecFileError, "Expected 2 columns, got 3"),
        ("rows.csv", b"text\n\xff\xfe\n", SpecFileError, "`text` of .* is not UTF-8 text"),
        ("rows.json", b" ", SpecDataError, "is empty"),
        ("rows.json", b"[1, 2]", SpecDataError, "entry 1 of .* is no object with columns"),
        ("rows.json", b'[{"text": "a"}, {"text": 1}]', SpecDataError, "`text` of .* mixes kinds of values"),
        ("rows.json", b'{"text": ["a", "b"], "label": [1]}', SpecDataError, "differ in length"),
        ("rows.json", b"[" * 100_000, SpecFileError, "cannot be read as json"),
        ("rows.jsonl", b'{"text": "a"}\n{"text":\n', SpecFileError, "is not JSON in line 2"),
        ("rows.parquet", b"PAR1", SpecFileError, "cannot be read as parquet"),
        ("rows.txt", b"a", SpecFileError, "unknown kind of data file `rows.txt`"),
        ("rows.py", b"a", SpecFileError, "unknown kind of data file `rows.py`"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, content: bytes, error: type[Exception], message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        read_table(tmp_path / name)
