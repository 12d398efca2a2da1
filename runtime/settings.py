"""The settings of a training run, from keyword arguments, a YAML or TOML file, or both."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from specdsl.errors import SpecError, SpecFileError, SpecSettingError, did_you_mean, raise_all

TaskKind = Literal["classification", "regression", "token-classification", "causal-lm"]
Device = Literal["auto", "cuda", "mps", "cpu"]
Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial"]

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]

LARGEST_FILE = 64 * 1024
"""Bytes of a settings file; a real one has a few hundred."""

NAMES_ELSEWHERE = {
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "steps": "max_steps",
    "train_batch_size": "batch_size",
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "eval_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "activation_checkpointing": "gradient_checkpointing",
    "lr_scheduler_type": "scheduler",
    "warmup_ratio": "warmup",
    "warmup_steps": "warmup",
    "max_seq_length": "max_length",
    "output_dir": "output",
    "metric_for_best_model": "best",
    "load_best_model_at_end": "best",
    "logging_steps": "log_every",
    "save_steps": "save_every",
    "resume_from_checkpoint": "resume",
    "overwrite_output_dir": "overwrite",
}
"""What other tools call these settings, for the hint."""


class TrainSettings(BaseModel):
    """How to train: everything but the spec, the model and the data.

    Example:
        >>> TrainSettings(lr=1e-3, epochs=1).batch_size
        16
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    output: str = Field("adapter", min_length=1, description="folder for the adapter")
    task: TaskKind | None = Field(None, description="the task, where the columns should not decide")
    text_columns: tuple[str, ...] | None = Field(None, description="columns with the text")
    label_column: str | None = Field(None, description="column with the label or the tags")

    eval_data: str | None = Field(None, description="other data to evaluate on")
    eval_share: Share = Field(0.1, description="share held out where the data have no part for evaluation")
    limit: Count | None = Field(None, description="number of training examples, drawn by the seed")
    eval_limit: Count | None = Field(None, description="number of evaluation examples")
    max_length: Annotated[int, Field(ge=2)] | None = Field(
        None, description="tokens per example; 256 or what the model can take, whichever is less"
    )

    epochs: Annotated[float, Field(gt=0)] = Field(3.0, description="passes over the training examples")
    max_steps: Count | None = Field(None, description="optimiser steps, in place of epochs")
    lr: Annotated[float, Field(gt=0)] = Field(5e-4, description="learning rate at its peak")
    scheduler: Scheduler = Field("linear", description="the learning rate's course")
    warmup: Annotated[float, Field(ge=0)] = Field(0.06, description="share of the steps, or steps from 1 on")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's weight decay")
    clip: Annotated[float, Field(ge=0)] = Field(1.0, description="largest gradient norm; 0 does not clip")
    batch_size: Count = Field(16, description="examples per forward pass in training")
    eval_batch_size: Count = Field(64, description="examples per forward pass in evaluation")
    gradient_accumulation: Count = Field(1, description="forward passes per optimiser step")
    gradient_checkpointing: bool = Field(False, description="recompute activations to save memory")
    bf16: bool = Field(False, description="compute in bfloat16")

    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="of the starts, the head and the order")
    device: Device = Field("auto", description="where to run; auto prefers cuda, then mps")

    best: str | None = Field(None, description="keep the checkpoint best in this metric, not the last")
    log_every: Count = Field(10, description="steps between two logs")
    save_every: Count | None = Field(None, description="steps between two checkpoints; once an epoch if unset")
    resume: bool = Field(False, description="go on from the last checkpoint of an interrupted run")
    keep_checkpoints: bool = Field(False, description="do not remove the checkpoints at the end")
    events: bool = Field(True, description="off: the algebra alone, without what the spec does while training")
    overwrite: bool = Field(False, description="replace an adapter that is in the output folder already")

    def __init__(self, **values: Any) -> None:
        errors = [_unknown(name) for name in values if name not in type(self).model_fields]
        known = {name: _plain(value) for name, value in values.items() if name in type(self).model_fields}
        try:
            super().__init__(**known)
        except ValidationError as error:
            errors += [_impossible(detail["loc"], detail["msg"], detail["input"]) for detail in error.errors()]
        raise_all(errors)

    @classmethod
    def from_file(cls, path: str | Path, **overrides: Any) -> Self:
        """Settings from a `.yaml`, `.yml` or `.toml` file; an override that is not None has the last word.

        Raises:
            SpecFileError: the file cannot be read, or is neither YAML nor TOML.
            SpecSettingError: a name is unknown or a value impossible.
        """
        values = {name.replace("-", "_"): value for name, value in read_mapping(Path(path)).items()}
        return cls.of(values | {name: value for name, value in overrides.items() if value is not None})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Settings from names and values, those that are None left at their default."""
        return cls(**{name: value for name, value in values.items() if value is not None})


class _Yaml(yaml.SafeLoader):
    """YAML in which `1e-3` is a number, as in YAML 1.2; version 1.1 asks for `1.0e-3`."""


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_mapping(path: Path) -> dict[str, Any]:
    """The names and values of a YAML or TOML file.

    Raises:
        SpecFileError: no such file, too large, not a mapping, or not in the format that its name says.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecFileError(f"cannot read the settings `{path}`: {error.strerror}") from error
    if len(data) > LARGEST_FILE:
        raise SpecFileError(f"the settings `{path}` are {len(data):,} bytes long, more than {LARGEST_FILE:,}")
    try:
        values = _parse(path, data.decode())
    except (yaml.YAMLError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SpecFileError(f"the settings `{path}` cannot be read: {reason}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise SpecFileError(f"the settings `{path}` are not a list of names and values")
    return values


def _parse(path: Path, text: str) -> Any:
    match path.suffix.lower():
        case ".toml":
            return tomllib.loads(text)
        case ".yaml" | ".yml":
            # _Yaml is a SafeLoader: it builds plain values only.
            return yaml.load(text, Loader=_Yaml)
        case suffix:
            hint = "settings are .yaml, .yml or .toml"
            raise SpecFileError(f"unknown kind of settings file `{suffix or path.name}`", hint=hint)


def _plain(value: Any) -> Any:
    """A list as the tuple that strict validation wants."""
    return tuple(value) if isinstance(value, list) else value


def _unknown(name: str) -> SpecError:
    elsewhere = NAMES_ELSEWHERE.get(name)
    known = TrainSettings.model_fields
    hint = f"it is called `{elsewhere}` here" if elsewhere else did_you_mean(name, known)
    return SpecSettingError(f"there is no setting `{name}`", hint=hint)


def _impossible(place: tuple[int | str, ...], message: str, value: object) -> SpecError:
    name = str(place[0])
    hint = None
    if name in ("task", "device", "scheduler") and isinstance(value, str):
        annotation = TrainSettings.model_fields[name].annotation
        hint = did_you_mean(value, re.findall(r"'([\w-]+)'", str(annotation)))
    rule = message.replace("Input should", "should", 1)
    return SpecSettingError(f"`{name}` {rule}, not {value!r}", hint=hint)
