from __future__ import annotations

from pathlib import Path

from transformers import AutoModel

import specdsl
from tests.cli.conftest import Run


def test_a_formula_that_peft_lacks_is_refused(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    specdsl.attach(AutoModel.from_pretrained(tiny_bert), "W + A@G@B").save(tmp_path / "ours")
    result = run("export", "ours", "--model", str(tiny_bert), "-o", "theirs")
    assert result.exit_code == 2
    assert "PEFT has no method with the formula of `W + A@G@B`" in result.stderr
    assert not (tmp_path / "theirs").exists()


def test_a_folder_that_is_not_there_is_named(run: Run) -> None:
    result = run("export", "nothere", "-o", "theirs")
    assert (result.exit_code, result.stderr) == (
        2, "there is no adapter in `nothere`\n  hint: an adapter folder holds `adapter.json`\n"
    )  # fmt: skip


def test_the_base_has_to_be_named_for_an_adapter_without_a_task(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    specdsl.attach(AutoModel.from_pretrained(tiny_bert), "lora").save(tmp_path / "ours")
    result = run("export", "ours", "-o", "theirs")
    assert result.exit_code == 2
    assert "give it with --model" in result.stderr
