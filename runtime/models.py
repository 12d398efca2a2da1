"""Loads the model that a user names: a local folder, a hub id, or a well-known short name.

Checkpoints are untrusted: only safetensors are read, and code that a checkpoint brings is never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

from specdsl.errors import SpecFileError, did_you_mean
from specdsl.runtime.architectures import Architecture, build, find, known_names, well_known
from specdsl.runtime.model_classes import class_for, head_settings
from specdsl.runtime.model_places import HUB_ID, Place, Source, is_folder, places
from specdsl.runtime.new_modules import new_modules

MIN_TOKENS = 4
NEEDS_WEIGHTS = "name a folder with its weights; `specdsl compile` needs none"


@dataclass(frozen=True)
class LoadedModel:
    """A model, and where it came from.

    Attributes:
        name: the well-known short name, or else what the user wrote.
        source: a local folder, the hub (or its cache), a Python package, or the architecture without weights.
        new_modules: the modules that the checkpoint does not hold and that begin at random.
        notes: what the user should know, a sentence each.
    """

    model: transformers.PreTrainedModel
    name: str
    source: Source
    new_modules: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    _place: Place | None = field(default=None, repr=False)

    @property
    def path(self) -> str | None:
        """The folder or the hub id that the checkpoint was read from; None for an architecture alone."""
        return self._place.path if self._place else None

    @property
    def has_weights(self) -> bool:
        return not any(parameter.is_meta for parameter in self.model.parameters())

    def tokenizer(self) -> transformers.PreTrainedTokenizerBase:
        """The tokenizer that belongs to the model.

        Raises:
            SpecFileError: there is none where the model came from.
        """
        if self._place is None:
            raise SpecFileError(f"`{self.name}` was built from its architecture alone and has no tokenizer")
        tokenizer: transformers.PreTrainedTokenizerBase = self._place.read(transformers.AutoTokenizer)
        # Without its files transformers may make one of special tokens alone, to which all text is unknown.
        if len(tokenizer) - len(tokenizer.all_special_tokens) < MIN_TOKENS:
            raise SpecFileError(f"{self._place} holds no tokenizer")
        return tokenizer


def load_model(
    text: str,
    *,
    task: str | None = None,
    num_labels: int | None = None,
    meta_ok: bool = False,
    dtype: torch.dtype | None = None,
    weights: bool = True,
) -> LoadedModel:
    """The model that `text` names.

    Args:
        text: a folder with `config.json` and safetensors, a hub id, or a short name (`deberta-v3-base`).
        task: classification, regression, token-classification or causal-lm; None takes an encoder without a
            head, a decoder with its language-model head, an encoder-decoder for generation.
        num_labels: the number of classes or tags; None keeps the checkpoint's.
        meta_ok: a well-known name whose weights cannot be had is built from its architecture alone, on the
            meta device.
        dtype: of the weights; None keeps the checkpoint's.
        weights: False loads no weights at all: every model is built on the meta device, a well-known one
            without a look at the network.

    Raises:
        SpecFileError: nothing could be loaded; the message tells what was tried.
        SpecSettingError: there is no such task, or the model cannot do it.
    """
    settings = head_settings(task, num_labels)
    architecture = None if is_folder(text) else find(text)
    if architecture and not weights:
        return _from_architecture(architecture, task, settings)
    tried: list[str] = []
    for place in places(text, architecture, tried):
        try:
            name = architecture.name if architecture else text
            return _from_checkpoint(place, name, task, settings, dtype=dtype, weights=weights)
        except SpecFileError as error:
            tried.append(error.message)
    if architecture and meta_ok:
        return _from_architecture(architecture, task, settings, tried)
    hint = NEEDS_WEIGHTS if architecture else did_you_mean(text, known_names())
    if hint is None and not is_folder(text) and HUB_ID.fullmatch(text):
        hint = well_known()
    raise SpecFileError(f"cannot load the model `{text}`: {'; '.join(tried)}", hint=hint)


def _from_checkpoint(
    place: Place,
    name: str,
    task: str | None,
    settings: dict[str, Any],
    *,
    dtype: torch.dtype | None,
    weights: bool,
) -> LoadedModel:
    config = place.config(**settings)
    loader = getattr(transformers, class_for(task, config))
    if not weights:
        with torch.device("meta"):
            model = loader.from_config(config).eval()
        fresh = _task_head(model, task, config)
        return LoadedModel(model, name, place.source, fresh, (f"`{name}` without its weights",), place)
    model, info = place.read(
        loader,
        config=config,
        dtype=dtype or "auto",
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise SpecFileError(f"{place} holds an adapter of PEFT; name its base model")
    fresh = new_modules(model, info["missing_keys"], [key for key, *_ in info["mismatched_keys"]])
    notes = (f"not in the checkpoint, so at random: {', '.join(fresh)}",) if fresh else ()
    return LoadedModel(model, name, place.source, fresh, notes, place)


def _from_architecture(
    architecture: Architecture, task: str | None, settings: dict[str, Any], tried: Sequence[str] = ()
) -> LoadedModel:
    config = architecture.config()
    model = build(architecture.name, auto_class=class_for(task, config), **settings)
    why = f" ({'; '.join(tried)})" if tried else ""
    notes = (f"`{architecture.name}` is its architecture alone, without weights{why}",)
    return LoadedModel(model, architecture.name, "architecture", _task_head(model, task, config), notes)


def _task_head(
    model: transformers.PreTrainedModel, task: str | None, config: transformers.PreTrainedConfig
) -> tuple[str, ...]:
    """What a task adds to a model, where no checkpoint is read that could hold it."""
    if class_for(task, config) == class_for(None, config):
        return ()
    added = [name for name, _ in model.named_children() if name != model.base_model_prefix]
    return new_modules(model, [name for name, _ in model.named_parameters() if name.partition(".")[0] in added], ())
