"""Where every spec's trained factors start: which at zero, which as an identity, and the others as what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.library.literal import ALPHA, SCALE, Array, Literal, R, module_values, starting, svd
from tests.library.test_formulas import OUTPUTS, WEIGHTS, method_of

ZERO: dict[str, str] = {
    "B": "lora rslora lora_plus lora_fa riemannian lora_dropout lora_fused lora_fair lora_ggpo watermark_lora mpc_o"
    " mpc_d eva fedsvd orthogonal_adaptation block_lora melora mps moslora structured_lora diffora sora hiwi dora"
    " intruder_dimensions parallel_adapter mpc_n alora slideredit peft_with_controls",
    "A": "mica lora_embedding",
    "A B": "spectral_adapter",
    "B D": "spt rosa hydra",
    "B d": "lora_bias",
    "C": "loha lokr lokr_lowrank lokr_conv",
    "c k": "triadaptlora",
    "D": "fishmask fish_dip pafi miss bone miss_mini bone_affine cpt loha_conv diff_pruning",
    "G": "flora lotr flora_conv boft",
    "G B": "mmca",
    "P Q": "spectral_adapter_r",
    "Q": "mos",
    "a B c": "houlsby pfeiffer adaptformer",
    "a c": "nola",
    "c": "loreft lambda_orthogonality",
    "c d": "prefix_tuning_mlp",
    "c d e": "p_tuning",
    "d": "bitfit beft s_bitfit svdiff trilora ssf",
    "d X": "salt",
    "e": "adalora flexlora increlora bayesian_lora vera pvera",
    "g": "tera",
    "g d": "ln_tuning",
    "l": "icm_fusion",
    "q": "oft coft oft_shared oftv2",
    "v": "shira c3a tied_lora",
}
ONE = {
    "ia3": "l", "ia3_original": "l", "ia3_original, mlp.down": "k", "ssl": "l", "ssb": "k l", "boft": "g", "sora": "g",
    "ssf": "g", "salt": "a", "tera": "d e f", "tied_lora": "u", "mmca": "e", "lambda_orthogonality": "B",
}  # fmt: skip
"""Factors that start as one: a vector of ones, or the identity matrix."""

NOT_KNOWN_BEFORE = {"eva": "A", "cartridge": "P"}
"""Factors that start from data."""


def cases() -> dict[str, Literal]:
    return WEIGHTS | OUTPUTS


def start_of(case: str) -> tuple[Array, dict[str, Array]]:
    """W, and the starts of the trained factors."""
    literal = cases()[case]
    spec, random = literal.spec(method_of(case)), np.random.default_rng(3)
    n, m = literal.sizes[0]
    site = module_values(n, m, random)
    values = literal.values(spec, n, m, random)
    values |= {"M": np.ones((n, m))} if "M" in spec.ir.factors and not spec.ir.factors["M"].is_trained else {}
    fixed = {name: value for name, value in values.items() if not _is_trained(spec, name)}
    start = starting(literal, spec, site, fixed)
    known = [name for name in spec.ir.factors if name != NOT_KNOWN_BEFORE.get(case)]
    return site["W"], {name: np.asarray(start.factor(name)) for name in known if _is_trained(spec, name)}


def _is_trained(spec: Any, name: str) -> bool:
    return name in spec.ir.factors and bool(spec.ir.factors[name].is_trained)


def is_one(value: Array) -> bool:
    if value.ndim == 2:
        return value.shape[0] == value.shape[1] and bool((value == np.eye(len(value))).all())
    return bool((value == 1).all())


@pytest.mark.parametrize("case", cases())
def test_the_factors_of_the_table_and_no_others_start_at_zero_or_one(case: str) -> None:
    _, found = start_of(case)
    zero = {name for names, methods in ZERO.items() if method_of(case) in methods.split() for name in names.split()}
    if case == "mam, mlp.down":
        zero = {"a", "B", "c"}
    assert {name for name, value in found.items() if not value.any()} == zero & found.keys()
    assert {name for name, value in found.items() if is_one(value)} == set(ONE.get(case, "").split())


def balanced(U: Array, S: Array, V: Array, scale: float = 1) -> dict[str, Array]:
    return {"A": U * np.sqrt(S / scale), "B": np.sqrt(S / scale)[:, None] * V}


def parts(W: Array, place: slice, scale: float = 1) -> dict[str, Array]:
    U, S, V = svd(W)
    return balanced(U[:, place], S[place], V[place], scale)


def olora(W: Array) -> dict[str, Array]:
    Q, upper = np.linalg.qr(W.T)
    signs = np.sign(np.diag(upper))
    return {"A": (upper * signs[:, None])[:R].T, "B": (Q * signs)[:, :R].T}


def osf(W: Array) -> dict[str, Array]:
    U, S, V = svd(W)
    return {"A": U[:, 2:], "s": S[2:], "B": V[2:]}


def nystrom(W: Array) -> dict[str, Array]:
    return {"A": W[:, :R], "N": np.linalg.inv(W[:R, :R]), "B": W[:R]}


def kind(W: Array) -> dict[str, Array]:
    return dict(zip("AsB", svd(W), strict=True))


DERIVED: dict[str, Callable[[Array], dict[str, Array]]] = {
    "full": lambda W: {"D": W},
    "cross_attention": lambda W: {"D": W},
    "sam_parser": lambda W: {"s": svd(W)[1]},
    "clip_svd": lambda W: {"s": svd(W)[1]},
    "kind": kind,
    "osf": osf,
    "pissa": lambda W: parts(W, slice(R), SCALE),
    "milora": lambda W: parts(W, slice(-R, None), SCALE),
    "olora": olora,
    "nystromlora": nystrom,
    "nystromlora_released": lambda W: nystrom(W) | {"N": W[:R, :R]},
    "inttune": lambda W: {"N": nystrom(W)["N"]},
    "dora": lambda W: {"g": np.sqrt(np.sum(W**2, axis=0))},
    "loldu": lambda W: {"c": np.array(ALPHA / R)},
}


@pytest.mark.parametrize("case", DERIVED)
def test_what_is_derived_from_the_weight_starts_there(case: str) -> None:
    W, found = start_of(case)
    for name, expected in DERIVED[case](W).items():
        assert_allclose(found[name], expected, rtol=0, atol=1e-10)


def test_loftq_starts_with_the_largest_parts_of_what_the_quantised_weight_misses() -> None:
    W, found = start_of("loftq")
    step = abs(W).max(axis=0) / 7

    def quantised(M: Array) -> Array:
        own = abs(M).max(axis=0) / 7
        return np.floor(M / own + 0.5) * own

    assert_allclose(quantised(W), np.floor(W / step + 0.5) * step)
    first = parts(W - quantised(W), slice(R))
    expected = parts(W - quantised(W - first["A"] @ first["B"]), slice(R))
    for name in "AB":
        assert_allclose(found[name], expected[name], rtol=0, atol=1e-10)


def test_the_orthogonal_start_has_two_factors_and_no_product() -> None:
    _, found = start_of("orthogonal_init")
    assert abs(found["A"]).min() > 0 < abs(found["B"]).min()
    assert_allclose(found["A"] @ found["B"], 0, atol=1e-12)


def test_the_rows_of_prompts_and_of_paca_start_as_rows_of_the_weight() -> None:
    for case, name in (("prompt_tuning", "P"), ("paca", "P"), ("trainable_tokens", "T")):
        W, found = start_of(case)
        assert all(any((row == known).all() for known in W) for row in found[name])


def test_reflections_start_in_pairs() -> None:
    U = start_of("hra")[1]["U"]
    assert (U[:, ::2] == U[:, 1::2]).all()
