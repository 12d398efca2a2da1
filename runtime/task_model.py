"""A base model with a head for a task, its tokenizer, and class names that agree with the data's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from specdsl.runtime.encoding import encode, give_padding, length_limit
from specdsl.runtime.models import load_model
from specdsl.runtime.tasks import Task


@dataclass(frozen=True)
class TaskModel:
    """A model that can learn a task.

    Attributes:
        name: what the model is loaded by again: its hub id or short name, or the full path of its folder.
        model: with the head of the task.
        tokenizer: pads as the model does.
        task: its classes in the order of the model's outputs.
        max_length: tokens per example.
        new_heads: names of the modules that the checkpoint does not hold.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    max_length: int
    new_heads: tuple[str, ...]

    @classmethod
    def load(cls, text: str, task: Task, *, max_length: int | None = None, bf16: bool = False) -> Self:
        """The model that `text` names, with a head for the task.

        Weights are float32, with `bf16` of the checkpoint's own type; a new head is float32 always.
        Without `max_length` it is what the model can take, but no more than 256.

        Raises:
            SpecFileError: no such model, or its weights cannot be read.
            SpecSettingError: a model of that kind cannot learn the task, or not read as many tokens.
        """
        dtype = None if bf16 else torch.float32
        loaded = load_model(text, task=task.kind, num_labels=task.outputs, dtype=dtype)
        for head in loaded.new_modules:
            loaded.model.get_submodule(head).float()
        tokenizer = loaded.tokenizer()
        give_padding(tokenizer, loaded.model.config)
        task = _ordered_as_in(loaded.model, task)
        _name_outputs(loaded.model, task)
        name = str(Path(text).resolve()) if loaded.source == "folder" else text
        length = length_limit(max_length, tokenizer, loaded.model.config)
        return cls(name, loaded.model, tokenizer, task, length, loaded.new_modules)

    def encode(self, rows: Dataset) -> Dataset:
        """The rows as the model reads them; see `encoding.encode`."""
        return encode(rows, self.task, self.tokenizer, self.max_length)

    def trained_whole(self, items: Sequence[str] | str | None) -> list[str]:
        """What to train whole: the items, and each new head by its name."""
        wanted = [items] if isinstance(items, str) else list(items or ())
        return [*wanted, *(f"re:{re.escape(name)}" for name in self.new_heads)]

    def recompute_activations(self) -> None:
        """Let the backward pass compute activations again, to save memory."""
        enable = getattr(self.model, "activation_checkpointing_enable", None)
        # The old name, for transformers before 5.20.
        enable = enable or self.model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        # With a frozen embedding no block's input would ask for a gradient.
        self.model.enable_input_require_grads()  # type: ignore[no-untyped-call]
        self.model.config.use_cache = False


def _ordered_as_in(model: PreTrainedModel, task: Task) -> Task:
    """The task with the order of classes that the model has, if it has the same ones."""
    names = model.config.id2label or {}
    places = {str(name).casefold(): number for number, name in names.items()}
    if sorted(places) != sorted(name.casefold() for name in task.classes):
        return task
    return task.model_copy(update={"classes": tuple(sorted(task.classes, key=lambda name: places[name.casefold()]))})


def _name_outputs(model: PreTrainedModel, task: Task) -> None:
    if task.classes:
        model.config.id2label = dict(enumerate(task.classes))
        model.config.label2id = {name: number for number, name in enumerate(task.classes)}
