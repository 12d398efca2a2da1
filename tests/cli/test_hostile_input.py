"""A spec is untrusted text: what is absurdly long, deep, large or strange is refused by name and at once."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


def chain(first: str, step: str, last: str, length: int = 60) -> str:
    """Definitions that each read the one before twice: `d1 = d0 + d0`, ..."""
    lines = [step.replace("NEW", f"d{i}").replace("OLD", f"d{i - 1}") for i in range(1, length)]
    return "\n".join([f"d0 = {first}", *lines, last.replace("LAST", f"d{length - 1}")])


MANY = "with its definitions written out the spec has more than 20,000 parts"
HOSTILE = {
    "nested brackets": ("(" * 10_000 + "W" + ")" * 10_000, "brackets are nested more than 100 deep"),
    "open brackets": ("(" * 10_000, "brackets are nested more than 100 deep"),
    "nested indices": ("A[" * 5_000, "brackets are nested more than 100 deep"),
    "nested calls": ("W + A@B | " + "norm(" * 5_000, "brackets are nested more than 100 deep"),
    "nested choices": ("A if n > m else " * 2_000 + "B", "the expression is nested more than 100 deep"),
    "many signs": ("W + " + "-" * 5_000 + "A@B", "the expression is nested more than 100 deep"),
    "many transposes": ("W" + ".T" * 5_000, "the expression is nested more than 100 deep"),
    "a long line": ("W + " + "A" * 5_000_000, "the text has 5,000,004 bytes; a spec has at most 65,536"),
    "many spaces": ("W + A@B" + " " * 5_000_000, "the text has 5,000,007 bytes; a spec has at most 65,536"),
    "many clauses": ("W + A@B" + " | norm(A)" * 4_000, "the spec has more than 5,000 parts"),
    "many terms": ("W" + " + A@B" * 3_000, "the spec has more than 5,000 parts"),
    "many products": ("W + A" + "@A" * 3_000, "the spec has more than 5,000 parts"),
    "separators alone": ("|" * 20_000, "the spec is empty"),
    "line ends alone": ("\n" * 60_000, "the spec is empty"),
    "a comment alone": ("#" * 60_000, "the spec is empty"),
    "operators alone": ("@" * 5_000, "`@` cannot stand here"),
    "commas alone": ("," * 5_000, "`,` cannot stand here"),
    "quotes alone": ('"' * 5_001, "an operator is missing between"),
    "doubled sums": (chain("W", "NEW = OLD + OLD", "W' = LAST + A@B"), MANY),
    "doubled products": (chain("A", "NEW = OLD@OLD", "W' = W + LAST"), MANY),
    "doubled changes": (chain("A@B", "NEW = OLD + OLD .* OLD", "W' = W + LAST"), MANY),
    "doubled tokens": (chain("x@A@B", "NEW = OLD + relu(OLD)", "y' = y + LAST"), MANY),
    "doubled functions": (
        chain("A", "NEW(Z) = OLD(OLD(Z))", "W' = W + LAST(A)").replace("d0 = A", "d0(Z) = Z + Z"),
        MANY,
    ),
    "doubled numbers": (chain("2", "NEW = OLD * OLD", "W + LAST*A@B"), "is more than 2^31"),
    "doubled ranks": (chain("r + 1", "NEW = OLD * OLD", "W + LAST*A@B"), "is more than 2^31"),
    "doubled sizes": (
        chain("n + 1", "NEW = (OLD + m) * (OLD + n)", "W + LAST*A@B"),
        "a size or number has more than 200 terms",
    ),
    "many factors": ("W + " + " + ".join(f"A{i}@B{i}" for i in range(200)), "the spec has more than 64 factors"),
    "a long chain": ("W + " + "@".join(f"A{i}" for i in range(900)), "the spec has more than 64 factors"),
    "definitions on definitions": (
        chain("W + A@B", "NEW = relu(OLD)", "W' = LAST", 150),
        "with its definitions written out the spec is nested too deeply",
    ),
    "a long series": ("W@cayley(skew(Q), terms=100000000)", "`cayley` has at most 64 terms"),
    "a large rank": ("W + A@B | r = 10^12", "`r` is more than 2^31"),
    "a tower of powers": ("W + A@B | r = 2^2^2^2^2^2", "an exponent is at most 16"),
    "many powers": ("W + k*A@B | k = " + "^".join(["16"] * 60), "an exponent is at most 16"),
    "an infinite number": ("W + A@B | r = 1e999", "a number has at most 40 digits"),
    "a slow number": ("W + 1e999999999*A@B", "a number has at most 40 digits"),
    "many digits": ("W + " + "9" * 5_000 + "*A@B", "a number has at most 40 digits"),
    "a large factor": ("W + A@B | A : 2^16 x 2^16", "is at most 2^31"),
    "a bell": ("W + \a A@B", "a control or invisible character (U+0007) stands here"),
    "a null byte": ("W + A\0@B", "a control or invisible character (U+0000) stands here"),
    "a terminal's colours": ("\x1b[31mW + A@B", "a control or invisible character (U+001B) stands here"),
    "text that runs backwards": ("W + A@B \u202e", "a control or invisible character (U+202E) stands here"),
    "half a character": ("W + \udcff", "a control or invisible character (U+DCFF) stands here"),
}  # fmt: skip


def test_the_definition_that_is_too_much_is_marked(run: Run) -> None:
    result = run("explain", "--", chain("A@B", "NEW = OLD + OLD", "W' = W + LAST"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[:3] == [f"<spec>:14:7: {MANY}", "  d13 = d12 + d12", "        ^^^^^^^^^"]


def test_nine_doublings_are_explained(run: Run) -> None:
    result = run("explain", "--", chain("A@B", "NEW = OLD + OLD", "W' = W + LAST", 10))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "W' - W has rank at most 512*r" in result.stdout


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused(name: str, run: Run) -> None:
    text, message = HOSTILE[name]
    result = run("check", "--", text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_the_same(name: str, run: Run) -> None:
    text, message = HOSTILE[name]
    with open("hostile.spec", "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    is_readable = len(text) <= 65_536 and "\udcff" not in text
    result = run("check", "hostile.spec")
    assert (result.exit_code, result.stdout) == (1 if is_readable else 2, "")
    assert (message if is_readable else "`hostile.spec` is") in result.stderr


def test_an_error_shows_a_short_piece_of_a_long_line(run: Run) -> None:
    result = run("check", "W + A@B + " + " " * 30_000 + "alhpa * A@B" + " " * 30_000)
    assert max(map(len, result.stderr.splitlines())) <= 102
    assert "\n      alhpa" not in result.stderr
    assert "alhpa * A@B" in result.stderr
    assert "^^^^^" in result.stderr


@pytest.mark.parametrize(
    "setting", ["r=1e999999999", "r=" + "9" * 100_000, "r=1/0", "r=inf", "r=-inf", "r=nan", "r=0x10"]
)
def test_a_hostile_setting_is_refused(setting: str, run: Run) -> None:
    result = run("check", "lora", "--set", setting)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("`r`")


@pytest.mark.parametrize("length", [300, 5_000_000])
def test_a_file_name_too_long_for_any_file_names_none(length: int, run: Run) -> None:
    result = run("check", "a" * length + ".spec")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("there is no file `aaa")
    assert len(result.stderr) < 200


@pytest.mark.parametrize("name", ["self", "text_or_path"])
def test_a_setting_with_an_unlucky_name_is_unknown(name: str, run: Run) -> None:
    result = run("check", "lora", "--set", f"{name}=3")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, f"no hyper-parameter `{name}` is used by the spec")
