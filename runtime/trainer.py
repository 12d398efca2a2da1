"""`transformers.Trainer` for an attached adapter.

The adapter adds its penalties to the optimiser step by hooks of its own; nothing here adds them to the
loss. They are logged beside it, each under its text. Checkpoints hold the adapter and the optimiser, not the
whole model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import logging

from specdsl.errors import SpecCheckpointError
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.encoding import collator
from specdsl.runtime.load import load
from specdsl.runtime.metrics import METRICS, compute, summarise
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.task_model import TaskModel
from specdsl.runtime.trainer_arguments import trainer_arguments

Progress: TypeAlias = Callable[[int, int, Mapping[str, float]], None]
"""Called after each step with its number, the number of steps, and what was logged at it: mostly nothing, else the
mean loss since the last log and the penalties under their text."""


class AdapterTrainer(Trainer):
    """Trains the factors of one adapter, and the modules that it trains whole.

    Args:
        base: the model, whose task decides batches and metrics.
        adapter: attached to that model.
        settings: how to train.
        checkpoints: folder for the checkpoints.
        progress: told of every step.
    """

    def __init__(
        self,
        base: TaskModel,
        adapter: Adapter,
        settings: TrainSettings,
        *,
        checkpoints: Path,
        train: Dataset | None = None,
        selection: Dataset | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.adapter = adapter
        self.task = task = base.task
        super().__init__(
            base.model,
            trainer_arguments(settings, task, checkpoints),
            data_collator=collator(task, base.tokenizer),
            train_dataset=train,
            eval_dataset=selection,
            compute_metrics=lambda found: compute(task, np.asarray(found.predictions), np.asarray(found.label_ids)),
            preprocess_logits_for_metrics=lambda logits, labels: summarise(task, logits, labels),
            callbacks=[_Reporter(progress, frozenset(logged_penalties(adapter)))] if progress else None,
        )
        self.remove_callback(PrinterCallback)
        if task.kind != "causal-lm":
            # Heads of classification and regression take `num_items_in_batch` but do not divide by it, so the
            # loss would grow with the accumulated batches, and outweigh the penalties.
            self.model_accepts_loss_kwargs = False

    def measure(self, rows: Dataset) -> dict[str, float]:
        """The task's metrics on encoded rows."""
        found = self.evaluate(rows)
        return {name: found[f"eval_{name}"] for name in METRICS[self.task.kind]}

    def train(self, *values: Any, **options: Any) -> Any:
        """Train, without the remarks of `transformers` on where it runs; what matters is in the logs."""
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            return super().train(*values, **options)
        finally:
            logging.set_verbosity(verbosity)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW over the adapter's groups, each with its factors' own learning rate and decay."""
        if self.optimizer is None:
            kind, values = self.get_optimizer_cls_and_kwargs(self.args)
            groups = self.adapter.parameter_groups(self.args.learning_rate, self.args.weight_decay)
            self.optimizer = kind(groups, **{"weight_decay": self.args.weight_decay, **values})
        return self.optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log; the penalties join the lines with a training loss, and no other."""
        if "loss" in logs:
            logs |= logged_penalties(self.adapter)
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        assert output_dir is not None
        self.adapter.save(_adapter_folder(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self._take_adapter(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        assert self.state.best_model_checkpoint is not None
        self._take_adapter(self.state.best_model_checkpoint)

    def _take_adapter(self, checkpoint: str) -> None:
        """Put the adapter of a checkpoint in the place of the present one."""
        spec = self.adapter.spec
        model = self.adapter.detach()
        self.adapter = load(model, _adapter_folder(checkpoint))
        if self.adapter.spec.hash != spec.hash:
            raise SpecCheckpointError(f"`{checkpoint}` was made with another spec: {self.adapter.spec}")


def logged_penalties(adapter: Adapter) -> dict[str, float]:
    """The value of every penalty, under its text. A penalty that is only a name is called `penalty NAME`, so that
    a spec's `loss` is not taken for the task's."""
    return {
        f"penalty {text}" if text.isidentifier() else text: float(value) for text, value in adapter.penalties().items()
    }


def _adapter_folder(checkpoint: str) -> Path:
    return Path(checkpoint) / "adapter"


class _Reporter(TrainerCallback):
    """Hands steps, the loss and the penalties on to a `Progress`."""

    def __init__(self, progress: Progress, penalties: frozenset[str]) -> None:
        self.progress = progress
        self.shown = penalties | {"loss"}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        self.progress(state.global_step, state.max_steps, {})

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        if "loss" in others["logs"]:
            logged = {name: value for name, value in others["logs"].items() if name in self.shown}
            self.progress(state.global_step, state.max_steps, logged)
