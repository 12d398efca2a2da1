"""Models of two layers with random weights on the CPU, and inputs for them: small enough to train in a test."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor, nn

from specdsl.runtime.adapter import Adapter
from tests.runtime.tiny_models import GPT2, LLAMA, SIZES, T5

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
CLASSES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertForSequenceClassification", "bert", SIZES | NO_DROPOUT),
    "gpt2": ("GPT2LMHeadModel", "gpt2", GPT2 | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}),
    "llama": ("LlamaForCausalLM", "llama", LLAMA),
    "t5": ("T5ForConditionalGeneration", "t5", T5 | {"dropout_rate": 0.0}),
}


def small(name: str, seed: int = 0) -> transformers.PreTrainedModel:
    """One of `CLASSES`, in eval mode, every parameter at random."""
    class_name, model_type, values = CLASSES[name]
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(model_type, **values)
    model: transformers.PreTrainedModel = getattr(transformers, class_name)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def batch(name: str) -> dict[str, Tensor]:
    """Inputs with labels."""
    ids = torch.tensor([[5, 8, 13, 21, 34], [3, 6, 9, 12, 15]])
    return {"input_ids": ids, "labels": torch.tensor([0, 1]) if name == "bert" else ids}


def logits(model: nn.Module, name: str) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**batch(name)).logits
    return found


def move(adapter: Adapter, seed: int = 1) -> None:
    """Change every trained factor a little, at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator).to(parameter))


def base_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's own tensors, copied."""
    return {key: value.clone() for key, value in model.state_dict().items() if ".specdsl." not in f".{key}"}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether the same names hold the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
