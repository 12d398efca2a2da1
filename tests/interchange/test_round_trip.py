"""An adapter that PEFT saved computes the same here; what is exported from here computes the same there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor

import specdsl
from tests.interchange.peft_adapters import CASES, logits, saved_by_peft
from tests.runtime.small_models import small

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT
NOT_IN_PEFT = ("LoRA and its biases", "LoRA and all biases", "BOFT, blocks by module")


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5 * theirs.abs().max().item())


@pytest.mark.parametrize("case", CASES)
def test_an_adapter_goes_from_peft_to_specdsl_and_back(case: str, tmp_path: Path) -> None:
    base, expected = saved_by_peft(case, tmp_path / "theirs")
    bare = logits(base)
    adapter = specdsl.import_peft(base, tmp_path / "theirs")
    assert (expected - bare).abs().max() > 1e-3
    assert_same(logits(adapter.model), expected)
    again = specdsl.load(small(CASES[case][0]), adapter.save(tmp_path / "ours"))
    assert_same(logits(again.model), expected)
    if case not in NOT_IN_PEFT:
        folder = again.export_peft(tmp_path / "exported")
        theirs: Any = peft.PeftModel.from_pretrained(small(CASES[case][0]), str(folder)).eval()
        assert_same(logits(theirs), expected)
    again.detach()
    assert torch.equal(logits(again.model), bare)


@pytest.mark.parametrize(
    "case", ["LoRA and a head", "LoRA and all biases", "IA3", "LN tuning, RMS", "trainable tokens"]
)
def test_an_imported_adapter_merges(case: str, tmp_path: Path) -> None:
    base, expected = saved_by_peft(case, tmp_path / "theirs")
    assert_same(logits(specdsl.import_peft(base, tmp_path / "theirs").merge_and_unload()), expected)


SPECS = {
    "lora": {"r": 3}, "lora_dropout": {"r": 3, "p": 0.1}, "lora_fa": {"r": 3}, "mpc_o": {"r": 3}, "dora": {"r": 3},
    "vera": {"r": 3}, "vblora": {"r": 2, "v": 6, "h": 4}, "shira": {"r": 1}, "boft": {"k": 4, "f": 1},
    "pissa": {"r": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_an_adapter_of_the_library_loads_in_peft(name: str, tmp_path: Path) -> None:
    model = small("llama")
    adapter = specdsl.attach(model, name, on="attention", seed=3, events=False, **SPECS[name])
    model.eval()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    expected = logits(model)
    folder = adapter.export_peft(tmp_path / "exported")
    theirs: Any = peft.PeftModel.from_pretrained(small("llama"), str(folder)).eval()
    assert_same(logits(theirs), expected)
