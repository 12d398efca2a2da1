"""What every spec of the library trains, whether it merges and of which rank it is: the published numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from specdsl.interpret import Sizes
from specdsl.library_specs import library_names
from tests.library.literal import near_root
from tests.library.small_layers import checked


@dataclass(frozen=True)
class Row:
    """The facts of a spec: counts of one n x m module as formulas in Python, `shared` of what modules share.

    `rank` bounds the rank of W' - W (None: only min(n, m) does), `why` says what is more than a weight.
    """

    trained: str
    shared: str = "0"
    rank: str | None = None
    why: str | None = None
    elsewhere: bool = False


LORA = "r*(n + m)"
INPUT, ROWS, NONLINEAR = "it depends on the input", "more rows than y", "is not linear in the input"

# ------------------------------------------------------------------------------------------------- reconstruction
RECONSTRUCTION = {
    "full": Row("n*m + m"),
    "cross_attention": Row("n*m + m"),
    "bitfit": Row("m", rank="0"),
    "beft": Row("m", rank="0"),
    "s_bitfit": Row("m", rank="0"),
    "ia3": Row("m"),
    "ia3_original": Row("max(n, m)"),
    "ssl": Row("n"),
    "ssb": Row("n + m"),
    "ln_tuning": Row("n + m"),
    "diff_pruning": Row("2*n*m"),
    "fishmask": Row("n*m"),
    "fish_dip": Row("n*m"),
    "pafi": Row("n*m"),
    "spt": Row("n*m + r*(n + m)"),
    "shira": Row("min(r*(n + m), n*m)"),
    "paca": Row("r*m"),
    "trainable_tokens": Row("k*m"),
    "hiwi": Row("2*r*m", rank="r"),
    "lambda_orthogonality": Row("m*m + m"),
    "collapsed_attention": Row("n*n", elsewhere=True),
    "symmetric_attention": Row("n*(n + 1)//2", elsewhere=True),
    "sam_parser": Row("min(n, m)"),
    "clip_svd": Row("min(n, m)"),
    "salt": Row("2*k + 2*r*(min(n, m) - k)"),
    "kind": Row("min(n, m)*(n + m + 1)", why=INPUT),
    "pissa": Row(LORA, rank="2*r"),
    "milora": Row(LORA, rank="2*r"),
    "olora": Row(LORA, rank="2*r"),
    "corda": Row(LORA, rank="2*r"),
    "mica": Row("r*n", rank="r"),
    "loftq": Row(LORA, elsewhere=True),
    "osf": Row("(n + m + 1)*(min(n, m) - min(n, m)//2)"),
    "loldu": Row("r + 1", rank="2*r"),
    "nystromlora": Row("r*(n + m) + r*r", rank="2*r"),
    "nystromlora_released": Row("r*(n + m) + r*r", rank="r", elsewhere=True),
    "inttune": Row("r*r", rank="r"),
    "oft": Row("n//k * k*(k - 1)//2"),
    "coft": Row("n//k * k*(k - 1)//2"),
    "oft_shared": Row("k*(k - 1)//2"),
    "oftv2": Row("n//k * k*(k - 1)//2"),
    "boft": Row("f * n * k + m"),
    "hra": Row("r*n"),
    "hra_gs": Row("r*n", elsewhere=True),
}
# ------------------------------------------------------------------------------------------------------- extension
EXTENSION = {
    **{name: Row(LORA, rank="r") for name in ("lora", "rslora", "lora_plus", "riemannian", "lora_fair", "lora_ggpo")},
    **{
        name: Row(LORA, rank="r")
        for name in ("mpc_o", "mpc_d", "lora_dropout", "lora_embedding", "orthogonal_init", "eva")
    },
    "watermark_lora": Row(LORA, rank="r"),
    "lora_ga": Row(LORA, rank="2*r"),
    "lora_bias": Row("r*(n + m) + m", rank="r"),
    "lora_fused": Row("3*r*n + r*m"),
    "lora_fa": Row("r*m", rank="r"),
    "fedsvd": Row("r*m", rank="r"),
    "orthogonal_adaptation": Row("r*m", rank="r"),
    **{name: Row("r*(n + m) + r", rank="r") for name in ("trilora", "adalora", "flexlora", "increlora", "sora")},
    **{name: Row("r*(n + m) + r*r", rank="r") for name in ("flora", "moslora", "structured_lora")},
    "triadaptlora": Row("r*(n + m) + r*r + r", rank="r"),
    "lora_xs": Row("r*r", rank="r", elsewhere=True),
    "diffora": Row("r*(n + m) + 1", rank="r"),
    "bayesian_lora": Row("r*(n + m) + 2*r", rank="r"),
    "vera": Row("r + m", rank="r"),
    "pvera": Row("2*r + m", rank="r"),
    "lotr": Row("r*r", LORA, rank="r"),
    "tied_lora": Row("r + m", LORA, rank="r"),
    "nola": Row("2*k", rank="r"),
    "tera": Row("4*r"),
    "mos": Row("0", "e*(n + m)", rank="r"),
    "vblora": Row("r*(n//h + m//h)*v", "v*h", rank="r", elsewhere=True),
    "icm_fusion": Row("k"),
    "block_lora": Row("n*r//k + m*r", rank="r/k"),
    "melora": Row("r*(n + m)//k", rank="r"),
    "loha": Row("2*r*(n + m)", rank="r**2"),
    "loha_conv": Row("2*r*r*kh*kw + 2*r*(c + m)"),
    "lokr": Row("near_root(n)*near_root(m) + n//near_root(n) * (m//near_root(m))"),
    "lokr_lowrank": Row("near_root(n)*near_root(m) + r*(n//near_root(n) + m//near_root(m))"),
    "lokr_conv": Row("near_root(c)*near_root(m) + r*r*kh*kw + r*(c//near_root(c) + m//near_root(m))"),
    "flora_conv": Row("r*r*k*k + r*(c + m) + k*(kh + kw)"),
    "fourierft": Row("k", elsewhere=True),
    "c3a": Row("n*m//k"),
    "mps": Row("k*(near_root(n)*near_root(m) + n//near_root(n) * (m//near_root(m)))"),
    "miss": Row("r*m", rank="r"),
    "bone": Row("r*m", rank="r"),
    "miss_mini": Row("r*k", rank="r"),
}
# --------------------------------------------------------------------------------- combination, activation, prompt
COMBINATION = {
    "dora": Row("r*(n + m) + m"),
    "hydra": Row("r*(n + m) + 2*r*m", rank="2*r"),
    "spectral_adapter": Row(LORA),
    "spectral_adapter_r": Row("2*r*r"),
    "svdiff": Row("min(n, m)"),
    "bone_affine": Row("r*m"),
    "rosa": Row("n*m + r*(n + m)"),
    "intruder_dimensions": Row(LORA),
}
ACTIVATION = {
    "parallel_adapter": Row(LORA, why=NONLINEAR),
    "mpc_n": Row(LORA, why=NONLINEAR),
    "houlsby": Row("2*r*m + r + m", why=NONLINEAR),
    "pfeiffer": Row("2*r*m + r + m", why=NONLINEAR),
    "adaptformer": Row("r*(n + m) + r + m", why=NONLINEAR),
    "mam": Row("max(r*(n + m) + r + m, k*m)", why=ROWS),
    "alora": Row(LORA, why=INPUT),
    "slideredit": Row(LORA, why=INPUT),
    "peft_with_controls": Row(LORA, why="multiplies the input by"),
    "mmca": Row("r*(n + m) + r*n + h*r + 3*r*r + r", why=INPUT),
    "loreft": Row("2*r*m + r", rank="r", elsewhere=True),
    "ssf": Row("2*m"),
}
PROMPT = {
    "prompt_tuning": Row("k*m", why=ROWS),
    "prefix_tuning": Row("k*m", why=ROWS),
    "cartridge": Row("k*m", why=ROWS),
    "cpt": Row("k*m", why=INPUT),
    "prefix_tuning_fused": Row("k*2*m/3", why=ROWS),
    "prefix_tuning_mlp": Row("m*(h + 1)", shared="k*m + h*(m + 1)", why=ROWS),
    "p_tuning": Row("k*m + h*(m + 1) + h*(h + 1) + m*(h + 1)", why=ROWS),
    "multitask_prompt_tuning": Row("k*m + tasks*q*(k + m)", why=INPUT),
}
FACTS = RECONSTRUCTION | EXTENSION | COMBINATION | ACTIVATION | PROMPT
SETTINGS = {"block_lora": {"r": 12}, "melora": {"r": 12}}
SIZES = [{"n": 768, "m": 3072, "c": 192, "kh": 2, "kw": 2}, {"n": 3072, "m": 768, "c": 768, "kh": 2, "kw": 2}]


def test_every_spec_has_its_facts() -> None:
    assert sorted(FACTS) == library_names()


@pytest.mark.parametrize("module", SIZES, ids=lambda module: f"{module['n']} x {module['m']}")
@pytest.mark.parametrize("method", FACTS)
def test_a_module_trains_the_published_number_of_parameters(method: str, module: dict[str, int]) -> None:
    spec = checked(method, **SETTINGS.get(method, {}))
    hyper = {name: int(value) for name, value in spec.hyperparameters.items() if float(value).is_integer()}
    names = {**hyper, **module}
    if method.endswith("attention") and method != "cross_attention":
        names["m"] = names["n"]
    sizes = Sizes({**spec.hyperparameters, **names, "layers": 1}, [{**spec.hyperparameters, **names}])
    tools = {"min": min, "max": max, "near_root": near_root}
    for found, expected in ((spec.facts.trained, FACTS[method].trained), (spec.facts.shared, FACTS[method].shared)):
        assert sizes.number(found) == eval(expected, {"__builtins__": tools}, names)


@pytest.mark.parametrize("method", FACTS)
def test_it_merges_or_says_why_not(method: str) -> None:
    facts, row = checked(method).facts, FACTS[method]
    assert facts.mergeable == (row.why is None)
    assert (row.why or "") in (facts.why_not or "")


@pytest.mark.parametrize("method", FACTS)
def test_its_rank_is_bounded(method: str) -> None:
    spec, row = checked(method), FACTS[method]
    if row.rank is None:
        assert spec.facts.rank_bound is None
        return
    assert spec.facts.rank_bound is not None
    values = {"r": 12, "k": 4}
    found = spec.facts.rank_bound.value({**spec.hyperparameters, **values})
    assert found == eval(row.rank, {}, values)


@pytest.mark.parametrize("method", FACTS)
def test_it_starts_at_the_base_or_says_so(method: str) -> None:
    assert checked(method).facts.starts_at_base != FACTS[method].elsewhere


def test_prompts_add_their_rows() -> None:
    assert {name for name in FACTS if checked(name).facts.added_rows is not None} == {*PROMPT, "mam"}
    assert all(str(checked(name).facts.added_rows) == "k" for name in PROMPT)


def test_what_needs_more_than_a_model_says_what() -> None:
    needs = {name: " ".join(checked(name).facts.needs) for name in FACTS}
    for word, methods in NEEDS.items():
        assert {name for name, text in needs.items() if word in text} == methods, word
    assert {name for name, text in needs.items() if text} == set().union(*NEEDS.values())


NEEDS = {
    "cov(": {"corda"},
    "pca(": {"eva"},
    "fisher(": {"fishmask", "fish_dip", "spt", "rosa"},
    "prefill(": {"cartridge"},
    "allocate(": {"eva"},
    "at every": {"adalora", "flexlora", "increlora", "triadaptlora", "fish_dip"},
    "at step": {"coft", "cpt", "diffora", "s_bitfit"},
    "at backward": {"lora_fa", "riemannian", "osf", "lora_ggpo"},
    "at round": {"fedsvd", "lora_fair"},
    "grow(": {"flexlora", "increlora", "triadaptlora"},
    "grad(W)": {"lora_ga"},
}
