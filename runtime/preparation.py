"""Data made ready for training: their task found, a part held out, as many rows as were asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from datasets import Dataset, DatasetDict

from specdsl.errors import SpecDataError
from specdsl.runtime.data import hold_out, load_data
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.task_file import Divided, digest
from specdsl.runtime.tasks import Task, find_task, without_hidden_labels


@dataclass(frozen=True)
class Prepared:
    """Data that wait for a model.

    Attributes:
        task: what the columns ask for.
        parts: train, and validation or test or both.
        divided: how a part was held out; None where the data came in parts.
    """

    task: Task
    parts: DatasetDict
    divided: Divided | None


def prepare(text: str, settings: TrainSettings) -> Prepared:
    """The data that `text` names, ready for training.

    Raises:
        SpecFileError: they cannot be read.
        SpecDataError: they fit no task, or cannot be divided.
    """
    data = load_data(text, settings.eval_data)
    if "train" not in data:
        raise SpecDataError(f"`{text}` has no part for training")
    task = find_task(data["train"], settings.task, settings.text_columns, settings.label_column)
    data = without_hidden_labels(data, task)
    divided = None
    if len(data) == 1:
        divided = Divided(digest=digest(data["train"], task.columns), share=settings.eval_share)
    parts = hold_out(data, settings.eval_share)
    # Rows to evaluate on do not depend on the seed, so that runs can be compared.
    drawn = {
        part: draw(rows, settings.limit, settings.seed) if part == "train" else draw(rows, settings.eval_limit)
        for part, rows in parts.items()
    }
    return Prepared(task, DatasetDict(drawn), divided)


def draw(rows: Dataset, count: int | None, seed: int = 0) -> Dataset:
    """`count` rows drawn by the seed, in their order; all of them where there are no more, or for None."""
    if count is None or count >= len(rows):
        return rows
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return rows.select(np.sort(chosen))
