"""The methods of Hugging Face PEFT that are specs here: one table, which importing, exporting and the tests read.

PEFT's matrices are those of `nn.Linear`, outputs by inputs, so most factors are transposed. Of several rows with one
type the first counts whose conditions hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from specdsl.errors import SpecCheckpointError
from specdsl.runtime.interchange.correspondence import Correspondence, Fields, Part, Parts, Places, Sizes
from specdsl.runtime.interchange.tensor_checks import by, is_whole, kind_of

RANKED = {"r": "r", "alpha": "lora_alpha"}
ROOT = {"use_rslora": ("alpha/r", "alpha/sqrt(r)")}

A = Part("A", "lora_A.weight", "r n -> n r")
B = Part("B", "lora_B.weight", "m r -> r m")
MAGNITUDE = Part("g", "lora_magnitude_vector", "m -> m")
LORA = {
    "": (A, B),
    "Embedding": (Part("A", "lora_embedding_A", "r n -> n r"), Part("B", "lora_embedding_B", "m r -> r m")),
    "Conv1d": (Part("A", "lora_A.weight", "r c kh -> (c kh) r"), Part("B", "lora_B.weight", "m r 1 -> r m")),
    "Conv2d": (Part("A", "lora_A.weight", "r c kh kw -> (c kh kw) r"), Part("B", "lora_B.weight", "m r 1 1 -> r m")),
}
DORA = {
    "": (A, B, MAGNITUDE),
    "Embedding": (*LORA["Embedding"], MAGNITUDE),
    "Conv2d": (*LORA["Conv2d"], Part("g", "lora_magnitude_vector", "1 m 1 1 -> m")),
}
LORA_ONLY = ("init_lora_weights", "lora_dropout", "megatron_core", "qalora_group_size", "runtime_config", "eva_config")
PLAIN_START = (True, False, None, "gaussian", "orthogonal", "eva")
"""Starts that leave the base as it is, so that the saved factors say all."""


def patterns_for(alpha: str) -> dict[str, str]:
    """The fields with other ranks and scales for some modules."""
    return {"rank_pattern": "r", "alpha_pattern": alpha}


def _lora(spec: str, parts: Parts, settings: Mapping[str, str] = RANKED, **when: tuple[Any, ...]) -> Correspondence:
    off = {"use_dora": (), "lora_bias": (), "init_lora_weights": PLAIN_START}
    writes = {name: values[0] for name, values in when.items() if values}
    return Correspondence(
        "LORA", spec, parts, {**off, **when}, settings, patterns=patterns_for("lora_alpha"), exchange=ROOT,
        ignored=LORA_ONLY, writes=writes,
    )  # fmt: skip


def seeded_places(fields: Fields, _: Tensor | None, sizes: Sizes) -> Tensor:
    """FourierFT's places: of a permutation of all entries, row by row of an m x n matrix."""
    if fields.get("n_frequency") is None:
        raise SpecCheckpointError("the configuration does not say `n_frequency`, the number of places that PEFT draws")
    draw = torch.Generator().manual_seed(fields.get("random_loc_seed", 777))
    places: Tensor = torch.randperm(sizes["n"] * sizes["m"], generator=draw)[: fields["n_frequency"]]
    return places


def places_of_pairs(fields: Fields, pairs: Tensor | None, sizes: Sizes) -> Tensor:
    """Places in an n x m matrix from a row of outputs and a row of inputs."""
    assert pairs is not None
    if not is_whole(pairs) or pairs.dim() != 2 or len(pairs) != 2:
        raise SpecCheckpointError(
            f"`shira_indices` is {by(pairs.shape)} of {kind_of(pairs)}, not a row of outputs and one of inputs"
        )
    outputs, inputs = pairs.long()
    for name, size, found in (("outputs", "m", outputs), ("inputs", "n", inputs)):
        if found.numel() and (int(found.min()) < 0 or int(found.max()) >= sizes[size]):
            raise SpecCheckpointError(
                f"`shira_indices` names {name} from {int(found.min())} to {int(found.max())}, but the module has "
                f"{sizes[size]}, counted from 0"
            )
    places: Tensor = inputs * sizes["m"] + outputs
    if len(set(places.tolist())) < len(places):
        raise SpecCheckpointError("`shira_indices` names a place twice")
    return places


def pairs_of_places(places: Tensor, sizes: Sizes) -> Tensor:
    return torch.stack([places % sizes["m"], places // sizes["m"]]).int()


def divisors(size: int) -> tuple[int, int]:
    """The two factors of a size that are nearest to each other, the smaller one first."""
    small = next(k for k in range(math.isqrt(size), 0, -1) if size % k == 0)
    return small, size // small


def lokr_is_low(fields: Fields, sizes: Sizes) -> bool:
    """Whether PEFT makes the second factor of LoKr low for this rank."""
    return int(fields["r"]) < max(divisors(sizes["n"])[1], divisors(sizes["m"])[1]) / 2


def _must_be_low(fields: Fields, sizes: Sizes) -> str | None:
    return None if lokr_is_low(fields, sizes) else "PEFT would make the second factor full for this rank"


def _must_be_full(fields: Fields, sizes: Sizes) -> str | None:
    return "PEFT would make the second factor low for this rank" if lokr_is_low(fields, sizes) else None


def block_side(axes: Sizes) -> int:
    """The side of a skew matrix from the number of its entries above the diagonal."""
    return (1 + math.isqrt(1 + 8 * axes["e"])) // 2


OFT = {"": (Part("q", "oft_R.weight", "b e -> b e"),)}
BLOCK = {"k": block_side}
OFT_IGNORED = ("module_dropout", "init_weights", "eps", "num_cayley_neumann_terms", "r")
TERMS = (None, *range(4, 33))
"""Of PEFT's series; it makes four terms of three."""
IA3_ONLY = ("init_ia3_weights", "feedforward_modules")
LOKR = Part("C", "lokr_w1", "q p -> p q")
LOKR_SETTINGS = {"r": "r", "alpha": "alpha"}
LOKR_OFF: dict[str, tuple[Any, ...]] = {
    "decompose_both": (),
    "decompose_factor": (-1, None),
    "use_effective_conv2d": (),
}
LOKR_IGNORED = ("rank_dropout", "rank_dropout_scale", "module_dropout", "init_weights")
PROJECTED = ("d_initial", "projection_prng_key", "init_weights", "save_projection")

METHODS: tuple[Correspondence, ...] = (
    _lora("lora", LORA, use_rslora=()),
    _lora("rslora", LORA, use_rslora=(True,)),
    _lora("lora_dropout", {"": (A, B)}, RANKED | {"p": "lora_dropout"}),
    _lora("lora_fa", LORA),
    _lora("dora", DORA, use_dora=(True,)),
    _lora("lora_bias", {"": (A, B, Part("d", "lora_B.bias", "m -> m"))}, lora_bias=(True,)),
    _lora("pissa", {"": (A, B)}, init_lora_weights=("pissa",)),
    _lora("olora", {"": (A, B)}, init_lora_weights=("olora",)),
    _lora("mica", {"": (A, B)}, init_lora_weights=("mica",)),
    Correspondence(
        "ADALORA", "adalora",
        {"": (Part("A", "lora_A", "r n -> n r"), Part("e", "lora_E", "r 1 -> r"), Part("B", "lora_B", "m r -> r m"))},
        settings={"r": "init_r", "alpha": "lora_alpha", "target": "target_r"},
        ignored=(*LORA_ONLY, "r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "total_step"),
        writes={"total_step": 1},
    ),
    Correspondence(
        "IA3", "y' = y .* l", {"": (Part("l", "ia3_l", "m 1 -> m"),), "Conv2d": (Part("l", "ia3_l", "1 m 1 1 -> m"),)},
        ignored=IA3_ONLY,
    ),
    Correspondence("IA3", "x' = x .* k", {"": (Part("k", "ia3_l", "1 n -> n"),)}, ignored=IA3_ONLY),
    Correspondence(
        "VERA", "vera",
        {"": (
            Part("A", "vera_A", "r n -> n r", is_shared=True), Part("B", "vera_B", "m r -> r m", is_shared=True),
            Part("d", "vera_lambda_d", "r -> r"), Part("e", "vera_lambda_b", "m -> m"),
        )},
        settings={"r": "r"}, ignored=("vera_dropout", *PROJECTED), writes={"save_projection": True},
    ),
    Correspondence(
        "PVERA", "pvera",
        {"": (
            Part("A", "pvera_A", "r n -> n r", is_shared=True), Part("B", "pvera_B", "m r -> r m", is_shared=True),
            Part("d", "pvera_lambda_d", "r -> r"), Part("e", "pvera_lambda_b", "m -> m"),
        )},
        when={"sample_at_inference": ()}, settings={"r": "r"}, ignored=("pvera_dropout", *PROJECTED),
        writes={"save_projection": True},
    ),
    Correspondence(
        "OFT", "oft", OFT, {"use_cayley_neumann": (), "coft": (), "block_share": ()}, {"k": "oft_block_size"},
        axes=BLOCK, ignored=OFT_IGNORED, writes={"use_cayley_neumann": False, "r": 0},
    ),
    Correspondence(
        "OFT", "oft_shared", {"": (Part("q", "oft_R.weight", "1 e -> e"),)},
        {"use_cayley_neumann": (), "coft": (), "block_share": (True,)}, {"k": "oft_block_size"}, axes=BLOCK,
        ignored=OFT_IGNORED, writes={"use_cayley_neumann": False, "block_share": True, "r": 0},
    ),
    Correspondence(
        "OFT", "coft", OFT, {"use_cayley_neumann": (), "coft": (True,), "block_share": ()},
        {"k": "oft_block_size", "eps": "eps"}, axes=BLOCK,
        ignored=OFT_IGNORED, writes={"use_cayley_neumann": False, "coft": True, "r": 0},
    ),
    Correspondence(
        "OFT", "oftv2", {"": (Part("q", "oft_R.weight", "b e -> b e", scale=-1),)},
        {"use_cayley_neumann": (True,), "coft": (), "block_share": (), "num_cayley_neumann_terms": TERMS},
        {"k": "oft_block_size", "terms": "num_cayley_neumann_terms"}, axes=BLOCK,
        ignored=OFT_IGNORED, writes={"use_cayley_neumann": True, "r": 0},
    ),
    Correspondence(
        "BOFT", "boft",
        {
            "": (Part("G", "boft_R", "f b i j -> f b i j"), Part("g", "boft_s", "m 1 -> m")),
            "Conv2d": (Part("G", "boft_R", "f b i j -> f b i j"), Part("g", "boft_s", "1 m -> m")),
        },
        settings={"k": "boft_block_size", "f": "boft_n_butterfly_factor"},
        axes={"k": itemgetter("i"), "f": itemgetter("f")},
        ignored=("boft_dropout", "init_weights", "boft_block_num"), writes={"boft_block_num": 0},
    ),
    Correspondence(
        "HRA", "hra", {"": (Part("U", "hra_u", "n r -> n r"),)}, {"apply_GS": ()}, {"r": "r"}, ignored=("init_weights",)
    ),
    Correspondence(
        "HRA", "hra_gs", {"": (Part("U", "hra_u", "n r -> n r"),)}, {"apply_GS": (True,)}, {"r": "r"},
        ignored=("init_weights",), writes={"apply_GS": True},
    ),
    Correspondence(
        "FOURIERFT", "fourierft", {"": (Part("c", "fourierft_spectrum", "k -> k"),)},
        settings={"k": "n_frequency", "s": "scaling"}, places=(Places("I", "", seeded_places),),
        ignored=("random_loc_seed", "init_weights"), writes={"random_loc_seed": 777},
    ),
    Correspondence(
        "LOHA", "loha",
        {"": (
            Part("A", "hada_w1_b", "r n -> n r"), Part("B", "hada_w1_a", "m r -> r m"),
            Part("C", "hada_w2_b", "r n -> n r"), Part("D", "hada_w2_a", "m r -> r m"),
        )},
        {"use_effective_conv2d": ()}, {"r": "r", "alpha": "alpha"}, patterns_for("alpha"), ignored=LOKR_IGNORED,
    ),
    Correspondence(
        "LOKR", "lokr", {"": (LOKR, Part("D", "lokr_w2", "v u -> u v"))}, LOKR_OFF, LOKR_SETTINGS,
        patterns_for("alpha"), ignored=LOKR_IGNORED, check=_must_be_full,
    ),
    Correspondence(
        "LOKR", "lokr_lowrank",
        {"": (LOKR, Part("D", "lokr_w2_b", "r u -> u r"), Part("E", "lokr_w2_a", "v r -> r v"))},
        LOKR_OFF, LOKR_SETTINGS, patterns_for("alpha"), ignored=LOKR_IGNORED, check=_must_be_low,
    ),
    Correspondence(
        "MISS", "miss", {"": (Part("D", "miss_block", "r m -> r m"),)}, {"init_weights": (True, False, None)},
        {"r": "r"}, ignored=("miss_dropout", "mini_r"),
    ),
    Correspondence(
        "MISS", "miss_mini", {"": (Part("D", "miss_block", "r k -> r k"),)}, {"init_weights": ("mini",)},
        {"r": "r", "k": "mini_r"}, ignored=("miss_dropout",), writes={"init_weights": "mini"},
    ),
    Correspondence(
        "MISS", "bone_affine", {"": (Part("D", "miss_block", "b i j -> b j i"),)}, {"init_weights": ("bat",)},
        {"r": "r"}, ignored=("miss_dropout", "mini_r"), writes={"init_weights": "bat"},
    ),
    Correspondence(
        "LN_TUNING", "ln_tuning",
        {"": (
            Part("g", "ln_tuning_layers.weight", "m -> m", above="W"),
            Part("d", "ln_tuning_layers.bias", "m -> m", above="b"),
        )},
    ),
    Correspondence(
        "LN_TUNING", "W' = W + diag(g)", {"": (Part("g", "ln_tuning_layers.weight", "m -> m", above="W"),)}
    ),
    Correspondence(
        "VBLORA", "vblora",
        {"": (
            Part("V", "vblora_vector_bank", "v h -> v h", is_shared=True),
            Part("P", "vblora_logits_A", "r t v -> r t v"), Part("Q", "vblora_logits_B", "t r v -> r t v"),
        )},
        {"save_only_topk_weights": ()}, {"r": "r", "k": "topk", "v": "num_vectors", "h": "vector_length"},
        ignored=("vblora_dropout", "init_vector_bank_bound", "init_logits_std"),
    ),
    Correspondence(
        "SHIRA", "shira", {"": (Part("v", "shira_weight", "k -> k"),)}, settings={"r": "r"},
        places=(Places("I", "shira_indices", places_of_pairs, pairs_of_places),),
        ignored=("mask_type", "random_seed", "init_weights"),
    ),
    Correspondence(
        "TRAINABLE_TOKENS", "trainable_tokens", {"": (Part("T", "trainable_tokens_delta", "k m -> k m"),)},
        indices={"I": "token_indices"}, ignored=("init_weights",), with_tied=True,
    ),
    Correspondence(
        "C3A", "c3a", {"": (Part("v", "c3a_kernel", "j i k -> i j k"),)}, settings={"k": "block_size"},
        ignored=("init_weights", "block_size_pattern"),
    ),
    Correspondence("BEFT", "beft", {"": (Part("d", "beft_bias", "1 m -> m"),)}, ignored=("init_weights",)),
    Correspondence(
        "OSF", "osf",
        {"": (
            Part("A", "osf_svd_params.V_low", "k n -> n k"), Part("s", "osf_svd_params.S_low", "k -> k"),
            Part("B", "osf_svd_params.U_low", "m k -> k m"),
        )},
        {"target_svd_config": (), "effective_rank": (), "rank_pattern": ()}, ignored=("init_weights",),
    ),
)  # fmt: skip
"""In the order in which they are tried."""
