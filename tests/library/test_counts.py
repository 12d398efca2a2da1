"""Trained parameters on RoBERTa-base and DeBERTaV3-base, as `specdsl compile --json` counts them.

Those of the tables of arXiv:2407.05417 exactly, and a few methods beyond them by hand.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from click.testing import CliRunner

from specdsl.cli import main
from specdsl.runtime import models
from specdsl.runtime.models import LoadedModel, load_model

LORA = {2: 331_776, 4: 663_552, 8: 1_327_104, 16: 2_654_208}
TRILORA = {2: 331_920, 4: 663_840, 8: 1_327_680, 16: 2_655_360}
FLORA = {2: 332_064, 4: 664_704, 8: 1_331_712, 16: 2_672_640}
DORA = {2: 414_720, 4: 746_496, 8: 1_410_048, 16: 2_737_152}
HOULSBY = {8: 313_536, 16: 608_640, 32: 1_198_848, 64: 2_379_264}
PFEIFFER = {16: 304_320, 32: 599_424, 64: 1_189_632, 128: 2_370_048}

BY_RANK = {
    "lora": LORA,
    "parallel_adapter": LORA,
    "mpc_o": LORA,
    "mpc_d": LORA,
    "mpc_n": LORA,
    "trilora": TRILORA,
    "adalora": TRILORA,
    "flora": FLORA,
    "dora": DORA,
    "houlsby": HOULSBY,
    "pfeiffer": PFEIFFER,
}
WITHOUT_RANK = {"sam_parser": 55_296, "ia3": 55_296, "ssl": 27_648, "ssb": 82_944}
# Of the matrices named here, 12 blocks hold four of 768 x 768, one of 768 x 3072 and one of 3072 x 768.
BEYOND_THE_TABLES = {
    "rslora": 1_327_104,
    "pissa": 1_327_104,
    "spectral_adapter": 1_327_104,
    "svdiff": 55_296,
    "vera": 12 * (5 * 768 + 3072 + 6 * 256),
    "hydra": 12 * 8 * (4 * 768 + 3072 + 3 * 768),
    "full": 12 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 768 + 3072),
}
ROWS = [
    *((method, rank, count) for method, counts in BY_RANK.items() for rank, count in counts.items()),
    *((method, None, count) for method, count in (WITHOUT_RANK | BEYOND_THE_TABLES).items()),
]
MODELS = ("roberta-base", "deberta-v3-base")


@cache
def loaded(name: str, *options: Any) -> LoadedModel:
    return load_model(name, **dict(options))


@pytest.fixture(autouse=True)
def each_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting changes no model, so that all counts can have the same one."""
    monkeypatch.setattr(models, "load_model", lambda name, **options: loaded(name, *options.items()))


def trained(method: str, model: str, rank: int | None = None) -> int:
    settings = () if rank is None else ("--set", f"r={rank}")
    result = CliRunner().invoke(main, ["compile", method, "--model", model, *settings, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert sum(module["trainable"] for module in found["modules"]) == found["trainable_parameters"]
    return int(found["trainable_parameters"])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("method", "rank", "count"), ROWS)
def test_a_method_trains_the_published_number_of_parameters(
    method: str, rank: int | None, count: int, model: str
) -> None:
    assert trained(method, model, rank) == count


@pytest.mark.parametrize(("model", "count"), [("roberta-base", 102_144), ("deberta-v3-base", 102_912)])
def test_bitfit_counts_every_norm(model: str, count: int) -> None:
    """DeBERTa has one norm more, that of its relative positions."""
    assert trained("bitfit", model) == count
