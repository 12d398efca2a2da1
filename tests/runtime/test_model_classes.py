"""The task picks the class, and a model that cannot do it is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from specdsl.errors import SpecSettingError
from specdsl.runtime.model_classes import class_for, head_settings


def config(model_type: str, **values: Any) -> transformers.PreTrainedConfig:
    return transformers.AutoConfig.for_model(model_type, **values)


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [
        ("bert", "AutoModel"),
        ("deberta-v2", "AutoModel"),
        ("vit", "AutoModel"),
        ("clip", "AutoModel"),
        ("gpt2", "AutoModelForCausalLM"),
        ("llama", "AutoModelForCausalLM"),
        ("t5", "AutoModelForSeq2SeqLM"),
        ("bart", "AutoModelForSeq2SeqLM"),
        ("whisper", "AutoModelForSpeechSeq2Seq"),
    ],
)
def test_without_a_task_the_kind_of_model_decides(model_type: str, expected: str) -> None:
    assert class_for(None, config(model_type)) == expected


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("classification", "AutoModelForSequenceClassification"),
        ("regression", "AutoModelForSequenceClassification"),
        ("token-classification", "AutoModelForTokenClassification"),
        ("causal-lm", "AutoModelForCausalLM"),
    ],
)
def test_a_decoder_can_do_every_task(task: str, expected: str) -> None:
    assert class_for(task, config("gpt2")) == expected


def test_bert_as_a_decoder_can_do_causal_lm() -> None:
    assert class_for("causal-lm", config("bert", is_decoder=True)) == "AutoModelForCausalLM"


@pytest.mark.parametrize(
    ("task", "model_type", "message", "hint"),
    [
        (
            "causal-lm",
            "roberta",
            "a `roberta` model cannot do causal-lm: it is an encoder",
            "it can do classification, regression, token-classification",
        ),
        (
            "causal-lm",
            "deberta-v2",
            "a `deberta-v2` model cannot do causal-lm: it is an encoder",
            "it can do classification, regression, token-classification",
        ),
        (
            "causal-lm",
            "t5",
            "a `t5` model cannot do causal-lm: it is an encoder-decoder",
            "it can do classification, regression, token-classification",
        ),
        (
            "token-classification",
            "bart",
            "a `bart` model cannot do token-classification",
            "it can do classification, regression",
        ),
        (
            "classification",
            "vit",
            "a `vit` model cannot do classification",
            "it can do none of the tasks known here",
        ),
        ("clasification", "bert", "`clasification` is no task", "did you mean `classification`?"),
        (
            "x",
            "bert",
            "`x` is no task",
            "the tasks are classification, regression, token-classification, causal-lm",
        ),
    ],
)
def test_the_wrong_model_for_a_task_is_refused(task: str, model_type: str, message: str, hint: str) -> None:
    with pytest.raises(SpecSettingError) as raised:
        class_for(task, config(model_type))
    assert (raised.value.message, raised.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("task", "labels", "settings"),
    [
        (None, None, {}),
        ("classification", None, {}),
        ("classification", 3, {"num_labels": 3, "problem_type": "single_label_classification"}),
        ("token-classification", 5, {"num_labels": 5}),
        ("regression", None, {"num_labels": 1, "problem_type": "regression"}),
        ("regression", 1, {"num_labels": 1, "problem_type": "regression"}),
        ("causal-lm", None, {}),
    ],
)
def test_a_task_settles_its_head(task: str | None, labels: int | None, settings: dict[str, object]) -> None:
    assert head_settings(task, labels) == settings


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("regression", 2, "regression predicts one number, not 2"),
        ("classification", 1, "classification takes at least 2 labels, not 1"),
        ("token-classification", 0, "token-classification takes at least 2 labels, not 0"),
        ("causal-lm", 2, "causal-lm has no labels"),
        (None, 2, "a model without a task has no labels"),
    ],
)
def test_labels_that_fit_no_head_are_refused(task: str | None, labels: int, message: str) -> None:
    with pytest.raises(SpecSettingError) as raised:
        head_settings(task, labels)
    assert str(raised.value) == message
