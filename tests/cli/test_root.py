from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import specdsl
from specdsl.cli import main
from specdsl.cli.root import COMMANDS, Commands
from tests.cli.conftest import Run

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}


def examples(name: str) -> list[str]:
    """The commands that the help of `name` shows."""
    lines = map(str.strip, (import_module(f"specdsl.cli.{name}").command.help or "").splitlines())
    return [line for line in lines if line.startswith(f"specdsl {name} ")]


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version").stdout == f"specdsl {specdsl.__version__}\n"


def test_help_lists_every_command(run: Run) -> None:
    listed = run("--help").stdout
    assert [name for name in COMMANDS if f"\n  {name} " in listed] == list(COMMANDS)


def test_there_is_one_file_per_command() -> None:
    folder = Path(import_module("specdsl.cli").__file__ or "").parent
    commands = {path.stem for path in folder.glob("*.py") if "@click.command(" in path.read_text()}
    assert commands == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name: str, run: Run) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"specdsl {name} " in result.stdout
    assert examples(name)
    assert all(example in result.stdout for example in examples(name))


@pytest.mark.parametrize("example", [one for name in COMMANDS for one in examples(name)])
def test_examples_in_help_are_parsed(example: str) -> None:
    name, *arguments = shlex.split(example)[1:]
    command = main.get_command(click.Context(main), name)
    assert command is not None
    command.make_context(name, arguments)


QUICK = ("show", "explain", "latex", "ls")


@pytest.mark.parametrize("example", [one for name in QUICK for one in examples(name)])
def test_examples_in_help_run(example: str, run: Run) -> None:
    result = run(*shlex.split(example.replace(" --model roberta-base", ""))[1:])
    assert result.exit_code == 0
    assert result.stdout != ""
    assert result.stderr == ""


def test_errors_are_alone_on_stderr(run: Run) -> None:
    result = run("show", "lorra")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "the library has no method `lorra`\n  hint: did you mean `lora`?\n"


def test_with_json_an_error_is_a_document_on_stdout(run: Run) -> None:
    result = run("compile", "W + alhpa*A@B", "--model", "minilm", "--json")
    assert (result.exit_code, result.stderr) == (2, "")
    assert json.loads(result.stdout) == {
        "error": "`alhpa` is not declared",
        "kind": "SpecNameError",
        "path": "<spec>",
        "line": 1,
        "column": 5,
        "hint": "did you mean `alpha`?",
    }


def test_with_json_a_missing_option_is_a_document_too(run: Run) -> None:
    result = run("compile", "lora", "--json")
    assert (result.exit_code, result.stderr) == (2, "")
    error = json.loads(result.stdout)
    assert error["error"] == "Missing option '--model'"
    assert (error["path"], error["line"], error["column"]) == (None, None, None)


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: specdsl ")


def test_a_warning_is_one_line_and_no_failure(run: Run) -> None:
    result = run("check", "W + W*A", "W + W*A")
    assert result.exit_code == 0
    assert result.stderr == (
        "warning: <spec>:1:5: `W*A` is a matrix product; the elementwise product is `.*`\n  W + W*A\n      ^^^\n"
    )


class OneCommand(Commands):
    """The real group with one command, which does what the test says."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__("specdsl")
        self.action = action

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        return click.Command(name, callback=self.action)


def ending(action: Callable[[], None]) -> Result:
    return CliRunner().invoke(OneCommand(action), ["check"])


def test_warnings_of_others_stay_as_they_are() -> None:
    with pytest.warns(FutureWarning, match="somebody else's"):
        ending(lambda: warnings.warn("somebody else's", FutureWarning, stacklevel=2))


def test_a_mistake_of_ours_shows_where_it_is() -> None:
    def fail() -> None:
        raise ZeroDivisionError("ours")

    result = ending(fail)
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("ZeroDivisionError: ours\n")


def test_interrupting_ends_quietly() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    result = ending(interrupt)
    assert (result.exit_code, result.output.strip()) == (130, "")


def test_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "specdsl.cli", "ls"]
    ended = subprocess.run(command, env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_text_that_is_no_unicode_is_told_and_shown() -> None:
    command = [sys.executable.encode(), b"-m", b"specdsl.cli", b"check", b"W + \xff", b"\xff.spec"]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"a control or invisible character (U+DCFF) stands here" in ended.stderr
    assert b"there is no file `\\udcff.spec`" in ended.stderr


def test_what_the_front_end_can_do_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "one.spec").write_text("W+A@B\n")
    script = """
import sys
from click.testing import CliRunner, Result
import specdsl
from specdsl.cli import main

spec = specdsl.parse("W + A@G@B | orth(A)")
str(spec), str(spec.explain()), spec.latex(), spec.facts
commands = [
    ["check", "W + A@B", "lora"], ["fmt", "one.spec"], ["show", "dora"], ["explain", "pissa"], ["latex", "vera"],
    ["ls"], ["--help"], ["check", "--json", "W + "],
]
for command in commands:
    result = CliRunner().invoke(main, command)
    assert result.exit_code == (1 if "--json" in command else 0), (command, result.output)
for name in ("torch", "transformers", "datasets", "safetensors", "rich"):
    assert name not in sys.modules, name
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_check_imports_little() -> None:
    script = (
        "import sys; from specdsl.cli import main\n"
        "try: main(['check', 'W + A@B'])\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'rich', 'yaml', 'importlib.metadata'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ok W + A@B\n", "")


def test_nothing_is_pickled() -> None:
    folders = ("specdsl", "runtime", "grammar", "library_specs")
    files = [path for name in folders for path in (REPOSITORY / name).rglob("*.py")]
    imports = ("import pickle", "from pickle", "import marshal", "import shelve", "import dill", "import joblib")
    assert [str(path) for path in files if any(word in path.read_text() for word in imports)] == []


def test_python_runs_the_package_as_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "specdsl", "check", "W +"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("<spec>:1:3: an operand is missing")
