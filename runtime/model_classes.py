"""Which `transformers` class loads a model: the task decides, or the kind of model where there is no task."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto import modeling_auto as names

from specdsl.errors import SpecSettingError, did_you_mean

TASKS = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "causal-lm": "AutoModelForCausalLM",
}


def class_for(task: str | None, config: PreTrainedConfig) -> str:
    """The name of the class that loads a model for the task.

    Without a task, decoders are loaded as causal language models, encoder-decoders for generation, and
    everything else without a head.

    Raises:
        SpecSettingError: there is no such task, or models of this type cannot do it.

    >>> from transformers import BertConfig
    >>> class_for("classification", BertConfig()), class_for(None, BertConfig())
    ('AutoModelForSequenceClassification', 'AutoModel')
    """
    if task is None:
        return _natural_class(config)
    if task not in TASKS:
        hint = did_you_mean(task, TASKS) or f"the tasks are {', '.join(TASKS)}"
        raise SpecSettingError(f"`{task}` is no task", hint=hint)
    able = [other for other in TASKS if _can(other, config)]
    if task not in able:
        hint = f"it can do {', '.join(able)}" if able else "it can do none of the tasks known here"
        kind = f"a `{config.model_type}` model"
        raise SpecSettingError(f"{kind} cannot do {task}{_because(task, config)}", hint=hint)
    return TASKS[task]


def head_settings(task: str | None, num_labels: int | None) -> dict[str, Any]:
    """The configuration values that a task and its number of labels fix.

    Raises:
        SpecSettingError: the number does not fit the task.
    """
    if task == "regression":
        if num_labels not in (None, 1):
            raise SpecSettingError(f"regression predicts one number, not {num_labels}")
        return {"num_labels": 1, "problem_type": "regression"}
    if num_labels is None:
        return {}
    if task in (None, "causal-lm"):
        raise SpecSettingError(f"{task or 'a model without a task'} has no labels")
    if num_labels < 2:
        raise SpecSettingError(f"{task} takes at least 2 labels, not {num_labels}")
    problem = {"problem_type": "single_label_classification"} if task == "classification" else {}
    return {"num_labels": num_labels, **problem}


def _can(task: str, config: PreTrainedConfig) -> bool:
    if task == "causal-lm":
        return _is_decoder(config)
    if task == "token-classification":
        return config.model_type in names.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES
    return config.model_type in names.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES


def _natural_class(config: PreTrainedConfig) -> str:
    if _is_decoder(config):
        return "AutoModelForCausalLM"
    if config.model_type in names.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "AutoModelForSeq2SeqLM"
    if config.model_type in names.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES:
        return "AutoModelForSpeechSeq2Seq"
    return "AutoModel"


def _is_decoder(config: PreTrainedConfig) -> bool:
    """Whether the model predicts each token from those before it, and from nothing else."""
    if config.model_type not in names.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or config.is_encoder_decoder:
        return False
    # BERT and its kin have a class for causal language modelling, yet attend to both sides by default.
    masked = config.model_type in names.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return not masked or bool(getattr(config, "is_decoder", False))


def _because(task: str, config: PreTrainedConfig) -> str:
    if task != "causal-lm":
        return ""
    if config.is_encoder_decoder:
        return ": it is an encoder-decoder"
    return ": it is an encoder" if config.model_type in names.MODEL_FOR_MASKED_LM_MAPPING_NAMES else ""
