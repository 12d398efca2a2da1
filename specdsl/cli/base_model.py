"""The base model of a saved adapter."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from specdsl.errors import SpecFileError, SpecSettingError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def base_of(
    folder: Path, model: str | None, task: str | None, num_labels: int | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None, list[str]]:
    """The base with the head that the adapter was trained with, its tokenizer, and what the user should know.

    Args:
        folder: of a saved adapter.
        model: its base; by default the one of the training.
        task, num_labels: the head of the base, where `train` did not save the adapter.

    Raises:
        SpecFileError: there is no adapter in the folder, or its base cannot be loaded.
        SpecSettingError: nothing says which model it is, or the task is said twice.
    """
    from specdsl.runtime.adapter_record import RECORD
    from specdsl.runtime.models import load_model
    from specdsl.runtime.task_file import FILE, TaskFile
    from specdsl.runtime.task_model import TaskModel

    if (folder / FILE).is_file():
        if task or num_labels:
            raise SpecSettingError(f"`{folder}` knows its task itself", hint="leave out --task and --num-labels")
        file = TaskFile.read(folder)
        known = TaskModel.load(model or file.model, file.task, max_length=file.max_length, bf16=file.bf16)
        return known.model, known.tokenizer, []
    if not (folder / RECORD).is_file():
        raise SpecFileError(f"there is no adapter in `{folder}`", hint=f"an adapter folder holds `{RECORD}`")
    if model is None:
        raise SpecSettingError(f"`{folder}` does not say which model it belongs to", hint="give it with --model")
    loaded = load_model(model, task=task, num_labels=num_labels)
    try:
        return loaded.model, loaded.tokenizer(), []
    except SpecFileError as error:
        return loaded.model, None, [f"without a tokenizer: {error.message}"]


def head_for(
    folders: Iterable[Path], task: str | None, num_labels: int | None
) -> tuple[str | None, int | None]:  # fmt: skip
    """The task of the base's head and its outputs, as the first folder says that knows; what is given is kept.

    Args:
        folders: of saved adapters, ours or PEFT's.

    Raises:
        SpecError: a folder is damaged.
    """
    from specdsl.runtime.interchange.peft_folder import CONFIG, read_folder
    from specdsl.runtime.interchange.peft_head import head_of
    from specdsl.runtime.task_file import FILE, TaskFile

    for folder in folders:
        if (folder / FILE).is_file():
            known = TaskFile.read(folder).task
            return (task, num_labels) if task else (known.kind, num_labels or known.outputs)
        if (folder / CONFIG).is_file():
            found = head_of(*read_folder(folder), task, num_labels)
            if found[0] is not None:
                return found
    return task, num_labels
