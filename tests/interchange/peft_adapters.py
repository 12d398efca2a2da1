"""Adapters that PEFT saved, of every method that is imported, on tiny models of real architectures."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor, nn

from tests.runtime.small_models import small

BERT = ["query", "value"]
BERT_WIDE = ["query", "intermediate.dense"]
LLAMA = ["q_proj", "down_proj"]
RANKED = {"r": 3, "lora_alpha": 7}
BLOCKS = {"r": 0, "oft_block_size": 4, "use_cayley_neumann": False}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "LoRA and a head": ("bert", "LoraConfig", RANKED | {"target_modules": BERT, "modules_to_save": ["classifier"]}),
    "LoRA, one block": ("llama", "LoraConfig", RANKED | {"target_modules": LLAMA, "layers_to_transform": [1]}),
    "LoRA, pattern": ("llama", "LoraConfig", RANKED | {"target_modules": r".*\.0\..*(q|v)_proj"}),
    "LoRA, ranks by pattern": (
        "llama", "LoraConfig",
        RANKED | {
            "target_modules": LLAMA, "rank_pattern": {r"0.*q_proj": 2, "down_proj": 4},
            "alpha_pattern": {"down_proj": 9},
        },
    ),
    "rsLoRA, scales by pattern": (
        "bert", "LoraConfig",
        RANKED | {"target_modules": BERT, "use_rslora": True, "alpha_pattern": {r"layer\.1\..*": 2}},
    ),
    "DoRA, ranks by pattern": (
        "bert", "LoraConfig", RANKED | {"target_modules": BERT, "use_dora": True, "rank_pattern": {"value": 5}},
    ),
    "PiSSA, ranks by pattern": (
        "llama", "LoraConfig",
        RANKED | {"target_modules": LLAMA, "init_lora_weights": "pissa", "rank_pattern": {"q_proj": 2}},
    ),
    "LoKr, ranks by pattern": (
        "llama", "LoKrConfig", {"target_modules": LLAMA, "r": 2, "alpha": 5, "rank_pattern": {"q_proj": 20}},
    ),
    "LoHa, ranks by pattern": (
        "llama", "LoHaConfig", {"target_modules": LLAMA, "r": 2, "alpha": 5, "rank_pattern": {"q_proj": 3}},
    ),
    "BOFT, blocks by module": (
        "llama", "BOFTConfig", {"target_modules": LLAMA, "boft_block_size": 0, "boft_block_num": 4},
    ),
    "rsLoRA": ("llama", "LoraConfig", RANKED | {"target_modules": LLAMA, "use_rslora": True}),
    "LoRA, embedding": ("bert", "LoraConfig", RANKED | {"target_modules": ["word_embeddings", "query"]}),
    "LoRA, Conv1D": ("gpt2", "LoraConfig", RANKED | {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
    "LoRA with biases of its own": ("bert", "LoraConfig", RANKED | {"target_modules": BERT, "lora_bias": True}),
    "LoRA and its biases": ("bert", "LoraConfig", RANKED | {"target_modules": BERT, "bias": "lora_only"}),
    "LoRA and all biases": ("bert", "LoraConfig", RANKED | {"target_modules": BERT, "bias": "all"}),
    "DoRA": ("llama", "LoraConfig", RANKED | {"target_modules": LLAMA, "use_dora": True}),
    "DoRA, rsLoRA": ("bert", "LoraConfig", RANKED | {"target_modules": BERT, "use_dora": True, "use_rslora": True}),
    "PiSSA": ("llama", "LoraConfig", RANKED | {"target_modules": LLAMA, "init_lora_weights": "pissa"}),
    "OLoRA": ("bert", "LoraConfig", RANKED | {"target_modules": BERT, "init_lora_weights": "olora"}),
    "MiCA": ("bert", "LoraConfig", RANKED | {"target_modules": BERT, "init_lora_weights": "mica"}),
    "AdaLoRA": ("bert", "AdaLoraConfig", {"target_modules": BERT, "total_step": 9, "init_r": 4, "target_r": 2}),
    "IA3": ("bert", "IA3Config", {"target_modules": [*BERT, "output.dense"], "feedforward_modules": ["output.dense"]}),
    "IA3, outputs alone": ("llama", "IA3Config", {"target_modules": ["k_proj", "v_proj"], "feedforward_modules": []}),
    "VeRA": ("llama", "VeraConfig", {"target_modules": LLAMA, "r": 3}),
    "PVeRA": ("bert", "PveraConfig", {"target_modules": BERT_WIDE, "r": 3}),
    "OFT": ("llama", "OFTConfig", BLOCKS | {"target_modules": LLAMA}),
    "OFT, number of blocks": ("bert", "OFTConfig", BLOCKS | {"target_modules": BERT, "r": 4, "oft_block_size": 0}),
    "OFT, one block for all": ("bert", "OFTConfig", BLOCKS | {"target_modules": BERT_WIDE, "block_share": True}),
    "OFT, series": ("llama", "OFTConfig", {"target_modules": LLAMA, "r": 0, "oft_block_size": 4}),
    "COFT": ("bert", "OFTConfig", BLOCKS | {"target_modules": BERT_WIDE, "coft": True, "eps": 0.5}),
    "BOFT": ("llama", "BOFTConfig", {"target_modules": LLAMA}),
    "HRA": ("llama", "HRAConfig", {"target_modules": LLAMA, "r": 4}),
    "HRA, orthogonal": ("bert", "HRAConfig", {"target_modules": BERT, "r": 4, "apply_GS": True}),
    "FourierFT": ("llama", "FourierFTConfig", {"target_modules": LLAMA, "n_frequency": 40}),
    "LoHa": ("llama", "LoHaConfig", {"target_modules": LLAMA, "r": 3, "alpha": 5}),
    "LoKr": ("bert", "LoKrConfig", {"target_modules": BERT, "r": 20, "alpha": 5}),
    "LoKr, low": ("llama", "LoKrConfig", {"target_modules": LLAMA, "r": 2, "alpha": 5}),
    "MiSS": ("llama", "MissConfig", {"target_modules": LLAMA, "r": 4}),
    "MiSS, mini": ("bert", "MissConfig", {"target_modules": BERT, "r": 4, "mini_r": 2, "init_weights": "mini"}),
    "Bone, block-affine": ("bert", "MissConfig", {"target_modules": BERT, "r": 4, "init_weights": "bat"}),
    "LN tuning": ("bert", "LNTuningConfig", {"target_modules": ["LayerNorm"]}),
    "LN tuning, RMS": ("llama", "LNTuningConfig", {"target_modules": ["input_layernorm"]}),
    "VB-LoRA": ("llama", "VBLoRAConfig", {"target_modules": LLAMA, "r": 2, "num_vectors": 6, "vector_length": 4}),
    "SHiRA": ("llama", "ShiraConfig", {"target_modules": LLAMA, "r": 2}),
    "trainable tokens": ("llama", "TrainableTokensConfig", {"token_indices": [13, 5]}),
    "C3A": ("llama", "C3AConfig", {"target_modules": LLAMA, "block_size": 8}),
    "BEFT": ("bert", "BeftConfig", {"target_modules": BERT}),
    "OSF": ("bert", "OSFConfig", {"target_modules": BERT}),
}  # fmt: skip
IDS = torch.tensor([[5, 8, 13, 21, 34], [3, 6, 9, 12, 15]])


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=IDS).logits
    return found


def saved_by_peft(case: str, folder: Path) -> tuple[nn.Module, Tensor]:
    """A fresh base, and the logits of PEFT's adapter on it, which is in the folder."""
    name, config, options = CASES[case]
    base = small(name)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        theirs = peft.get_peft_model(copy.deepcopy(base), getattr(peft, config)(**options)).eval()
        with torch.no_grad():
            for parameter in theirs.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.3 * torch.randn_like(parameter))
    expected = logits(theirs)  # before it is saved: COFT projects while it runs
    theirs.save_pretrained(folder)
    return base, expected
