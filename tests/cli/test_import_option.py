from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from specdsl.cli.root import COMMANDS
from specdsl.operators import find_operator, remove_operator
from tests.cli.conftest import Run

OPERATOR = """
import specdsl

@specdsl.operator("moved_down", "n m -> n m", facts=["linear", "keeps_zero"])
def moved_down(xp, M):
    "The rows of M moved down by one."
    return xp.concat([M[-1:], M[:-1]], 0)
"""
SPEC = "W + moved_down(A@B)"


@pytest.fixture(autouse=True)
def the_table_stays_as_it_was() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).endswith("my_operators.py"):
            del sys.modules[name]
    if find_operator("moved_down") is not None:
        remove_operator("moved_down")


def test_a_file_is_run_once_before_the_spec_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my_operators.py").write_text(OPERATOR)
    result = run("check", SPEC, "--import", "my_operators.py", "--import", "./my_operators.py")
    assert (result.exit_code, result.output) == (0, f"ok {SPEC}\n")


def test_a_module_is_named_like_in_python(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_operators.py").write_text(OPERATOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run("show", SPEC, "--import", "my_operators").exit_code == 0


def test_without_it_the_operator_is_unknown(run: Run) -> None:
    result = run("check", SPEC)
    assert result.exit_code == 1
    assert "there is no operator or function `moved_down`" in result.stderr
    assert "--import MODULE" in result.stderr


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "nowhere.py", "there is no file `nowhere.py`\n"),
        ("", "no_such_module", "there is no Python module `no_such_module`\n"),
        (
            "", "ours",
            "there is no Python module `ours`\n  hint: a file is named by its path: `--import ours.py`\n",
        ),
        ("1/0", "./ours.py",
         "importing `./ours.py` fails: ZeroDivisionError: division by zero\n"),
        ("import no_such_module", "ours.py",
         "importing `ours.py` fails: No module named 'no_such_module'\n"),
        (OPERATOR.replace("keeps_zero", "keeps_zeros"), "ours.py",
         "`moved_down`: there is no fact `keeps_zeros`\n  hint: did you mean `keeps_zero`?\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_an_error(run: Run, tmp_path: Path, text: str, name: str, message: str) -> None:
    (tmp_path / "ours.py").write_text(text)
    result = run("check", "lora", "--import", name)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"ls", "atlas"}))
def test_every_command_that_reads_specs_has_it(run: Run, command: str) -> None:
    assert "--import MODULE" in run(command, "--help").output
