from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

import specdsl
from tests.cli.conftest import Run
from tests.cli.peft_folders import hidden, saved_classifier, saved_lora

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT


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
    saved_lora(tiny_bert, tmp_path / "theirs")
    config = tmp_path / "theirs" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layer_replication": [[0, 2]]}))
    result = run("import", "theirs", "--model", str(tiny_bert), "-o", "ours")
    assert result.exit_code == 2
    assert "`layer_replication` = [[0, 2]] of a LORA adapter is not supported" in result.stderr
    assert not (tmp_path / "ours").exists()


def test_an_adapter_is_replaced_only_where_that_is_said(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    saved_lora(tiny_bert, tmp_path / "theirs")
    again = ("import", "theirs", "--model", str(tiny_bert), "-o", "ours")
    assert run(*again).exit_code == 0
    before = (tmp_path / "ours" / "adapter.json").stat().st_mtime_ns
    result = run(*again)
    assert (result.exit_code, result.stderr) == (
        2, "`ours` holds an adapter already\n  hint: choose another output, or say `--overwrite`\n"
    )  # fmt: skip
    assert (tmp_path / "ours" / "adapter.json").stat().st_mtime_ns == before
    assert run(*again, "--overwrite").exit_code == 0
    assert (tmp_path / "ours" / "adapter.json").stat().st_mtime_ns > before


@pytest.mark.parametrize(("labels", "task"), [(3, "classification"), (1, "regression")])
def test_the_head_is_the_one_of_the_adapter(
    labels: int, task: str, run: Run, tmp_path: Path, tiny_bert: Path
) -> None:  # fmt: skip
    expected = saved_classifier(tiny_bert, tmp_path / "theirs", labels)
    result = run("import", "theirs", "--model", str(tiny_bert), "-o", "ours")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"for a model with a head: --task {task} --num-labels {labels}" in result.stdout
    base = AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=labels)
    ours: Any = specdsl.load(base, tmp_path / "ours").model
    assert torch.equal(ours.classifier.weight, expected)


def test_a_head_that_nothing_tells_is_asked_for(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    saved_classifier(tiny_bert, tmp_path / "theirs", 3)
    config = json.loads((tmp_path / "theirs" / "adapter_config.json").read_text())
    (tmp_path / "theirs" / "adapter_config.json").write_text(json.dumps(config | {"task_type": None}))
    result = run("import", "theirs", "--model", str(tiny_bert), "-o", "ours")
    assert result.exit_code == 2
    assert "is not in this BertModel\n  hint: load its base with the head" in result.stderr
    assert "as `--task classification` does" in result.stderr
    assert run("import", "theirs", "--model", str(tiny_bert), "-o", "ours", "--task", "classification").exit_code == 0


def test_a_folder_that_holds_other_things_stays(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    saved_lora(tiny_bert, tmp_path / "theirs")
    before = {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir() if path.is_file()}
    result = run("import", "theirs", "--model", str(tiny_bert), "-o", "theirs")
    assert result.exit_code == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir() if path.is_file()} == before
