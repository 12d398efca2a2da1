from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModel

import specdsl
from tests.cli.conftest import Run

TOKENS = torch.tensor([[2, 7, 11, 5, 3]])
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT


def hidden(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(TOKENS).last_hidden_state
    return found


def saved_lora(tiny_bert: Path, folder: Path, **options: Any) -> torch.Tensor:
    """What PEFT's adapter in the folder computes."""
    config = peft.LoraConfig(r=2, target_modules=["query"], init_lora_weights=False, **options)
    theirs = peft.get_peft_model(AutoModel.from_pretrained(tiny_bert), config)
    theirs.save_pretrained(str(folder))
    return hidden(theirs)


def test_an_adapter_of_peft_is_imported_and_exported_again(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    expected = saved_lora(tiny_bert, tmp_path / "theirs", lora_alpha=6)
    result = run("import", "theirs", "--model", str(tiny_bert), "-o", "ours")
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "adapter in ours")
    assert result.output.startswith("LoRA on ")
    ours = specdsl.load(AutoModel.from_pretrained(tiny_bert), tmp_path / "ours")
    assert ours.spec.hyperparameters == {"r": 2, "alpha": 6}
    assert torch.allclose(hidden(ours.model), expected, atol=1e-5)
    result = run("export", "ours", "--model", str(tiny_bert), "-o", "again")
    assert (result.exit_code, result.output) == (0, "adapter for PEFT in again\n")
    again: Any = peft.PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_bert), str(tmp_path / "again"))
    assert torch.allclose(hidden(again), expected, atol=1e-6)


def test_a_field_without_a_counterpart_is_named(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    saved_lora(tiny_bert, tmp_path / "theirs", rank_pattern={"query": 1})
    result = run("import", "theirs", "--model", str(tiny_bert), "-o", "ours")
    assert result.exit_code == 2
    assert "`rank_pattern` = {'query': 1} of a LORA adapter is not supported" in result.stderr
    assert not (tmp_path / "ours").exists()


def test_a_folder_that_holds_other_things_stays(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    saved_lora(tiny_bert, tmp_path / "theirs")
    before = {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir() if path.is_file()}
    result = run("import", "theirs", "--model", str(tiny_bert), "-o", "theirs")
    assert result.exit_code == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir() if path.is_file()} == before
