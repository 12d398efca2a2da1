"""What users get wrong, and the whole text that they then see: the tables are the files `mistakes/*.txt`.

An entry is a command, the exit code, and what stands on stderr::

    $ specdsl check "W + A@" -> 1
    <spec>:1:6: an operand is missing after `@`
      W + A@
           ^
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from specdsl.cli import main
from tests.cli.workplace import prepare

TABLES = Path(__file__).with_name("mistakes")


@dataclass(frozen=True)
class Mistake:
    """A command, the exit code and the text that it ends with."""

    arguments: tuple[str, ...]
    code: int
    text: str

    @staticmethod
    def of(entry: str) -> Mistake:
        command, _, text = entry.strip("\n").partition("\n")
        written, _, code = command.removeprefix("$ specdsl ").rpartition(" -> ")
        return Mistake(tuple(shlex.split(written)), int(code), text)

    @property
    def message(self) -> str:
        """What is wrong, without the place and without what the user wrote."""
        first = re.sub(r"^\S+:\d+:\d+: ", "", self.text.partition("\n")[0])
        return re.sub(r"`[^`]*`|\d+", "_", first)


MISTAKES = {
    table.stem: [Mistake.of(entry) for entry in re.split(r"\n(?=\$ specdsl )", table.read_text())]
    for table in sorted(TABLES.glob("*.txt"))
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    prepare(folder)
    return folder


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(one, id=f"{name}-{number}") for name, found in MISTAKES.items() for number, one in enumerate(found)],
)
def test_a_mistake_is_told_word_for_word(mistake: Mistake, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    result = CliRunner().invoke(main, mistake.arguments)
    assert result.stderr == f"{mistake.text}\n"
    assert (result.exit_code, result.stdout) == (mistake.code, "")


def test_many_kinds_of_mistake_have_messages_of_their_own() -> None:
    messages = {mistake.message for found in MISTAKES.values() for mistake in found}
    assert len(messages) >= 100
