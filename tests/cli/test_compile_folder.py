from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModel

import specdsl
from tests.cli.conftest import Run

FILES = ["compile.json", "module.py", "resolved.spec"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_without_weights_there_is_no_adapter(run: Run, tmp_path: Path) -> None:
    result = run("compile", "flora", "--model", "roberta-base", "-o", "out/flora")
    assert names(tmp_path / "out" / "flora") == FILES
    assert names(tmp_path / "out") == ["flora"]
    assert result.stdout.splitlines()[-2:] == [
        "no adapter is written: its values need the weights of the model",
        "written to out/flora",
    ]


def test_the_resolved_spec_means_the_same(run: Run, tmp_path: Path) -> None:
    run("compile", "W + s*A@B | s = 2 | orth(A)", "--model", "roberta-base", "--set", "s=3", "-o", "out")
    resolved = specdsl.parse(tmp_path / "out" / "resolved.spec")
    assert resolved.hyperparameters["s"] == 3
    assert resolved.facts == specdsl.parse("W + s*A@B | s = 2 | orth(A)", s=3).facts


def test_the_report_is_what_json_prints(run: Run, tmp_path: Path) -> None:
    printed = json.loads(run("compile", "lora", "--model", "roberta-base", "-o", "out", "--json").stdout)
    written = json.loads((tmp_path / "out" / "compile.json").read_text())
    assert printed["notes"] == [*written["notes"], "no adapter is written: its values need the weights of the model"]
    assert {**printed, "notes": 0} == {**written, "notes": 0}


def test_the_code_is_that_of_emit(run: Run, tmp_path: Path) -> None:
    run("compile", "dora", "--model", "roberta-base", "-o", "out")
    emitted = run("compile", "dora", "--model", "roberta-base", "--emit", "torch").stdout
    assert (tmp_path / "out" / "module.py").read_text() == emitted


def test_with_weights_load_reads_the_folder(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    spec = "frozen P : n x r ~ normal(1) | W + P@A@B"
    run("compile", spec, "--model", str(tiny_bert), "--set", "r=2", "--seed", "5", "-o", "out")
    assert names(tmp_path / "out") == ["adapter.json", "adapter.safetensors", *FILES]
    loaded = specdsl.load(AutoModel.from_pretrained(tiny_bert), tmp_path / "out")
    attached = specdsl.attach(AutoModel.from_pretrained(tiny_bert), spec, r=2, seed=5)
    assert loaded.seed == 5
    for (place, name, value), (_, _, expected) in zip(loaded.factors(), attached.factors(), strict=True):
        assert torch.equal(value, expected), (place, name)


def test_an_earlier_folder_is_replaced_and_others_are_not(run: Run, tmp_path: Path) -> None:
    run("compile", "lora", "--model", "roberta-base", "-o", "out")
    assert run("compile", "dora", "--model", "roberta-base", "-o", "out").exit_code == 0
    assert "DoRA" in (tmp_path / "out" / "resolved.spec").read_text()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    result = run("compile", "lora", "--model", "roberta-base", "-o", "mine")
    assert (result.exit_code, names(tmp_path / "mine")) == (2, ["thesis.tex"])


def test_a_failure_leaves_nothing_behind(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("compile", "lora", "--model", str(tiny_bert), "-o", "file/out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("`file/out` cannot be written: ")
    assert names(tmp_path) == ["file"]
