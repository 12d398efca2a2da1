from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

ONLY = ("--only", "lora", "--only", "moslora", "--only", "full")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_folder_holds_page_picture_and_pairs(run: Run, tmp_path: Path) -> None:
    result = run("atlas", "-o", "out", *ONLY, "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["containment.svg", "index.html", "pairs.tsv"]
    assert result.stdout.startswith("3 methods, ")


def test_several_processes_find_the_same_and_a_second_run_asks_nothing(run: Run, tmp_path: Path) -> None:
    first = json.loads(run("atlas", *ONLY, "--jobs", "2", "--json").stdout)
    again = json.loads(run("atlas", *ONLY, "--jobs", "1", "--json").stdout)
    fresh = json.loads(run("atlas", *ONLY, "--jobs", "1", "--fresh", "--json").stdout)
    assert first == again
    for one, other in zip(first["pairs"], fresh["pairs"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    relations = {(pair["a"], pair["b"]): pair["set"] for pair in first["pairs"]}
    assert relations["lora", "moslora"] in ("=", "?")


def test_mistakes_end_in_2(run: Run) -> None:
    result = run("atlas", "--only", "lorra")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, "the library has no method `lorra`")
    assert run("atlas", "--budget", "0").exit_code == 2
