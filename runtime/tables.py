"""One file of rows, by its ending: CSV, TSV, JSON, JSON lines, Parquet.

Not read through `datasets.load_dataset`, whose cache keeps past versions of a file, and whose reader takes
the text "NA" for a missing one. A table is held in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.parquet
from datasets import Dataset

from specdsl.errors import SpecDataError, SpecFileError

LARGEST_BLOCK = 2**31 - 2
"""Bytes from which Arrow guesses the kinds of a CSV's columns; all of a smaller file."""


def read_table(path: Path) -> Dataset:
    """The rows of one file, its format taken from the ending.

    Raises:
        SpecFileError: unknown ending, unreadable, or not in that format.
        SpecDataError: a column mixes kinds of values.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        hint = f"data are {', '.join(READERS)}, or a folder"
        raise SpecFileError(f"unknown kind of data file `{path.name}`", hint=hint)
    try:
        return Dataset(reader(path))
    except (OSError, ValueError, pyarrow.ArrowException, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SpecFileError(f"`{path}` cannot be read as {path.suffix.lower()[1:]}: {reason}") from error


def _read_csv(path: Path, delimiter: str = ",") -> pyarrow.Table:
    size = min(max(path.stat().st_size, 1), LARGEST_BLOCK)
    if not path.read_bytes().strip():
        raise SpecDataError(f"`{path}` is empty")
    table = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=size + 1, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
    )
    twice = {name for name in table.column_names if table.column_names.count(name) > 1}
    if twice:
        raise SpecDataError(f"`{path}` has the column {quoted(twice)} twice")
    for column in table.schema:
        if pyarrow.types.is_binary(column.type):
            raise SpecFileError(f"the column `{column.name}` of `{path}` is not UTF-8 text")
    return table


def _read_tsv(path: Path) -> pyarrow.Table:
    return _read_csv(path, "\t")


def _read_json(path: Path) -> pyarrow.Table:
    """A list of objects, an object of columns, or one object per line."""
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        raise SpecDataError(f"`{path}` is empty")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return _read_json_lines(path)
    if isinstance(content, dict) and content and all(isinstance(column, list) for column in content.values()):
        if len({len(column) for column in content.values()}) > 1:
            raise SpecDataError(f"the columns of `{path}` differ in length")
        return _columns(path, content)
    return _rows(path, content if isinstance(content, list) else [content])


def _read_json_lines(path: Path) -> pyarrow.Table:
    rows = []
    # Not splitlines: a JSON text may hold line separators that are no line ends of the file.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise SpecFileError(f"`{path}` is not JSON in line {number}: {error.msg}") from error
    return _rows(path, rows)


def _rows(path: Path, rows: Sequence[object]) -> pyarrow.Table:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise SpecDataError(f"entry {number} of `{path}` is no object with columns")
    names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
    return _columns(path, {name: [row.get(name) for row in rows if isinstance(row, dict)] for name in names})


def _columns(path: Path, columns: dict[str, list[Any]]) -> pyarrow.Table:
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pyarrow.array(values)
        except pyarrow.ArrowException as error:
            raise SpecDataError(f"the column `{name}` of `{path}` mixes kinds of values ({error})") from error
    return pyarrow.table(arrays)


READERS: dict[str, Callable[[Path], pyarrow.Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".parquet": pyarrow.parquet.read_table,
}


def quoted(names: Iterable[str]) -> str:
    """Names as an error lists them.

    >>> quoted(["text", "label"])
    '`label`, `text`'
    """
    return ", ".join(f"`{name}`" for name in sorted(names))
