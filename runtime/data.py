"""Labelled text from files, folders, saved data sets and the hub, as a `datasets.DatasetDict`.

No data set's own code is ever run: what is on disk is read by `tables`, and the hub's client only takes
data sets that are plain files.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset, load_from_disk

from specdsl.errors import SpecDataError, SpecFileError, did_you_mean
from specdsl.runtime.hub import hub_or_cache
from specdsl.runtime.tables import READERS, quoted, read_table

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing", "heldout"),
}
"""The parts of a data set, and what file names and hub data sets call them."""

FORMATS = frozenset({"csv", "json", "parquet", "text", "arrow", "pandas", "sql", "xml", "webdataset", "generator"})
"""Names that `load_dataset` takes for a format, not for a data set."""

EXAMPLES = ("movie-reviews",)
"""Data sets that this package fetches by itself."""


def load_data(text: str, eval_data: str | None = None) -> DatasetDict:
    """The data that `text` names, in the parts that it has: train, validation, test.

    A file (.csv, .tsv, .json, .jsonl, .parquet), a folder of such files whose names say the part, a folder
    that `save_to_disk` wrote, `movie-reviews`, or a data set of the hub as `name` or `name:configuration`.
    What has no parts is all "train". `eval_data` names other data to evaluate on, which become "test".

    Raises:
        SpecFileError: nothing of that name, or it cannot be read.
        SpecDataError: it was read, but holds no rows.
    """
    data = _load(text)
    if eval_data is not None:
        kept = {part: rows for part, rows in data.items() if part == "train"}
        data = DatasetDict(kept | {"test": evaluation_part(_load(eval_data))})
    for part, rows in data.items():
        if len(rows) == 0:
            raise SpecDataError(f"`{text}` has no rows in its part `{part}`")
    return data


def evaluation_part(data: DatasetDict) -> Dataset:
    """The part to evaluate on: test, else validation, else all there is."""
    return next(data[part] for part in ("test", "validation", "train") if part in data)


def hold_out(data: DatasetDict, share: float) -> DatasetDict:
    """`data` with a part to evaluate on: its own, else a share of the training rows, always the same ones.

    Raises:
        SpecDataError: no part for training, or too few rows to divide.
    """
    if "train" not in data:
        raise SpecDataError(f"no part for training, only {quoted(data)}")
    if len(data) > 1:
        return data
    rows = data["train"]
    if len(rows) < 2:
        raise SpecDataError("one row cannot be divided into training and evaluation")
    held = min(max(1, round(share * len(rows))), len(rows) - 1)
    # A seed of its own: runs that differ in their seed are compared on the same rows.
    order = np.random.default_rng(0).permutation(len(rows))
    return DatasetDict(train=rows.select(np.sort(order[held:])), test=rows.select(np.sort(order[:held])))


def _load(text: str) -> DatasetDict:
    if text in EXAMPLES:
        # Imported where it is asked for: it fetches, and nothing else here needs it.
        from specdsl.runtime.example_data import movie_reviews

        return movie_reviews()
    path = Path(text)
    if path.is_file():
        return DatasetDict(train=read_table(path))
    if path.is_dir():
        return _saved(path) or _folder(path)
    if path.suffix.lower() in READERS or text.startswith((".", "/", "~")) or text.endswith("/"):
        raise SpecFileError(f"there is no file `{text}`", hint=_file_nearby(path))
    return _hub(text)


def _file_nearby(path: Path) -> str | None:
    if not path.parent.is_dir():
        return f"there is no folder `{path.parent}` either"
    return did_you_mean(path.name, sorted(other.name for other in path.parent.iterdir()))


# Folders


def _saved(folder: Path) -> DatasetDict | None:
    """What `save_to_disk` wrote into `folder`, or None if it did not."""
    if not any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return None
    try:
        data = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise SpecFileError(f"the data set saved in `{folder}` cannot be read: {error}") from error
    return _parts(data) if isinstance(data, DatasetDict) else DatasetDict(train=data)


def _folder(folder: Path) -> DatasetDict:
    """The files of a folder and its sub-folders; file or folder names say the part."""
    files = sorted(
        path
        for path in (*folder.glob("*"), *folder.glob("*/*"))
        if path.suffix.lower() in READERS and not path.name.startswith(".")
    )
    if not files:
        raise SpecFileError(f"the folder `{folder}` holds no data", hint=f"data are {', '.join(READERS)}")
    parts = {path: split_name(path.stem) or split_name(path.relative_to(folder).parent.name) for path in files}
    named = [path for path, part in parts.items() if part]
    if named and len(named) < len(files):
        other = next(path for path in files if path not in named)
        raise SpecFileError(
            f"`{other}` does not say to which part it belongs", hint="name it train, validation or test"
        )
    tables: dict[str, list[Dataset]] = {}
    for path, part in parts.items():
        tables.setdefault(part or "train", []).append(read_table(path))
    return DatasetDict({part: _joined(folder, tables[part]) for part in SPLIT_NAMES if part in tables})


def _joined(folder: Path, tables: list[Dataset]) -> Dataset:
    first, *others = tables
    for other in others:
        if set(other.column_names) != set(first.column_names):
            seen = f"{quoted(first.column_names)} and {quoted(other.column_names)}"
            raise SpecDataError(f"files of one part in `{folder}` differ in their columns: {seen}")
    try:
        return concatenate_datasets(tables)
    except (ValueError, pyarrow.ArrowException) as error:
        raise SpecDataError(f"files of one part in `{folder}` differ in a column's kind: {error}") from error


def split_name(name: str) -> str | None:
    """The part of a data set that a file or split name stands for.

    >>> split_name("reviews.dev-00000-of-00001")
    'validation'
    """
    words = re.split(r"[^a-z]+", name.lower())
    return next((part for part, names in SPLIT_NAMES.items() if any(word in names for word in words)), None)


def _parts(data: DatasetDict) -> DatasetDict:
    """The parts of a data set under our names; the first of several that stand for one, others left out."""
    parts: dict[str, Dataset] = {}
    for name in sorted(data, key=len):
        part = split_name(name)
        if part and part not in parts:
            parts[part] = data[name]
    if not parts:
        if len(data) > 1:
            raise SpecDataError(f"no part for training among {quoted(data)}")
        parts["train"] = next(iter(data.values()))
    return DatasetDict({part: parts[part] for part in SPLIT_NAMES if part in parts})


# The hub


def _hub(text: str) -> DatasetDict:
    name, _, configuration = text.partition(":")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or ("/" not in name and name in FORMATS):
        raise SpecFileError(f"there are no data `{text}`", hint=did_you_mean(text, EXAMPLES))
    try:
        with hub_or_cache() as reachable:
            data = load_dataset(name, configuration or None)
    except Exception as error:
        # The hub's client raises errors of half a dozen libraries; all of them mean "not read".
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        hint = did_you_mean(text, EXAMPLES) or "files and folders are read without a network"
        if not reachable:
            reason = "it is not in the local cache and the hub cannot be reached"
        message = f"no file or folder is called `{text}`, and the hub's data set `{text}` cannot be read: {reason}"
        raise SpecFileError(message, hint=hint) from error
    return _parts(data)
