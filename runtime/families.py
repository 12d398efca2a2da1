"""Where the roles of a spec lie in each family of models, as data.

A pattern is the end of a module's name: `.` stands for itself, `#` for the number of the block, `*` for any
other number, `(a|b)` for either. The patterns of `roles` follow the one of `block`. What may come before
(`bert.`, `model.`, `transformer.encoder.`) does not matter, so a bare model and one with a head read alike.

Norms and convolutions are known by their class and heads by name (`HEADS`), so they need no entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """The naming that several model types share.

    Attributes:
        model_types: the `config.model_type` of its members.
        block: the name of a repeated block.
        roles: role of a linear map -> its name inside the block.
        embedding: the token embedding. Embeddings of positions and token types have no role.
        towers: part of a name -> the tower it stands for, in models that have several.
        fused: a role that has no module of its own -> the role of the projection it is part of.
    """

    model_types: tuple[str, ...]
    block: str
    roles: Mapping[str, str]
    embedding: str | None = None
    towers: Mapping[str, str] = field(default_factory=dict)
    fused: Mapping[str, str] = field(default_factory=dict)


# fmt: off
HEADS = frozenset({
    "lm_head", "cls", "proj_out", "embed_out", "generator_lm_head", "generator_predictions",
    "vocab_transform", "vocab_layer_norm", "vocab_projector",
    "classifier", "pre_classifier", "classification_head", "cls_classifier", "distillation_classifier",
    "score", "qa_outputs", "projector", "text_projection", "visual_projection", "head", "heads",
})
# fmt: on
"""Names of task heads and output layers. A pooler is none of them: it has no role."""


def _attention(module: str, query: str, key: str, value: str, output: str, group: str = "attention") -> dict[str, str]:
    return {
        f"{group}.query": f"{module}.{query}",
        f"{group}.key": f"{module}.{key}",
        f"{group}.value": f"{module}.{value}",
        f"{group}.output": f"{module}.{output}",
    }


_QKV = {
    "attention.query": "attention.qkv",
    "attention.key": "attention.qkv",
    "attention.value": "attention.qkv",
}
_ENCODER_DECODER = {"encoder": "encoder", "decoder": "decoder"}

BERT = Family(
    model_types=("bert", "roberta", "xlm-roberta", "camembert", "electra"),
    block="encoder.layer.#",
    roles={
        **_attention("attention", "self.query", "self.key", "self.value", "output.dense"),
        **_attention(
            "crossattention",
            "self.query",
            "self.key",
            "self.value",
            "output.dense",
            group="cross_attention",
        ),
        "mlp.up": "intermediate.dense",
        "mlp.down": "output.dense",
    },
    embedding="embeddings.word_embeddings",
)
DEBERTA = Family(
    model_types=("deberta-v2",),
    block="encoder.layer.#",
    roles={
        **_attention("attention", "self.query_proj", "self.key_proj", "self.value_proj", "output.dense"),
        "mlp.up": "intermediate.dense",
        "mlp.down": "output.dense",
    },
    embedding="embeddings.word_embeddings",
)
DEBERTA_V1 = Family(
    model_types=("deberta",),
    block="encoder.layer.#",
    roles={
        "attention.qkv": "attention.self.in_proj",
        "attention.output": "attention.output.dense",
        "mlp.up": "intermediate.dense",
        "mlp.down": "output.dense",
    },
    embedding="embeddings.word_embeddings",
    fused=_QKV,
)
DISTILBERT = Family(
    model_types=("distilbert",),
    block="transformer.layer.#",
    roles={
        **_attention("attention", "q_lin", "k_lin", "v_lin", "out_lin"),
        "mlp.up": "ffn.lin1",
        "mlp.down": "ffn.lin2",
    },
    embedding="embeddings.word_embeddings",
)
GPT2 = Family(
    model_types=("gpt2",),
    block="h.#",
    roles={
        "attention.qkv": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "cross_attention.query": "crossattention.q_attn",
        # Key and value alone: the query has a projection of its own.
        "cross_attention.qkv": "crossattention.c_attn",
        "cross_attention.output": "crossattention.c_proj",
        "mlp.up": "mlp.c_fc",
        "mlp.down": "mlp.c_proj",
    },
    embedding="wte",
    fused={
        **_QKV,
        "cross_attention.key": "cross_attention.qkv",
        "cross_attention.value": "cross_attention.qkv",
    },
)
LLAMA = Family(
    model_types=("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3", "olmo2"),
    block="layers.#",
    roles={
        **_attention("self_attn", "q_proj", "k_proj", "v_proj", "o_proj"),
        "mlp.gate": "mlp.gate_proj",
        "mlp.up": "mlp.up_proj",
        "mlp.down": "mlp.down_proj",
    },
    embedding="embed_tokens",
)
PHI3 = Family(
    model_types=("phi3",),
    block="layers.#",
    roles={
        "attention.qkv": "self_attn.qkv_proj",
        "attention.output": "self_attn.o_proj",
        # Gate and up stand side by side in one matrix; the language has no role for the pair.
        "mlp.up": "mlp.gate_up_proj",
        "mlp.down": "mlp.down_proj",
    },
    embedding="embed_tokens",
    fused={**_QKV, "mlp.gate": "mlp.up"},
)
T5 = Family(
    model_types=("t5", "mt5"),
    block="block.#",
    roles={
        **_attention("layer.*.SelfAttention", "q", "k", "v", "o"),
        **_attention("layer.*.EncDecAttention", "q", "k", "v", "o", group="cross_attention"),
        "mlp.gate": "layer.*.DenseReluDense.wi_0",
        "mlp.up": "layer.*.DenseReluDense.(wi|wi_1)",
        "mlp.down": "layer.*.DenseReluDense.wo",
    },
    embedding="(shared|embed_tokens)",
    towers=_ENCODER_DECODER,
)
VIT = Family(
    model_types=("vit", "deit", "dinov2", "dinov2_with_registers"),
    block="(layers|layer).#",
    roles={
        **_attention("attention", "q_proj", "k_proj", "v_proj", "o_proj"),
        "mlp.gate": "mlp.gate_proj",
        "mlp.up": "mlp.(fc1|up_proj)",
        "mlp.down": "mlp.(fc2|down_proj)",
    },
)
CLIP = Family(
    model_types=("clip", "clip_text_model", "clip_vision_model"),
    block="layers.#",
    roles={
        **_attention("self_attn", "q_proj", "k_proj", "v_proj", "out_proj"),
        "mlp.up": "mlp.fc1",
        "mlp.down": "mlp.fc2",
    },
    embedding="embeddings.token_embedding",
    towers={
        "text_model": "text",
        "text_projection": "text",
        "vision_model": "vision",
        "visual_projection": "vision",
    },
)
WHISPER = Family(
    model_types=("whisper", "bart", "mbart"),
    block="layers.#",
    roles={
        **_attention("self_attn", "q_proj", "k_proj", "v_proj", "out_proj"),
        **_attention("encoder_attn", "q_proj", "k_proj", "v_proj", "out_proj", group="cross_attention"),
        "mlp.up": "fc1",
        "mlp.down": "fc2",
    },
    embedding="(shared|embed_tokens)",
    towers=_ENCODER_DECODER,
)

FAMILIES: tuple[Family, ...] = (
    BERT,
    DEBERTA,
    DEBERTA_V1,
    DISTILBERT,
    GPT2,
    LLAMA,
    PHI3,
    T5,
    VIT,
    CLIP,
    WHISPER,
)
