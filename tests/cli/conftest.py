"""Runs commands as a user does, in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from specdsl.cli import main
from tests.runtime.conftest import tiny_bert, tiny_llama, tiny_tokenizer

__all__ = ["tiny_bert", "tiny_llama", "tiny_tokenizer"]

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("check", "lora")` in an empty folder; `text` is standard input."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, text: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, list(arguments), input=text)

    return command
