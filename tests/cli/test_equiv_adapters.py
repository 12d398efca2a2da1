from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import specdsl
from tests.cli.conftest import Run


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
