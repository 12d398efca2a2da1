"""Well-known models as data, so that a spec can be compiled against them without their weights.

`build("deberta-v3-base")` makes the module tree on the meta device: names, types and shapes are those of
the published checkpoint, no tensor holds memory and nothing is downloaded. Encoders are built as
`AutoModel`, decoders as causal language models, T5 and Whisper as conditional generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from specdsl.errors import SpecFileError, did_you_mean


@dataclass(frozen=True)
class Architecture:
    """A published model without its weights.

    Attributes:
        names: what it is called, the shortest usual name first.
        hub: the repository that holds its weights.
        model_type: the `transformers` name of its configuration.
        auto_class: the `transformers` class that builds it.
        values: the configuration values that decide a shape or differ from the defaults.
    """

    names: tuple[str, ...]
    hub: str
    model_type: str
    auto_class: str
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.names[0]

    def config(self, **overrides: Any) -> transformers.PreTrainedConfig:
        return transformers.AutoConfig.for_model(self.model_type, **(dict(self.values) | overrides))


def build(name: str, *, auto_class: str | None = None, **overrides: Any) -> transformers.PreTrainedModel:
    """The model called `name` on the meta device, in float32.

    Args:
        name: as in `find`.
        auto_class: another `transformers` class, such as `AutoModelForSequenceClassification`.
        **overrides: configuration values to change, such as `num_labels=5`.

    Raises:
        SpecFileError: no architecture has that name.

    >>> sum(p.numel() for p in build("microsoft/deberta-v3-base").parameters())
    183831552
    """
    found = find(name)
    if found is None:
        hint = did_you_mean(name, known_names()) or well_known()
        raise SpecFileError(f"`{name}` is not a well-known model", hint=hint)
    factory = getattr(transformers, auto_class or found.auto_class)
    with torch.device("meta"):
        model: transformers.PreTrainedModel = factory.from_config(found.config(**overrides), dtype=torch.float32)
    model.train(False)
    return model


def find(name: str) -> Architecture | None:
    """The architecture called `name`, whatever its case, `-`, `_`, and with or without its organisation.

    >>> find("GPT2_Medium").hub
    'openai-community/gpt2-medium'
    >>> find("someone-else/gpt2") is None
    True
    """
    organisation, slash, rest = name.rpartition("/")
    found = _BY_NAME.get(_key(rest))
    if found is None or (slash and organisation.lower() != found.hub.partition("/")[0].lower()):
        return None
    return found


def well_known() -> str:
    """The hint for a name that is none of them."""
    return f"well-known models are {', '.join(known_names())}"


def known_names() -> list[str]:
    """The short names, as they are offered to the user."""
    return [architecture.name for architecture in ARCHITECTURES]


def _key(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _encoder(
    names: tuple[str, ...],
    hub: str,
    model_type: str,
    values: Mapping[str, Any],
) -> Architecture:
    return Architecture(names, hub, model_type, "AutoModel", values)


def _sizes(hidden: int, layers: int, heads: int, inner: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


def _deberta_v3(size: str, hidden: int, layers: int, heads: int, inner: int) -> Architecture:
    name = f"deberta-v3-{size}"
    values = {
        "vocab_size": 128100,
        "max_position_embeddings": 512,
        "type_vocab_size": 0,
        "relative_attention": True,
        "max_relative_positions": -1,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "layer_norm_eps": 1e-7,
        "pooler_hidden_size": hidden,
        "pooler_hidden_act": "gelu",
        "pooler_dropout": 0,
    }
    return _encoder((name,), f"microsoft/{name}", "deberta-v2", _sizes(hidden, layers, heads, inner) | values)


def _roberta(size: str, hidden: int, layers: int, heads: int, inner: int) -> Architecture:
    name = f"roberta-{size}"
    values = {
        "vocab_size": 50265,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    }
    return _encoder((name,), f"FacebookAI/{name}", "roberta", _sizes(hidden, layers, heads, inner) | values)


def _bert(names: tuple[str, ...], hub: str, sizes: Mapping[str, Any]) -> Architecture:
    values = {"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2}
    return _encoder(names, hub, "bert", {**sizes, **values})


def _gpt2(name: str, width: int, layers: int, heads: int) -> Architecture:
    values = {"vocab_size": 50257, "n_positions": 1024, "n_embd": width, "n_layer": layers, "n_head": heads}
    return Architecture((name,), f"openai-community/{name}", "gpt2", "AutoModelForCausalLM", values)


def _llama(names: tuple[str, ...], hub: str, sizes: Mapping[str, Any], **values: Any) -> Architecture:
    return Architecture(names, hub, "llama", "AutoModelForCausalLM", {"rms_norm_eps": 1e-5, **sizes, **values})


def _vit(names: tuple[str, ...], hub: str, hidden: int, heads: int) -> Architecture:
    values = _sizes(hidden, 12, heads, 4 * hidden) | {"image_size": 224, "patch_size": 16}
    return _encoder(names, hub, "vit", values)


_DISTILBERT = {"vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072}
_DINOV2_SMALL = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "image_size": 518,
    "patch_size": 14,
}
_CLIP_BASE = {
    "text_config": _sizes(512, 12, 8, 2048) | {"vocab_size": 49408, "max_position_embeddings": 77},
    "vision_config": _sizes(768, 12, 12, 3072) | {"image_size": 224, "patch_size": 32},
    "projection_dim": 512,
}
_WHISPER_TINY = {
    "vocab_size": 51865,
    "num_mel_bins": 80,
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_layers": 4,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 1536,
    "max_source_positions": 1500,
    "max_target_positions": 448,
}
_T5_SMALL = {"vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8}

ARCHITECTURES: tuple[Architecture, ...] = (
    _deberta_v3("base", 768, 12, 12, 3072),
    _deberta_v3("small", 768, 6, 12, 3072),
    _deberta_v3("xsmall", 384, 12, 6, 1536),
    _roberta("base", 768, 12, 12, 3072),
    _roberta("large", 1024, 24, 16, 4096),
    _bert(("bert-base", "bert-base-uncased"), "google-bert/bert-base-uncased", _sizes(768, 12, 12, 3072)),
    _bert(("minilm", "all-minilm-l6-v2"), "sentence-transformers/all-MiniLM-L6-v2", _sizes(384, 6, 12, 1536)),
    _encoder(
        ("distilbert", "distilbert-base", "distilbert-base-uncased"),
        "distilbert/distilbert-base-uncased",
        "distilbert",
        _DISTILBERT,
    ),
    _gpt2("gpt2", 768, 12, 12),
    _gpt2("gpt2-medium", 1024, 24, 16),
    _llama(
        ("tinyllama", "tinyllama-1.1b", "tinyllama-1.1b-chat-v1.0"),
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        _sizes(2048, 22, 32, 5632),
        vocab_size=32000,
        num_key_value_heads=4,
        max_position_embeddings=2048,
    ),
    _llama(
        ("smollm2", "smollm2-135m"),
        "HuggingFaceTB/SmolLM2-135M",
        _sizes(576, 30, 9, 1536),
        vocab_size=49152,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True,
    ),
    _llama(
        ("llama-2-7b", "llama-2-7b-hf"),
        "meta-llama/Llama-2-7b-hf",
        _sizes(4096, 32, 32, 11008),
        vocab_size=32000,
        num_key_value_heads=32,
        max_position_embeddings=4096,
    ),
    _vit(("vit-base", "vit-base-patch16-224"), "google/vit-base-patch16-224", 768, 12),
    _vit(("deit-tiny", "deit-tiny-patch16-224"), "facebook/deit-tiny-patch16-224", 192, 3),
    _encoder(("dinov2-small",), "facebook/dinov2-small", "dinov2", _DINOV2_SMALL),
    _encoder(("clip-vit-base", "clip-vit-base-patch32"), "openai/clip-vit-base-patch32", "clip", _CLIP_BASE),
    Architecture(("whisper-tiny",), "openai/whisper-tiny", "whisper", "AutoModelForSpeechSeq2Seq", _WHISPER_TINY),
    Architecture(("t5-small",), "google-t5/t5-small", "t5", "AutoModelForSeq2SeqLM", _T5_SMALL),
)
_BY_NAME = {_key(name): architecture for architecture in ARCHITECTURES for name in architecture.names}
