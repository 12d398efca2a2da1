"""LoRA on `nn.MultiheadAttention`, which PEFT adapts under names of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

import specdsl
from specdsl.runtime.adapter_comparison import compare_updates
from specdsl.runtime.interchange.peft_names import names_here

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.head(self.attention(x, x, x)[0])
        return mixed


X = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def expected(tmp_path: Path) -> Tensor:
    """What PEFT's adapter in the folder `theirs` computes."""
    options: dict[str, Any] = {"target_modules": ["attention", "head"], "init_lora_weights": False}
    theirs: Any = peft.get_peft_model(Attending().eval(), peft.LoraConfig(r=2, lora_alpha=5, **options)).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    found: Tensor = theirs(X).detach()
    return found


def test_an_attention_goes_from_peft_to_specdsl_and_back(expected: Tensor, tmp_path: Path) -> None:
    adapter = specdsl.import_peft(Attending().eval(), tmp_path / "theirs")
    assert [member.name for member in adapter.members] == ["attention.in_proj_weight", "attention.out_proj", "head"]
    torch.testing.assert_close(adapter.model(X), expected)
    again = adapter.export_peft(tmp_path / "again")
    theirs: Any = peft.PeftModel.from_pretrained(Attending().eval(), str(again)).eval()
    torch.testing.assert_close(theirs(X), expected)


def test_an_attention_is_compared_without_its_base(expected: Tensor, tmp_path: Path) -> None:
    ours = specdsl.import_peft(Attending().eval(), tmp_path / "theirs").save(tmp_path / "ours")
    rows = compare_updates(tmp_path / "theirs", ours)
    assert {row.name for row in rows} == {"attention.in_proj_weight", "attention.out_proj", "head"}
    assert all(row.is_same and row.largest > 0.1 for row in rows)


def test_another_method_on_an_attention_is_refused(expected: Tensor, tmp_path: Path) -> None:
    config = tmp_path / "theirs" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    with pytest.raises(specdsl.SpecCheckpointError, match="which no spec is known for"):
        specdsl.import_peft(Attending().eval(), tmp_path / "theirs")


@pytest.mark.parametrize(("spec", "on"), [("lora", r"re:attention\.in_proj_weight"), ("dora", r"re:attention\..*")])
def test_what_peft_cannot_adapt_in_an_attention_is_not_exported(spec: str, on: str, tmp_path: Path) -> None:
    adapter = specdsl.attach(Attending(), spec, on=on, r=2)
    with pytest.raises(specdsl.SpecCheckpointError, match="is a parameter that its owner reads, and PEFT"):
        adapter.export_peft(tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_modules_within_a_wrapper_have_their_own_names() -> None:
    assert names_here(["a.base_layer.b", "c"]) == {"a.base_layer.b": "a.b", "c": "c"}
