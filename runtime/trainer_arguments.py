"""Our settings in the words of `transformers.TrainingArguments`."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainingArguments

from specdsl.errors import SpecSettingError
from specdsl.runtime.metrics import more_is_better
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.tasks import Task


class AdapterArguments(TrainingArguments):
    """`TrainingArguments` whose warm-up ends before the run does.

    The first step of a warm-up has the learning rate 0, so a run of one step would learn nothing.
    """

    def get_warmup_steps(self, num_training_steps: int) -> int:
        steps: int = super().get_warmup_steps(num_training_steps)
        return min(steps, max(0, num_training_steps - 1))


def trainer_arguments(settings: TrainSettings, task: Task, checkpoints: Path) -> TrainingArguments:
    """The settings in the words of `transformers`.

    Raises:
        SpecSettingError: the device is not there, or cannot do what is asked.
    """
    check_device(settings)
    strategy = "steps" if settings.save_every else "epoch"
    try:
        made = AdapterArguments(
            output_dir=str(checkpoints),
            num_train_epochs=settings.epochs,
            max_steps=settings.max_steps or -1,
            learning_rate=settings.lr,
            lr_scheduler_type=settings.scheduler,
            warmup_steps=settings.warmup,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.clip,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=settings.eval_batch_size,
            gradient_accumulation_steps=settings.gradient_accumulation,
            bf16=settings.bf16,
            seed=settings.seed,
            use_cpu=settings.device == "cpu" or (settings.device == "auto" and not has_accelerator()),
            dataloader_pin_memory=settings.device in ("auto", "cuda") and torch.cuda.is_available(),
            logging_steps=settings.log_every,
            logging_first_step=True,
            logging_nan_inf_filter=False,
            save_strategy=strategy,
            save_steps=settings.save_every or 500,
            save_total_limit=2,
            eval_strategy=strategy if settings.best else "no",
            eval_steps=settings.save_every,
            report_to="none",
            disable_tqdm=True,
            load_best_model_at_end=settings.best is not None,
            metric_for_best_model=settings.best,
            greater_is_better=more_is_better(task, settings.best) if settings.best else None,
        )
    except ValueError as error:
        raise SpecSettingError(f"these settings do not go together: {error}") from error
    # Several GPUs in one process would be nn.DataParallel: copies of the model without the adapter's hooks.
    made._n_gpu = min(made.n_gpu, 1)
    return made


def check_device(settings: TrainSettings) -> None:
    """Raise SpecSettingError where the device that the settings ask for is not there."""
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(settings.device):
        hint = "device=auto takes what there is"
        raise SpecSettingError(f"device is {settings.device}, but torch finds none here", hint=hint)


def has_accelerator() -> bool:
    """Whether there is a device that `auto` would choose before the CPU."""
    return torch.cuda.is_available() or torch.backends.mps.is_available()
