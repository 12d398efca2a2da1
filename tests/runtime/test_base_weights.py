"""Another base than the one that was trained on is noticed."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import specdsl
from specdsl.errors import SpecCheckpointError, SpecWarning
from specdsl.lowering.sites import site_of
from specdsl.runtime.adapter_record import RECORD
from specdsl.runtime.base_weights import base_samples
from tests.runtime.refusals import assert_refused
from tests.runtime.saved_adapters import (
    DERIVED,
    LORA,
    SPECS,
    mlp,
    outputs,
    saved,
    values,
)
from tests.runtime.small_models import move, same


def changed(place: str, entry: int = 0) -> nn.Module:
    """The base with one number changed a little."""
    model = mlp()
    with torch.no_grad():
        model.get_parameter(place).view(-1)[entry] += 1e-3
    return model


OTHERS = {
    "another seed": (lambda: mlp(seed=3), "`0` and 1 more"),
    "a weight": (lambda: changed("2.weight", 7), "`2`"),
    "a bias": (lambda: changed("0.bias"), "`0`"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_base_weights_warn_where_nothing_was_derived_from_them(case: str, tmp_path: Path) -> None:
    folder, (other, named) = saved(tmp_path / "adapter", SPECS["frozen at random"], name="mine"), OTHERS[case]
    model = other()
    bare = outputs(model)
    with pytest.warns(SpecWarning) as caught:
        specdsl.load(model, folder)
    assert [str(one.message) for one in caught] == [
        (
            f"the base weights of {named} are not those that the adapter `mine` was trained on; "
            "load the same base checkpoint"
        )
    ]
    assert Path(caught[0].filename).name == "test_base_weights.py"
    assert not torch.equal(outputs(model), bare)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_same_base_in_another_dtype_is_the_same(dtype: torch.dtype, tmp_path: Path) -> None:
    loaded = specdsl.load(mlp().to(dtype), saved(tmp_path / "adapter"))
    assert loaded.is_attached
    base = mlp().to(dtype)
    widened = copy.deepcopy(base).to(torch.promote_types(dtype, torch.float32))
    assert specdsl.load(widened, specdsl.attach(base, LORA).save(tmp_path / "narrow")).is_attached


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_another_base_in_another_dtype_is_another(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    with pytest.warns(SpecWarning, match="the base weights of `0` and 1 more"):
        specdsl.load(mlp(seed=3).to(dtype), folder)


def test_a_base_is_recognised_while_another_adapter_is_merged_into_it(tmp_path: Path) -> None:
    folder, model = saved(tmp_path / "adapter", SPECS["derived"], name="derived"), mlp()
    other = specdsl.attach(model, LORA, name="other")
    move(other)
    other.merge()
    derived = specdsl.load(model, folder)
    assert same(values(derived), values(specdsl.load(mlp(), folder)))


def test_a_large_weight_is_sampled_evenly() -> None:
    sites = [site_of(nn.Linear(300, 200)) for _ in range(2)]
    one, other = (site for site in sites if site is not None)
    with torch.no_grad():
        other.weight.copy_(one.weight)
        other.bias.copy_(one.bias)  # type: ignore[union-attr]
    assert base_samples(one) == base_samples(other)
    with torch.no_grad():
        other.weight[150:152] += 1e-2
    assert base_samples(one).keys() == {"float32", "bfloat16", "float16"}
    assert all(base_samples(one)[name] != found for name, found in base_samples(other).items())


@pytest.mark.parametrize("place", ["2.weight", "2.bias"])
@pytest.mark.parametrize("case", DERIVED)
def test_other_base_weights_are_refused_where_values_were_derived(case: str, place: str, tmp_path: Path) -> None:
    folder, other = saved(tmp_path / "adapter", SPECS[case]), changed(place)
    message = "the weight of `2` is not the one that the adapter's values were derived from"
    assert_refused(other, folder, SpecCheckpointError, message)


@pytest.mark.parametrize("case", SPECS)
def test_a_weight_hash_is_kept_where_values_come_from_the_base(case: str, tmp_path: Path) -> None:
    record = json.loads((saved(tmp_path / "adapter", SPECS[case]) / RECORD).read_text())
    hashes = {target["weight_hash"] is not None for target in record["targets"]}
    assert hashes == {case in DERIVED}
