"""How good a saved adapter is on data, from its folder alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from transformers import set_seed

from specdsl.runtime.data import evaluation_part, hold_out, load_data
from specdsl.runtime.load import load
from specdsl.runtime.preparation import draw
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.task_file import Divided, TaskFile, digest
from specdsl.runtime.task_model import TaskModel
from specdsl.runtime.tasks import Task, without_hidden_labels
from specdsl.runtime.trainer import AdapterTrainer
from specdsl.runtime.trainer_arguments import check_device


@dataclass(frozen=True)
class EvalResult:
    """What an adapter reached.

    Attributes:
        task: what it was trained for.
        metrics: the task's metrics.
        examples: how many it was asked.
        held_out: whether they are the rows that training held out of these same data.
    """

    task: Task
    metrics: Mapping[str, float]
    examples: int
    held_out: bool


def evaluate(
    folder: str | Path, data_text: str, model_text: str | None = None, settings: TrainSettings | None = None
) -> EvalResult:
    """The metrics of an adapter that `fine_tune` saved, on the data's test part.

    Data without parts are evaluated whole; if training divided these very data, then on what it held out.

    Args:
        folder: of the adapter.
        data_text: as for `load_data`.
        model_text: the base model, where it is not where it was in training.
        settings: `device`, `eval_batch_size` and `eval_limit` are read.

    Raises:
        SpecError: its kind says whether the folder, the model or the data are wrong.
    """
    settings = settings or TrainSettings()
    check_device(settings)
    folder = Path(folder)
    file = TaskFile.read(folder)
    settings = settings.model_copy(update={"bf16": file.bf16})
    rows, held_out = _rows(data_text, file.task, file.divided)
    rows = draw(rows, settings.eval_limit)

    set_seed(settings.seed)
    base = TaskModel.load(model_text or file.model, file.task, max_length=file.max_length, bf16=file.bf16)
    adapter = load(base.model, folder)
    encoded = base.encode(rows)
    with tempfile.TemporaryDirectory() as unused:
        trainer = AdapterTrainer(base, adapter, settings, checkpoints=Path(unused))
        return EvalResult(base.task, trainer.measure(encoded), len(encoded), held_out)


def _rows(text: str, task: Task, divided: Divided | None) -> tuple[Dataset, bool]:
    data = without_hidden_labels(load_data(text), task)
    if divided and list(data) == ["train"] and _are_divided(data["train"], task, divided):
        return hold_out(data, divided.share)["test"], True
    return evaluation_part(data), False


def _are_divided(rows: Dataset, task: Task, divided: Divided) -> bool:
    """Whether these are the rows that training divided."""
    return set(task.columns) <= set(rows.column_names) and digest(rows, task.columns) == divided.digest
