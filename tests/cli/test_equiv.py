from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import Run

TABLED = [
    ("W + A@B", "W + A@G@B | G : r x r ~ eye", "pointwise", 1),
    ("W + A@B", "W + A@G@B | G : r x r ~ eye", "set", 0),
    ("W + A@B", "W + A@G@B | G : r x r ~ eye", "start", 0),
    ("W@diag(t)", "diag(s)@W@diag(t)", "set", 1),
    ("W + (A@U)@(S@(V@B))", "W + A@(U@S@V)@B", "pointwise", 0),
]


@pytest.mark.parametrize(("a", "b", "sense", "code"), TABLED)
def test_the_exit_code_answers_in_the_asked_sense(a: str, b: str, sense: str, code: int, run: Run) -> None:
    result = run("equiv", a, b, "--sense", sense)
    assert (result.exit_code, result.stderr) == (code, "")


def test_the_card_is_plain_text_where_nobody_watches(run: Run) -> None:
    lines = run("equiv", "W + A@B", "W + A@G@B | G : r x r ~ eye").stdout.splitlines()
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines if line.startswith(("pointwise", "reachable", "closure", "start"))] == [
        "pointwise", "reachable", "closure", "start",
    ]  # fmt: skip


def test_the_help_says_what_the_exit_code_and_the_budget_mean(run: Run) -> None:
    text = " ".join(run("equiv", "--help").stdout.split())
    for part in ("all senses are decided", "with --library for each method", "counts as equality"):
        assert part in text


def test_json_is_the_verdict(run: Run) -> None:
    result = run("equiv", "W + A@B", "W + A@G@B | G : r x r ~ eye", "--json")
    found = json.loads(result.stdout)
    assert found["pointwise"]["relation"] == "!="
    assert (found["set"]["relation"], found["set"]["verdict"]) == ("=", "proved")
    assert {"certificate", "witness", "assumptions"} <= found["start"].keys()
    assert {"dimension", "penalties", "seconds"} <= found.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("W + A@B",), "two specs needed, 1 given"),
        (("W + A@B", "lora", "dora"), "two specs needed, 3 given"),
        (("W + A@B", "lora", "--library"), "one spec needed, 2 given"),
        (("lora", "--adapter"), "two adapters needed, 1 given"),
        (("lora", "dora", "--model", "minilm"), "`--model` belongs to `--adapter`"),
        (("lora", "dora", "--all"), "`--all` belongs to `--library`"),
        (("lora", "dora", "--assume", "generic V"), "<assume>:1:1: `generic V` is not understood"),
        (("lora", "dora", "--where", "r<n, n<r"), "no sizes satisfy all of: r<n, n<r"),
        (("lora", "dora", "--shape", "n"), "<shape>:1:1: `n` sets no size"),
        (("lora", "W + alhpa*A@B"), "`alhpa` is not declared"),
        (("lora", "lorra"), "the library has no method `lorra`"),
    ],
)
def test_mistakes_end_in_2_with_one_message(arguments: tuple[str, ...], message: str, run: Run) -> None:
    result = run("equiv", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_comparing_imports_no_torch() -> None:
    code = (
        "import sys\nfrom specdsl.cli.root import main\n"
        "try:\n    main(['equiv', 'W + A@B', 'W + A@G@B | G : r x r ~ eye'])\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
