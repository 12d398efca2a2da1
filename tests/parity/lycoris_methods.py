"""What is compared with LyCORIS: its modules as specs of the library, or as a text where it is another formula."""

from __future__ import annotations

from specdsl.runtime.interchange.correspondence import Correspondence, Part
from tests.parity.peft_methods import SMALL, Configuration, Method

C = Configuration
RANKED = {"r": "lora_dim", "alpha": "alpha"}
SCALE = ("alpha/r", "alpha/sqrt(r)")
KERNEL = {"use_tucker": True}


def row(kind: str, spec: str, *parts: Part, **more: object) -> Correspondence:
    return Correspondence(kind, spec, {"": parts}, **more)  # type: ignore[arg-type]


DOWN, UP = Part("A", "lora_down.weight", "r n -> n r"), Part("B", "lora_up.weight", "m r -> r m")
DOWN2 = Part("A", "lora_down.weight", "r c kh kw -> (c kh kw) r")
UP2 = Part("B", "lora_up.weight", "m r 1 1 -> r m")
LOHA = (
    Part("A", "hada_w1_b", "r n -> n r"), Part("B", "hada_w1_a", "m r -> r m"),
    Part("C", "hada_w2_b", "r n -> n r"), Part("D", "hada_w2_a", "m r -> r m"),
)  # fmt: skip
TUCKER = (
    Part("G", "hada_t1", "a b h w -> b a h w"), Part("H", "hada_t2", "a b h w -> b a h w"),
    Part("A", "hada_w1_b", "r c -> c r"), Part("B", "hada_w1_a", "r m -> m r"),
    Part("C", "hada_w2_b", "r c -> c r"), Part("D", "hada_w2_a", "r m -> m r"),
)  # fmt: skip
THROUGH = "V = W + alpha/r * A@B | g ~ colnorm(V) | W' = V @ diag(g ./ colnorm(V))"
ROTATED = "k = 4 | G : m/k x k x k ~ zeros | W' = W @ blockdiag(cayley(skew(G)))"
OUTPUTS = "w : m ~ zeros | W' = W @ diag(1 + w)"
INPUTS = "w : n ~ zeros | W' = diag(1 + w) @ W"

ROWS: dict[str, Correspondence] = {
    "lora": row("LoConModule", "lora", DOWN, UP, settings=RANKED, exchange={"rs_lora": SCALE}),
    "lora, Conv2d": row("LoConModule", "lora", DOWN2, UP2, settings=RANKED),
    "dora": row("LoConModule", THROUGH, DOWN, UP, Part("g", "dora_scale", "m 1 -> m"), settings=RANKED),
    "loha": row("LohaModule", "loha", *LOHA, settings=RANKED),
    "loha_conv": row("LohaModule", "loha_conv", *TUCKER, settings=RANKED),
    "lokr": row("LokrModule", "lokr", Part("C", "lokr_w1", "q p -> p q"), Part("D", "lokr_w2", "v u -> u v")),
    "lokr_lowrank": row(
        "LokrModule", "lokr_lowrank", Part("C", "lokr_w1", "q p -> p q"),
        Part("D", "lokr_w2_b", "r u -> u r"), Part("E", "lokr_w2_a", "v r -> r v"), settings=RANKED,
    ),
    "lokr_conv": row(
        "LokrModule", "lokr_conv", Part("C", "lokr_w1", "q p -> p q"), Part("G", "lokr_t2", "a b h w -> b a h w"),
        Part("A", "lokr_w2_b", "r u -> u r"), Part("B", "lokr_w2_a", "r v -> v r"), settings=RANKED,
    ),
    "oft": row(
        "DiagOFTModule", ROTATED, Part("G", "oft_blocks", "b i j -> b i j", scale=-2), settings={"k": "lora_dim"}
    ),
    "ia3": row("IA3Module", OUTPUTS, Part("w", "weight", "m -> m")),
    "ia3_original": row("IA3Module", INPUTS, Part("w", "weight", "n -> n")),
    "ln_tuning": row("NormModule", "ln_tuning", Part("g", "w_norm", "m -> m"), Part("d", "b_norm", "m -> m")),
    "full": row("FullModule", "full", Part("D", "weight", "m n -> n m"), Part("d", "bias", "m -> m")),
}  # fmt: skip
"""What a module's parameters are, by the method and, where that counts, the layer."""


def sized(dim: int, alpha: float, **more: object) -> dict[str, object]:
    return {"lora_dim": dim, "alpha": alpha, **more}


TWICE = ("merged weight",)
MERGED_TWICE = "LyCORIS's merge applies the scale twice, so the merged weight is compared where it is 1"
LOHA_START = "LyCORIS starts D at zero and the others normal"

METHODS: tuple[Method, ...] = (
    Method("lora", "LoConModule", (
        C("default", sized(4, 1)), C("rank 3, alpha 5, dropout", sized(3, 5, dropout=0.5), sizes=SMALL),
        C("rsLoRA scale", sized(4, 5, rs_lora=True), "Linear without bias", SMALL),
        C("Conv2d", sized(3, 5), "Conv2d", (3, 5)),
    )),
    Method("dora", "LoConModule", (
        C("default", sized(4, 1)), C("rank 3, alpha 5", sized(3, 5), sizes=SMALL),
        C("no bias", sized(2, 5), "Linear without bias", SMALL), C("wide", sized(2, 2), sizes=(5, 9)),
    ), {"weight_decompose": True}, deviation="LyCORIS lets the gradient through the norm, which the paper stops; "
        "compared is `W' = V @ diag(g ./ colnorm(V))`"),
    Method("loha", "LohaModule", (
        C("default", sized(4, 1), without=TWICE),
        C("rank 2, alpha 5, dropout", sized(2, 5, rank_dropout=0.5), sizes=SMALL, without=TWICE),
        C("no bias, scale 1", sized(4, 4), "Linear without bias", (5, 7)),
        C("Conv2d, scale 1", sized(2, 2), "Conv2d", (3, 5)),
    ), start=LOHA_START, deviation=MERGED_TWICE),
    Method("loha_conv", "LohaModule", (
        C("default", sized(4, 1), "Conv2d", (3, 5), TWICE), C("rank 2, alpha 5", sized(2, 5), "Conv2d", (3, 5), TWICE),
        C("square, scale 1", sized(2, 2), "Conv2d, square kernel", (4, 6)),
        C("wide, scale 1", sized(8, 8), "Conv2d", (2, 7)),
    ), KERNEL, start=LOHA_START, deviation=MERGED_TWICE),
    Method("lokr", "LokrModule", (
        C("default", sized(40, 1), sizes=(24, 16)), C("dropout", sized(40, 1, rank_dropout=0.5), sizes=(6, 8)),
        C("no bias", sized(9, 1), "Linear without bias", (12, 15)), C("prime sizes", sized(20, 1), sizes=SMALL),
    ), start="LyCORIS starts D at zero, not C"),
    Method("lokr_lowrank", "LokrModule", (
        C("default", sized(2, 2)), C("rank 1, alpha 3", sized(1, 3), sizes=(12, 15), without=TWICE),
        C("no bias", sized(2, 2), "Linear without bias", (40, 36)), C("rank 3", sized(3, 3), sizes=(60, 72)),
    ), start="LyCORIS starts E at zero, not C", deviation=MERGED_TWICE),
    Method("lokr_conv", "LokrModule", (
        C("default", sized(1, 1), "Conv2d", (4, 6)), C("alpha 3", sized(1, 3), "Conv2d, square kernel", (6, 8), TWICE),
        C("rank 2", sized(2, 2), "Conv2d", (12, 30)),
        C("no dropout in eval", sized(1, 1, module_dropout=0.5), "Conv2d", (4, 6)),
    ), KERNEL, start="LyCORIS starts A at zero, not C", deviation=MERGED_TWICE),
    Method("oft", "DiagOFTModule", (
        C("default", sized(4, 1)), C("blocks of 3", sized(3, 1), sizes=(5, 9)),
        C("no bias", sized(2, 1), "Linear without bias", (7, 8)), C("Conv2d", sized(3, 1), "Conv2d", (3, 9)),
    ), double=0, deviation="LyCORIS rotates the outputs, the paper (and the spec) the inputs; compared is "
        "`W' = W @ blockdiag(cayley(skew(G)))`, in float32, as LyCORIS does not run in float64"),
    Method("ia3", "IA3Module", (
        C("default", sized(4, 1)), C("small", sized(4, 1), sizes=SMALL),
        C("no bias", sized(4, 1), "Linear without bias", SMALL), C("wide", sized(4, 1), sizes=(5, 17)),
    ), deviation="LyCORIS scales W alone, not the bias; compared is `W' = W @ diag(1 + w)`"),
    Method("ia3_original", "IA3Module", (
        C("default", sized(4, 1)), C("small", sized(4, 1), sizes=SMALL),
        C("no bias", sized(4, 1), "Linear without bias", SMALL), C("wide", sized(4, 1), sizes=(5, 17)),
    ), {"train_on_input": True},
        deviation="LyCORIS trains the difference from 1; compared is `W' = diag(1 + w) @ W`"),
    Method("ln_tuning", "NormModule", (
        C("default", {}, "LayerNorm"), C("width 5", {}, "LayerNorm", (5, 5)), C("width 7", {}, "LayerNorm", (7, 7)),
        C("width 30", {}, "LayerNorm", (30, 30)),
    )),
    Method("full", "FullModule", (
        C("default", sized(4, 1)), C("small", sized(4, 1), sizes=SMALL), C("wide", sized(4, 1), sizes=(5, 17)),
        C("tall", sized(4, 1), sizes=(19, 6)),
    )),
)  # fmt: skip
