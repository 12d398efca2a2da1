from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

import specdsl
from tests.cli.conftest import Run
from tests.cli.peft_folders import saved_classifier


class Tiny(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = torch.nn.Linear(6, 4)


@pytest.fixture
def adapters(tmp_path: Path) -> list[str]:
    folders = []
    for seed, name in enumerate(("one", "other")):
        adapter = specdsl.attach(Tiny(), "W + A@B | A, B ~ kaiming | starts: elsewhere", on="re:first", r=2, seed=seed)
        folders.append(str(adapter.save(tmp_path / name)))
    return folders


def test_the_same_adapter_ends_in_0(adapters: list[str], run: Run) -> None:
    result = run("equiv", "--adapter", adapters[0], adapters[0])
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[3].split() == ["first", "6", "x", "4", lines[3].split()[4], "0"]
    assert lines[-1] == "the same weights, largest relative difference 0"


def test_another_one_ends_in_1(adapters: list[str], run: Run) -> None:
    result = run("equiv", "--adapter", *adapters)
    assert result.exit_code == 1
    assert "different weights in 1 of 1" in result.stdout


def test_json_has_every_module(adapters: list[str], run: Run) -> None:
    found = json.loads(run("equiv", "--adapter", *adapters, "--json").stdout)
    assert not found["same"]
    (module,) = found["modules"]
    assert (module["module"], module["shape"], module["same"]) == ("first", "6 x 4", False)
    assert module["difference"] > found["tolerance"]


def test_what_is_no_adapter_ends_in_2(adapters: list[str], run: Run, tmp_path: Path) -> None:
    result = run("equiv", "--adapter", adapters[0], str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith("there is no adapter in ")


@pytest.fixture
def classifiers(tiny_bert: Path, tmp_path: Path) -> list[str]:
    """An adapter with a head of three outputs, as PEFT saved it and as it was imported."""
    saved_classifier(tiny_bert, tmp_path / "theirs", 3)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=3)
    return ["theirs", str(specdsl.import_peft(base, tmp_path / "theirs").save(tmp_path / "ours"))]


@pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT
def test_the_head_is_the_one_that_an_adapter_names(classifiers: list[str], tiny_bert: Path, run: Run) -> None:
    result = run("equiv", "--adapter", *classifiers, "--model", str(tiny_bert))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "classifier, weight, trained whole" in result.stdout


@pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT
def test_the_head_can_be_given(classifiers: list[str], tiny_bert: Path, run: Run) -> None:
    ours = (classifiers[1], classifiers[1], "--model", str(tiny_bert))
    assert run("equiv", "--adapter", *ours).exit_code == 2
    assert run("equiv", "--adapter", *ours, "--task", "classification", "--num-labels", "3").exit_code == 0


def test_a_head_without_a_model_is_a_mistake(adapters: list[str], run: Run) -> None:
    result = run("equiv", "--adapter", *adapters, "--task", "classification")
    assert result.exit_code == 2
    assert result.stderr.startswith("`--task` belongs to `--model`\n")
