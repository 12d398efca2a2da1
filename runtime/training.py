"""One call from a spec, a model and data to a trained adapter in a folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from transformers import PreTrainedModel, set_seed

from specdsl.layer_ranges import Layers, layer_numbers
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.attach import attach
from specdsl.runtime.data import evaluation_part
from specdsl.runtime.metrics import baseline, more_is_better
from specdsl.runtime.preparation import Prepared, prepare
from specdsl.runtime.run_record import RunRecord, checkpoint_folder, find_checkpoint
from specdsl.runtime.settings import TrainSettings
from specdsl.runtime.task_file import TaskFile, digest
from specdsl.runtime.task_model import TaskModel
from specdsl.runtime.tasks import Task
from specdsl.runtime.trainer import AdapterTrainer, Progress, logged_penalties
from specdsl.runtime.trainer_arguments import check_device
from specdsl.spec import Spec, parse

METRICS_FILE = "metrics.json"


@dataclass(frozen=True)
class TrainResult:
    """What came of a training run.

    Attributes:
        base: the model with the adapter in it, its tokenizer and its task.
        adapter: attached to that model.
        folder: the saved adapter, with its head, `task.json` and the tokenizer.
        before: the task's metrics on the held-out rows before training, the head being new.
        after: the same after training.
        baseline: what is reached on them without reading the text.
        penalties: the value of every penalty under its text, before and after training.
        examples: how many were trained on, and how many evaluated on.
        seconds: of training alone.
        history: what was logged, penalties under their text.
    """

    base: TaskModel
    adapter: Adapter
    folder: Path
    before: Mapping[str, float]
    after: Mapping[str, float]
    baseline: Mapping[str, float]
    penalties: Mapping[str, tuple[float, float]]
    examples: tuple[int, int]
    seconds: float
    history: Sequence[Mapping[str, float]]

    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` in the adapter's folder says."""
        return {
            "before": dict(self.before),
            "after": dict(self.after),
            "baseline": dict(self.baseline),
            "penalties": self.penalties_as_dict(),
            "examples": {"trained": self.examples[0], "evaluated": self.examples[1]},
            "seconds": round(self.seconds, 1),
            "history": [dict(logged) for logged in self.history if "loss" in logged],
        }

    def penalties_as_dict(self) -> dict[str, dict[str, float]]:
        return {text: {"before": before, "after": after} for text, (before, after) in self.penalties.items()}

    @property
    def task(self) -> Task:
        return self.base.task

    @property
    def model(self) -> PreTrainedModel:
        return self.base.model


def fine_tune(
    spec: str | Spec,
    model_text: str,
    data_text: str,
    settings: TrainSettings | None = None,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    on: Sequence[str] | str | None = None,
    exclude: Sequence[str] = (),
    layers: Layers | None = None,
    train: Sequence[str] | str | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a spec on text and save the adapter in `settings.output`.

    Args:
        spec: a file, a library name, or the text of a spec.
        model_text: a folder, a hub id or a well-known name.
        data_text: as for `load_data`; the columns decide the task.
        settings: how to train.
        hyperparameters: values for those of the spec, such as `{"r": 16}`.
        on: items to adapt, in place of the spec's own.
        exclude: items to leave out.
        layers: the blocks to adapt, as for `attach`; all where it is None.
        train: items to train whole, besides a head that the model does not hold yet.
        progress: told of every step.

    Raises:
        SpecError: its kind says whether spec, settings, data, model or a file is wrong.
    """
    settings = settings or TrainSettings()
    layers = None if layers is None else layer_numbers(layers)
    check_device(settings)
    parsed, indices = _with_values(spec, hyperparameters or {})
    prepared = prepare(data_text, settings)
    given = {
        "hyperparameters": hyperparameters,
        "on": on,
        "exclude": exclude,
        "layers": layers,
        "train": train,
    }
    run, checkpoint = _begin(settings, prepared, spec=parsed, model=model_text, **given)

    # The seed comes before the model, whose new head draws from it.
    set_seed(settings.seed)
    base = TaskModel.load(model_text, prepared.task, max_length=settings.max_length, bf16=settings.bf16)
    rows = DatasetDict({part: base.encode(rows) for part, rows in prepared.parts.items()})
    held_out = evaluation_part(rows)
    whole = base.trained_whole(train)
    adapter = attach(
        base.model, parsed, on=on, exclude=exclude, layers=layers, train=whole, seed=settings.seed,
        events=settings.events, **indices,
    )  # fmt: skip
    if settings.gradient_checkpointing:
        base.recompute_activations()
    trainer = AdapterTrainer(
        base,
        adapter,
        settings,
        checkpoints=checkpoint_folder(Path(settings.output)),
        train=rows["train"],
        selection=rows.get("validation", held_out),
        progress=progress,
    )
    run.write(checkpoint_folder(Path(settings.output)))
    before, at_start = trainer.measure(held_out), logged_penalties(adapter)
    start = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - start
    after = trainer.measure(held_out)
    result = TrainResult(
        base=base,
        adapter=trainer.adapter,
        folder=Path(settings.output),
        before=before,
        after=after,
        baseline=baseline(base.task, rows["train"], held_out),
        penalties={text: (at_start[text], value) for text, value in logged_penalties(trainer.adapter).items()},
        examples=(len(rows["train"]), len(held_out)),
        seconds=seconds,
        history=trainer.state.log_history,
    )
    _save(result, prepared, settings)
    return result


def _with_values(spec: str | Spec, values: Mapping[str, Any]) -> tuple[Spec, dict[str, Any]]:
    """The spec with its hyper-parameters, and the values of `index` factors, which wait for `attach`."""
    parsed = parse(spec) if isinstance(spec, str) else spec
    indices = {name: value for name, value in values.items() if name in parsed.ir.factors}
    return parsed.set(**{name: value for name, value in values.items() if name not in indices}), indices


def _begin(settings: TrainSettings, prepared: Prepared, **given: object) -> tuple[RunRecord, Path | None]:
    """The record of this run and the checkpoint to go on from: what can fail before a model is loaded."""
    if settings.best:
        more_is_better(prepared.task, settings.best)
    data = digest(prepared.parts["train"], prepared.task.columns)
    run = RunRecord.of(settings, data=data, **given)
    output = Path(settings.output)
    return run, find_checkpoint(output, run, resume=settings.resume, overwrite=settings.overwrite)


def _save(result: TrainResult, prepared: Prepared, settings: TrainSettings) -> None:
    """Write the folder that `evaluate` reads; the checkpoints have then done their work."""
    base = result.base
    output = Path(settings.output)
    new = output.with_name(f".{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    result.adapter.save(new)
    base.tokenizer.save_pretrained(new)
    TaskFile(
        model=base.name,
        task=base.task,
        max_length=base.max_length,
        bf16=settings.bf16,
        divided=prepared.divided,
    ).write(new)
    (new / METRICS_FILE).write_text(json.dumps(result.metrics(), indent=2) + "\n", encoding="utf-8")
    # Replaced as a whole: no file of an earlier adapter is left beside this one's.
    if output.exists():
        shutil.rmtree(output)
    new.rename(output)
    if not settings.keep_checkpoints:
        shutil.rmtree(checkpoint_folder(output))
