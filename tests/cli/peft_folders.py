"""Adapters that PEFT saved, for the commands that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

TOKENS = torch.tensor([[2, 7, 11, 5, 3]])


def hidden(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(TOKENS).last_hidden_state
    return found


def saved_lora(tiny_bert: Path, folder: Path, **options: Any) -> torch.Tensor:
    """What PEFT's adapter in the folder computes."""
    config = peft.LoraConfig(r=2, target_modules=["query"], init_lora_weights=False, **options)
    theirs = peft.get_peft_model(AutoModel.from_pretrained(tiny_bert), config)
    theirs.save_pretrained(str(folder))
    return hidden(theirs)


def saved_classifier(tiny_bert: Path, folder: Path, labels: int) -> torch.Tensor:
    """The weight of the classifier that PEFT's adapter in the folder has."""
    base = AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=labels)
    config = peft.LoraConfig(r=2, target_modules=["query"], init_lora_weights=False, task_type="SEQ_CLS")
    theirs: Any = peft.get_peft_model(base, config)
    theirs.save_pretrained(str(folder))
    weight: torch.Tensor = theirs.base_model.model.classifier.modules_to_save.default.weight
    return weight
