from __future__ import annotations

from typing import Any

import pytest
import torch

from specdsl.runtime.interchange.peft_head import head_of

ROBERTA = {
    "base_model.model.classifier.dense.weight": torch.zeros(32, 32),
    "base_model.model.classifier.out_proj.bias": torch.zeros(3),
    "base_model.model.classifier.out_proj.weight": torch.zeros(3, 32),
    "base_model.model.roberta.encoder.layer.0.attention.self.query.lora_A.weight": torch.zeros(2, 32),
}
SEQUENCES = {"task_type": "SEQ_CLS", "modules_to_save": ["classifier", "score"]}


@pytest.mark.parametrize(
    ("fields", "given", "expected"),
    [
        (SEQUENCES, (None, None), ("classification", 3)),
        (SEQUENCES, ("regression", 1), ("regression", 1)),
        (SEQUENCES, (None, 5), ("classification", 5)),
        (SEQUENCES, ("causal-lm", None), ("causal-lm", None)),
        (SEQUENCES | {"modules_to_save": None}, (None, None), ("classification", None)),
        (SEQUENCES | {"task_type": "TOKEN_CLS"}, (None, None), ("token-classification", 3)),
        (SEQUENCES | {"task_type": "CAUSAL_LM"}, (None, None), (None, None)),
        ({}, (None, None), (None, None)),
    ],
)
def test_the_head_follows_from_the_task_type_and_the_narrowest_map(
    fields: dict[str, Any], given: tuple[Any, Any], expected: tuple[Any, Any]
) -> None:
    assert head_of(fields, ROBERTA, *given) == expected


def test_one_output_is_a_regression() -> None:
    tensors = {"base_model.model.score.weight": torch.zeros(1, 32)}
    assert head_of(SEQUENCES, tensors) == ("regression", 1)
