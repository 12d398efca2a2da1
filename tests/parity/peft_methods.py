"""What is compared with PEFT: for every method its spec, its configurations, and where PEFT is not the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Configuration:
    """One setting of a method, and the layer that carries it.

    Attributes:
        what: what differs from the default, for the table.
        options: fields of PEFT's configuration, or arguments of LyCORIS's module.
        layer: its type.
        sizes: n and m (channels of a convolution).
        without: what is not compared, as the reference cannot do it or is at odds with itself.
    """

    what: str
    options: Mapping[str, Any] = field(default_factory=dict)
    layer: str = "Linear"
    sizes: tuple[int, int] = (64, 48)
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """A method of the library and its reference.

    Attributes:
        spec: its name in the library.
        config: PEFT's configuration class.
        configurations: the first is the reference's default.
        options: fields that all configurations share.
        double: the tolerance in float64, wider than 1e-10 only where the reference computes in float32; 0 where it
            does not run in float64.
        spread: for a factor drawn at random, the reference's standard deviation over ours.
        without: what is not compared in any configuration.
        start: `same`, `derived` (from W: what is compared is the adapted weight), or why it is not compared.
        start_spec: the spec that starts as the reference on this layer, if it is another one.
        starts_in_float32: whether the reference begins on no float64 layer, so that one is made of its float32 values.
        deviation: where the reference is not the paper, or the spec is not the reference.
    """

    spec: str
    config: str
    configurations: tuple[Configuration, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    double: float = 1e-10
    spread: Mapping[str, float] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    start: str = "same"
    start_spec: str = ""
    starts_in_float32: bool = False
    deviation: str = ""


C = Configuration
GRADIENTS = ("input gradient", "factor gradients")
SMALL = (7, 5)
LORA = (
    C("default"), C("rank 3, alpha 5, dropout", {"r": 3, "lora_alpha": 5, "lora_dropout": 0.5}, sizes=SMALL),
    C("rsLoRA scale", {"r": 3, "lora_alpha": 5, "use_rslora": True}, sizes=(5, 7)),
    C("no bias", {"r": 2, "lora_alpha": 9}, "Linear without bias", SMALL),
)  # fmt: skip
CONV1D = C("Conv1D", {"r": 3, "lora_alpha": 5, "fan_in_fan_out": True}, "Conv1D", SMALL)
CONV2D = C("Conv2d", {"r": 3, "lora_alpha": 5}, "Conv2d", (3, 5))
TABLE = C("Embedding", {"r": 3, "lora_alpha": 5}, "Embedding", (9, 5))
RANK = (
    C("default"),
    C("rank 2, no bias", {"r": 2}, "Linear without bias", (8, 6)),
    C("rank 4", {"r": 4}, sizes=(12, 8)),
)


def start(value: str) -> dict[str, Any]:
    return {"init_lora_weights": value}


def blocks(side: int, **more: Any) -> dict[str, Any]:
    return {"r": 0, "oft_block_size": side, **more}


OFT = (
    C("default"), C("blocks of 3, dropout", blocks(3, module_dropout=0.5), sizes=(6, 5)),
    C("4 blocks, no bias", {"r": 4, "oft_block_size": 0}, "Linear without bias", (12, 7)),
    C("Conv2d, 1 x 1", blocks(2), "Conv2d, 1 x 1", (6, 5)),
    C("Conv2d, merged weight alone", blocks(4), "Conv2d, square kernel", (3, 5), ("forward", *GRADIENTS)),
)  # fmt: skip
BOFT = (
    C("default"), C("blocks of 2, dropout", {"boft_block_size": 2, "boft_dropout": 0.1}, sizes=(8, 5)),
    C("2 blocks, no bias", {"boft_block_size": 0, "boft_block_num": 2}, "Linear without bias", (8, 7)),
    C("2 factors", {"boft_block_size": 2, "boft_n_butterfly_factor": 2}, sizes=(8, 5)),
    C("3 factors", {"boft_block_size": 4, "boft_n_butterfly_factor": 3}, sizes=(32, 5)),
    C("Conv2d", {"boft_block_size": 4}, "Conv2d, square kernel", (3, 5)),
)  # fmt: skip

METHODS: tuple[Method, ...] = (
    Method("lora", "LoraConfig", (*LORA, CONV1D, CONV2D)),
    Method("rslora", "LoraConfig", (
        *LORA[:2], C("alpha 9, no bias", {"r": 2, "lora_alpha": 9}, "Linear without bias", SMALL),
        CONV1D, CONV2D, TABLE,
    ), {"use_rslora": True}),
    Method("lora_embedding", "LoraConfig", (
        C("default", layer="Embedding"), TABLE, C("rank 2", {"r": 2}, "Embedding", (11, 4)),
        C("rsLoRA scale", {"r": 4, "use_rslora": True}, "Embedding", (9, 5)),
    ), start_spec="lora_embedding"),
    Method(
        "lora_bias", "LoraConfig", (*LORA[:3], C("alpha 9", {"lora_alpha": 9}, sizes=(20, 30))), {"lora_bias": True}
    ),
    Method("dora", "LoraConfig", (*LORA, CONV1D, CONV2D, TABLE), {"use_dora": True}),
    Method("pissa", "LoraConfig", LORA, start("pissa"), 1e-5, start="derived", starts_in_float32=True,
        deviation="PEFT decomposes W in float32"),
    Method("olora", "LoraConfig", LORA, start("olora"), 1e-5, start="derived", starts_in_float32=True,
        deviation="PEFT decomposes W in float32"),
    Method("mica", "LoraConfig", LORA, start("mica"), start="derived", starts_in_float32=True),
    Method("orthogonal_init", "LoraConfig", (
        C("default"), C("rank 4", {"r": 4, "lora_alpha": 5}, sizes=(8, 6)),
        C("rsLoRA scale", {"r": 2, "use_rslora": True}, sizes=SMALL),
        C("no bias", {"r": 6}, "Linear without bias", (9, 8)),
    ), start("orthogonal"), start_spec="orthogonal_init"),
    Method("adalora", "AdaLoraConfig", (
        C("default"), C("rank 3, alpha 5, dropout", {"init_r": 3, "lora_alpha": 5, "lora_dropout": 0.5}, sizes=SMALL),
        C("no bias", {"init_r": 2}, "Linear without bias", SMALL),
        C("Conv1D", {"init_r": 3, "fan_in_fan_out": True}, "Conv1D", SMALL),
    ), {"total_step": 10, "target_r": 1},
        deviation="the penalty is PEFT's, of norms; the paper squares them"),
    Method("vera", "VeraConfig", (
        C("default"), C("rank 3, dropout", {"r": 3, "vera_dropout": 0.5}, sizes=SMALL),
        C("d at 0.5, no bias", {"r": 4, "d_initial": 0.5}, "Linear without bias", SMALL),
        C("Conv1D", {"r": 3, "fan_in_fan_out": True}, "Conv1D", SMALL),
    ), spread={"A": 6**0.5, "B": 6**0.5}, deviation="PEFT draws the frozen A and B wider, by a factor of sqrt(6) each"),
    Method("pvera", "PveraConfig", (
        C("default"), C("rank 3, dropout", {"r": 3, "pvera_dropout": 0.5}, sizes=SMALL),
        C("no bias", {"r": 4}, "Linear without bias", SMALL),
        C("Conv1D", {"r": 3, "fan_in_fan_out": True}, "Conv1D", SMALL),
    ), spread={"A": 6**0.5, "B": 6**0.5},
        deviation="PEFT draws the frozen A and B wider, by a factor of sqrt(6) each; noise at its mean is compared"),
    Method("ia3", "IA3Config", (
        C("default"), C("no bias", {}, "Linear without bias", SMALL),
        C("Conv1D", {"fan_in_fan_out": True}, "Conv1D", SMALL), C("Conv2d", {}, "Conv2d", (3, 5)),
    ), {"feedforward_modules": []}),
    Method("ia3_original", "IA3Config", (
        C("default"), C("no bias", {}, "Linear without bias", SMALL),
        C("Conv1D", {"fan_in_fan_out": True}, "Conv1D", SMALL), C("wide", {}, sizes=(5, 17)),
    ), {"feedforward_modules": ["layer"]}),
    Method("oft", "OFTConfig", OFT, {"use_cayley_neumann": False},
        deviation="PEFT's `module_dropout` does nothing; on a kernel larger than 1 x 1 its forward pass adds up "
        "overlapping patches and is not its merged weight, which the spec is"),
    Method("oft_shared", "OFTConfig", (*OFT[:2], C("no bias", blocks(4), "Linear without bias", (12, 7)),
        C("blocks of 2", blocks(2), sizes=(6, 4)),
    ), {"use_cayley_neumann": False, "block_share": True}),
    Method("coft", "OFTConfig", (
        C("default"), C("wider ball", blocks(3, eps=0.5), sizes=(6, 5)),
        C("no bias", blocks(4, eps=0.1), "Linear without bias", (12, 7)),
        C("blocks of 2", blocks(2, eps=9), sizes=(6, 4)),
    ), {"use_cayley_neumann": False, "coft": True},
        deviation="the ball is kept at a step of training, in PEFT at every pass"),
    Method("oftv2", "OFTConfig", (*OFT[:3], C("6 terms", blocks(4, num_cayley_neumann_terms=6), sizes=(8, 5))),
        deviation="PEFT's series is of the transposed rotation: its factors come with the other sign; it makes four "
        "terms of three"),
    Method("boft", "BOFTConfig", BOFT,
        deviation="without its CUDA extension PEFT makes one factor of any number; the comparison of several stands "
        "in for the extension"),
    Method("hra", "HRAConfig", (*RANK, C("Conv2d", {"r": 2}, "Conv2d, square kernel", (3, 5))),
        spread={"U": 4}, deviation="U starts wider, by a factor of sqrt(2*n/r), which reflections do not see"),
    Method("hra_gs", "HRAConfig", (*RANK, C("tall", {"r": 3}, sizes=(20, 5))), {"apply_GS": True},
        start="PEFT's has no orthonormal basis",
        deviation="PEFT starts in equal pairs of columns, whose Gram-Schmidt basis is rounding noise"),
    Method("fourierft", "FourierFTConfig", (
        C("default"), C("6 places", {"n_frequency": 6}, sizes=SMALL),
        C("scale 3, no bias", {"n_frequency": 9, "scaling": 3.0}, "Linear without bias", (5, 7)),
        C("other places", {"n_frequency": 20, "random_loc_seed": 5}, sizes=(9, 8)),
    ), double=1e-5, deviation="PEFT transforms in float32 in every dtype"),
    Method("loha", "LoHaConfig", (
        C("default"), C("rank 2, alpha 5, dropout", {"r": 2, "alpha": 5, "rank_dropout": 0.5}, sizes=SMALL),
        C("no bias", {"r": 4}, "Linear without bias", (5, 7)), C("Conv2d", {"r": 2}, "Conv2d", (3, 5)),
    ), deviation="PEFT rounds the scale to float32"),
    Method("lokr", "LoKrConfig", (
        C("default", {"r": 8}, sizes=(24, 16)),
        C("alpha 5, dropout", {"r": 20, "alpha": 5, "rank_dropout": 0.5}, sizes=(6, 8)),
        C("no bias", {"r": 9}, "Linear without bias", (12, 15)), C("prime sizes", {"r": 20, "alpha": 3}, sizes=SMALL),
    )),
    Method("lokr_lowrank", "LoKrConfig", (
        C("default", {"r": 1}), C("alpha 5, dropout", {"r": 1, "alpha": 5, "module_dropout": 0.5}, sizes=(12, 15)),
        C("no bias", {"r": 2}, "Linear without bias", (40, 36)), C("rank 3", {"r": 3, "alpha": 2}, sizes=(60, 72)),
    )),
    Method("miss", "MissConfig", (
        C("default"), C("rank 3, dropout", {"r": 3, "miss_dropout": 0.5}, sizes=(6, 5)),
        C("no bias", {"r": 2}, "Linear without bias", (8, 7)), C("last tile cut", {"r": 3}, sizes=SMALL),
    )),
    Method("miss_mini", "MissConfig", (
        C("default", {"r": 64, "mini_r": 1}), C("rank 3", {"r": 3, "mini_r": 2}, sizes=(6, 4)),
        C("no bias", {"r": 2, "mini_r": 3}, "Linear without bias", (8, 6)),
        C("4 columns", {"r": 4, "mini_r": 4}, sizes=(8, 12)),
    ), {"init_weights": "mini"}),
    Method("bone_affine", "MissConfig", (
        C("default", {"r": 16}), C("rank 2", {"r": 2}, sizes=(6, 4)),
        C("no bias", {"r": 3}, "Linear without bias", (6, 9)),
        C("rank 4, dropout", {"r": 4, "miss_dropout": 0.5}, sizes=(8, 12)),
    ), {"init_weights": "bat"}),
    Method("ln_tuning", "LNTuningConfig", (
        C("default", layer="LayerNorm"), C("RMSNorm", layer="RMSNorm"), C("width 5", layer="LayerNorm", sizes=(5, 5)),
        C("RMSNorm, width 7", layer="RMSNorm", sizes=(7, 7)),
    ), deviation="PEFT keeps the whole weight and bias, the spec what is added to them"),
    Method("vblora", "VBLoRAConfig", (
        C("default", sizes=(256, 512)),
        C("2 of 5 vectors", {"r": 2, "num_vectors": 5, "vector_length": 3}, sizes=(6, 9)),
        C("3 of 7, no bias", {"r": 3, "num_vectors": 7, "vector_length": 2, "topk": 3}, "Linear without bias", (8, 6)),
        C("dropout", {"r": 2, "num_vectors": 5, "vector_length": 4, "vblora_dropout": 0.5}, sizes=(8, 12)),
    )),
    Method("shira", "ShiraConfig", (
        C("default", sizes=(96, 64)), C("rank 1", {"r": 1}, sizes=SMALL),
        C("no bias", {"r": 2}, "Linear without bias", (12, 8)), C("seed", {"r": 1, "random_seed": 3}, sizes=(9, 8)),
    )),
    Method("trainable_tokens", "TrainableTokensConfig", (
        C("default", {"token_indices": [3]}, "Embedding"),
        C("two rows", {"token_indices": [5, 1]}, "Embedding", (9, 5)),
        C("four rows", {"token_indices": [0, 2, 3, 7]}, "Embedding", (9, 5)),
        C("all rows", {"token_indices": [0, 1, 2, 3]}, "Embedding", (4, 7)),
    )),
    Method("c3a", "C3AConfig", (
        C("default", {"block_size": 16}), C("blocks of 2", {"block_size": 2}, sizes=(6, 8)),
        C("no bias", {"block_size": 3}, "Linear without bias", (9, 6)), C("one block", {"block_size": 5}, sizes=(5, 5)),
    ), double=1e-5, start="PEFT starts v at random unless it is asked for zeros", without=("input gradient",),
        deviation="PEFT transforms in float32 in every dtype, and its gradient to the input is not the derivative of "
        "its output"),
    Method("beft", "BeftConfig", (
        C("default"), C("small", {}, sizes=SMALL), C("wide", {}, sizes=(5, 17)),
        C("no bias, unmerged", {}, "Linear without bias", SMALL, ("merged weight",)),
    ), deviation="PEFT does not merge it into a layer without a bias"),
    Method("osf", "OSFConfig", (
        C("default"), C("small", {}, sizes=SMALL), C("no bias", {}, "Linear without bias", (5, 7)),
        C("wide", {}, sizes=(9, 20)),
    ), double=1e-5, start="derived", deviation="PEFT decomposes W in float32"),
)  # fmt: skip
