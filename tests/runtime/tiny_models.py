"""Every family of models, two layers of width 32, on the meta device: names and shapes without weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 50,
}
IMAGES = {key: size for key, size in SIZES.items() if key != "vocab_size"} | {
    "image_size": 32,
    "patch_size": 8,
}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
LLAMA = SIZES | SPECIAL | {"num_key_value_heads": 2}
GEMMA = LLAMA | {"head_dim": 8}
DEBERTA = SIZES | {
    "type_vocab_size": 0,
    "relative_attention": True,
    "max_relative_positions": -1,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "pooler_hidden_size": 32,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
T5 = SPECIAL | {"vocab_size": 50, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
SEQ2SEQ = SPECIAL | {
    "vocab_size": 50,
    "d_model": 32,
    **{f"{tower}_layers": 2 for tower in ("encoder", "decoder")},
    **{f"{tower}_attention_heads": 4 for tower in ("encoder", "decoder")},
    **{f"{tower}_ffn_dim": 64 for tower in ("encoder", "decoder")},
}
WHISPER = SEQ2SEQ | {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 16}
CLIP = {
    "text_config": SIZES | SPECIAL | {"projection_dim": 16},
    "vision_config": IMAGES | {"projection_dim": 16},
    "projection_dim": 16,
}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 50}
DINOV2 = {key: size for key, size in IMAGES.items() if key != "intermediate_size"} | {"mlp_ratio": 2}


def tiny(class_name: str, model_type: str, **values: Any) -> transformers.PreTrainedModel:
    """A model of that class, with the values in its configuration."""
    config = transformers.AutoConfig.for_model(model_type, **values)
    with torch.device("meta"):
        model: transformers.PreTrainedModel = getattr(transformers, class_name)._from_config(config)
    return model


@cache
def bert() -> transformers.PreTrainedModel:
    return tiny("BertModel", "bert", **SIZES)


@cache
def gpt2() -> transformers.PreTrainedModel:
    return tiny("GPT2LMHeadModel", "gpt2", **GPT2)


@cache
def t5() -> transformers.PreTrainedModel:
    return tiny("T5ForConditionalGeneration", "t5", **T5)
