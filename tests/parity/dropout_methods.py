"""What is compared with PEFT while training, where dropout drops: as specs of the library, or as a text of its own."""

from __future__ import annotations

from dataclasses import dataclass

from tests.parity.peft_methods import SMALL, Configuration, Method

C = Configuration


@dataclass(frozen=True)
class Dropped:
    """A method with dropout.

    Attributes:
        method: it without, by which factors are brought over; its configurations have dropout.
        text: the spec with dropout, with the probability `p`; a name of the library or clauses.
        probability: PEFT's field for it.
        deviation: what PEFT does that its method without dropout would not suggest.
    """

    method: Method
    text: str
    probability: str = "lora_dropout"
    deviation: str = ""

    @property
    def drawn_before(self) -> int:
        """How many numbers PEFT draws before: one for `module_dropout`, also where that is 0."""
        return int(self.probability == "rank_dropout")


def settings(field: str, sizes: tuple[int, int] = SMALL, **rank: int) -> tuple[Configuration, ...]:
    """Three layers, each with another probability."""
    return (
        C("0.4", {**rank, field: 0.4}, sizes=sizes),
        C("0.1, no bias", {**rank, field: 0.1}, "Linear without bias", (20, 30)),
        C("0.3, tall", {**rank, field: 0.3}, sizes=(30, 8)),
    )


def lora(spec: str = "lora", **more: bool) -> Method:
    own = settings("lora_dropout", r=3, lora_alpha=5)
    conv1d = C("Conv1D", {"r": 3, "lora_dropout": 0.5, "fan_in_fan_out": True}, "Conv1D", SMALL)
    return Method(spec, "LoraConfig", (*own, conv1d), more)


def with_rank(spec: str, config: str, field: str, **rank: int) -> Method:
    return Method(spec, config, settings(field, **rank))


def kronecker(field: str, double: float = 1e-10, **more: bool) -> Method:
    return Method("lokr", "LoKrConfig", settings(field, (6, 8), r=40, alpha=5), more, double)


ADALORA = Method("adalora", "AdaLoraConfig", settings("lora_dropout", init_r=3), {"total_step": 10, "target_r": 1})
SUMMED = Method("miss", "MissConfig", (
    C("0.4", {"r": 3, "miss_dropout": 0.4}, sizes=(6, 5)),
    C("0.1, no bias", {"r": 2, "miss_dropout": 0.1}, "Linear without bias", (8, 7)),
    C("0.3, tall", {"r": 4, "miss_dropout": 0.3}, sizes=(32, 5)),
))  # fmt: skip
DROPPED_COLUMNS = "noise z : m ~ uniform(0, 1) | c = ceil(z - p)"
DROPPED_WHOLE = "noise z : 1 ~ uniform(0, 1) | c = ceil(z - p)"
LOHA, LOKR = "alpha/r * (A@B) .* (C@D)", "alpha/r * kron(C, D)"
KRON = "k = near_root(n) | l = near_root(m) | C : k x l ~ zeros | D : n/k x m/l ~ kaiming"
SCALED = "what is left is divided by the share of columns that were kept in this pass"

DROPOUT: tuple[Dropped, ...] = (
    Dropped(lora(), "lora_dropout"),
    Dropped(lora("rslora", use_rslora=True), "p = 0.1 | y' = y + alpha/sqrt(r) * dropout(x, p)@A@B"),
    Dropped(
        lora("dora", use_dora=True),
        "p = 0.1 | B ~ zeros | V = W + alpha/r * A@B | g ~ colnorm(V) | c = g ./ stop(colnorm(V)) | "
        "z = dropout(x, p) | y' = y + (z@V) .* c - z@W",
        deviation="the same entries of x are dropped where it meets A@B and where the norm rescales W, but not in "
        "the output of the base",
    ),
    Dropped(ADALORA, "p = 0.1 | y' = y + alpha/(r + 1e-5) * dropout(x, p)@A@diag(e)@B"),
    Dropped(
        with_rank("vera", "VeraConfig", "vera_dropout", r=3),
        "p = 0.1 | frozen shared A : max(layers(n)) x r ~ kaiming(seed=0) | "
        "frozen shared B : r x max(layers(m)) ~ kaiming(seed=1) | d ~ 0.1 | "
        "y' = y + dropout(x, p)@A[:n, :]@diag(d)@B[:, :m]@diag(e)",
        "vera_dropout",
    ),
    Dropped(SUMMED, "p = 0.1 | D : r x m ~ zeros | y' = y + dropout(x, p)@tile(D, n)", "miss_dropout"),
    Dropped(
        with_rank("loha", "LoHaConfig", "rank_dropout", r=3, alpha=5),
        f"p = 0.1 | {DROPPED_COLUMNS} | C ~ zeros | W' = W + {LOHA} .* (c ./ mean(c))",
        "rank_dropout",
        deviation=f"columns of the update are dropped, not ranks; {SCALED}",
    ),
    Dropped(
        with_rank("loha", "LoHaConfig", "module_dropout", r=3, alpha=5),
        f"p = 0.1 | {DROPPED_WHOLE} | C ~ zeros | W' = W + c * ({LOHA})",
        "module_dropout",
        deviation="the update is dropped whole, and never scaled",
    ),
    Dropped(
        kronecker("rank_dropout"),
        f"p = 0.1 | {DROPPED_COLUMNS} | {KRON} | W' = W + {LOKR} .* c",
        "rank_dropout",
        deviation="columns of the update are dropped, not ranks; what is left is not scaled",
    ),
    Dropped(
        kronecker("rank_dropout", 1e-5, rank_dropout_scale=True),
        f"p = 0.1 | {DROPPED_COLUMNS} | {KRON} | W' = W + {LOKR} .* (c ./ mean(c))",
        "rank_dropout",
        deviation=f"with PEFT's `rank_dropout_scale`, {SCALED}, which PEFT computes in float32",
    ),
    Dropped(
        kronecker("module_dropout"),
        f"p = 0.1 | {DROPPED_WHOLE} | {KRON} | W' = W + c * ({LOKR})",
        "module_dropout",
        deviation="the update is dropped whole, and never scaled",
    ),
)
