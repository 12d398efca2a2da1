"""Models in float64 with random weights, prompts and prefixes in them, and PEFT's of the same factors."""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from torch import Tensor

import specdsl
from specdsl.runtime.adapter import Adapter
from tests.runtime.small_models import NO_DROPOUT
from tests.runtime.tiny_models import DEBERTA, DISTILBERT, GEMMA, GPT2, LLAMA, SIZES, T5

K = 3
"""How many rows are added."""

BERT_LIKE = SIZES | NO_DROPOUT
WITHOUT_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertForTokenClassification", BERT_LIKE),
    "roberta": ("RobertaForTokenClassification", BERT_LIKE | {"pad_token_id": 1, "max_position_embeddings": 40}),
    "xlm-roberta": ("XLMRobertaForTokenClassification", BERT_LIKE | {"pad_token_id": 1}),
    "camembert": ("CamembertForTokenClassification", BERT_LIKE | {"pad_token_id": 1}),
    "electra": ("ElectraForTokenClassification", BERT_LIKE | {"embedding_size": 32}),
    "distilbert": ("DistilBertForTokenClassification", DISTILBERT | {"dropout": 0.0, "attention_dropout": 0.0}),
    "deberta-v2": ("DebertaV2ForTokenClassification", DEBERTA | NO_DROPOUT),
    "gpt2": ("GPT2LMHeadModel", GPT2 | WITHOUT_DROPOUT),
    "llama": ("LlamaForCausalLM", LLAMA),
    "mistral": ("MistralForCausalLM", LLAMA),
    "qwen2": ("Qwen2ForCausalLM", LLAMA),
    "qwen3": ("Qwen3ForCausalLM", LLAMA | {"head_dim": 8}),
    "gemma": ("GemmaForCausalLM", GEMMA),
    "gemma2": ("Gemma2ForCausalLM", GEMMA),
    "gemma3_text": ("Gemma3ForCausalLM", GEMMA),
    "smollm3": ("SmolLM3ForCausalLM", LLAMA),
    "olmo2": ("Olmo2ForCausalLM", LLAMA),
    "phi3": ("Phi3ForCausalLM", LLAMA | {"resid_pdrop": 0.0, "embd_pdrop": 0.0}),
    "t5": ("T5ForConditionalGeneration", T5 | {"dropout_rate": 0.0}),
    "mt5": ("MT5ForConditionalGeneration", T5 | {"dropout_rate": 0.0}),
}
FUSED = ("gpt2", "phi3")
SEQ2SEQ = ("t5", "mt5")
DECODERS = ("gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3", "olmo2", "phi3")
IDS = torch.tensor([[5, 8, 13, 21, 34], [3, 6, 9, 12, 15]])
RIGHT = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
LEFT = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
SPEC = "k = 3 | P : k x m ~ normal(1) | y' = [P; y]"


def model_of(name: str, class_name: str | None = None, **values: Any) -> Any:
    """A model of `MODELS` in eval mode; `values` go into its configuration."""
    torch.manual_seed(0)
    own_class, settings = MODELS[name]
    config = transformers.AutoConfig.for_model(name, **settings | values)
    model = getattr(transformers, class_name or own_class)(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def inputs(name: str, mask: Tensor = RIGHT) -> dict[str, Tensor]:
    """Two sequences, the second padded."""
    ids = IDS if name not in ("roberta", "xlm-roberta", "camembert") else IDS * mask + (1 - mask)
    decoder = {"decoder_input_ids": IDS[:, :3]} if name in SEQ2SEQ else {}
    return {"input_ids": ids, "attention_mask": mask, **decoder}


def prompted(model: Any, name: str, spec: str = SPEC) -> Adapter:
    return specdsl.attach(model, spec, on="encoder.embedding" if name in SEQ2SEQ else "embedding", dtype="float64")


def prefixed(model: Any, name: str, spec: str = SPEC) -> Adapter:
    tower = "decoder." if name in SEQ2SEQ else ""
    roles = ["attention.qkv"] if name in FUSED else [f"{tower}attention.key", f"{tower}attention.value"]
    return specdsl.attach(model, spec, on=roles, dtype="float64")


def factors(adapter: Adapter) -> list[Tensor]:
    return [value for _, _, value in adapter.trained_factors()]


def logits(model: Any, **arguments: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**arguments).logits
    return found


def of_peft(model: Any, config: str, name: str) -> tuple[Any, Tensor]:
    """PEFT's model on a copy, and the table of its prompt."""
    import peft

    task = "SEQ_2_SEQ_LM" if name in SEQ2SEQ else "CAUSAL_LM" if name in DECODERS else "TOKEN_CLS"
    sizes = {"token_dim": 32, "num_layers": 2, "num_attention_heads": 4} if name == "distilbert" else {}
    settings = getattr(peft, config)(task_type=task, num_virtual_tokens=K, **sizes)
    other = peft.get_peft_model(copy.deepcopy(model), settings).eval().double()
    with torch.no_grad():
        table = other.prompt_encoder["default"].embedding.weight.normal_()
    return other, table
