from __future__ import annotations

import json
from pathlib import Path

from specdsl.library_specs import library_names
from tests.cli.conftest import Run


def test_a_right_line_is_ok(run: Run) -> None:
    result = run("check", "W + A@G@B | orth(A)")
    assert (result.exit_code, result.output) == (0, "ok W + A@G@B | orth(A)\n")


def test_specs_are_files_folders_names_and_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "specs" / "inner").mkdir(parents=True)
    for place in ("mine.spec", "specs/b.spec", "specs/inner/a.spec", "plain.txt"):
        (tmp_path / place).write_text("W + A@B\n")
    (tmp_path / "specs" / "readme.txt").write_text("no spec")
    result = run("check", "mine.spec", "specs", "LoRA", "W + A@B", "plain.txt")
    assert result.exit_code == 0
    names = ["mine.spec", "specs/b.spec", "specs/inner/a.spec", "LoRA", "W + A@B", "plain.txt"]
    assert result.stdout.splitlines() == [f"ok {name}" for name in names]


def test_the_whole_library_is_right(run: Run) -> None:
    result = run("check", *library_names())
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == len(library_names())


def test_a_wrong_spec_is_told_and_the_others_are_checked(run: Run) -> None:
    result = run("check", "W + A@B", "W + alhpa*A@B", "b + d")
    assert result.exit_code == 1
    assert result.stdout == "ok W + A@B\nok b + d\n"
    assert result.stderr == (
        "<spec>:1:5: `alhpa` is not declared\n  W + alhpa*A@B\n      ^^^^^\n  hint: did you mean `alpha`?\n"
    )


def test_an_empty_spec_is_wrong(run: Run) -> None:
    for text in ("", " \n", "# nothing", "|"):
        result = run("check", text)
        assert result.exit_code == 1
        assert "the spec is empty" in result.stderr


def test_what_cannot_be_read_counts_more_than_what_is_wrong(run: Run) -> None:
    assert run("check", "W +", "nowhere.spec", "W + A@B").exit_code == 2
    assert run("check", "nowhere.spec", "W +").exit_code == 2


def test_standard_input_is_a_spec_too(run: Run) -> None:
    assert run("check", "-", text="W + A@B\non mlp\n").output == "ok -\n"
    assert run("check", "-", text=b"W + \xff").exit_code == 2
    assert run("check", "-", text="W +").stderr == "<stdin>:1:3: an operand is missing after `+`\n  W +\n    ^\n"


def test_standard_input_is_never_a_name(run: Run) -> None:
    assert run("check", "-", text="lora").stderr.startswith("<stdin>:1:1: `lora` is not declared\n")


def test_settings_are_checked_with_the_spec(run: Run) -> None:
    assert run("check", "lora", "--set", "r=4", "--set", "alpha=1/2").exit_code == 0
    assert run("check", "index I : r | W + scatter(v, I, n, m) | v : r ~ zeros", "--set", "I=[1, 2]").exit_code == 0
    wrong = run("check", "W + A@B | A : n x k/2 | k = 4", "--set", "k=3")
    assert wrong.exit_code == 1
    assert "k/2 is 1.5" in wrong.stderr


def test_a_library_name_is_not_hidden_by_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lora").write_text("W +\n")
    assert run("check", "lora").exit_code == 0
    assert run("check", "./lora").exit_code == 1


def test_json_has_an_entry_for_every_spec(run: Run) -> None:
    result = run("check", "--json", "W + A@B", "W + alhpa*A@B | orht(A)", "nowhere.spec")
    assert (result.exit_code, result.stderr) == (2, "")
    right, wrong, unreadable = json.loads(result.stdout)
    assert right == {"spec": "W + A@B", "ok": True}
    assert (wrong["ok"], wrong["line"], wrong["column"]) == (False, 1, 5)
    assert [error["hint"] for error in wrong["errors"]] == ["did you mean `alpha`?", "did you mean `orth`?"]
    assert unreadable["error"] == "there is no file `nowhere.spec`"
    assert unreadable["path"] is None


def test_a_name_beside_its_file_hints_the_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.spec").write_text("W + A@B\n")
    result = run("check", "mine")
    assert result.stderr == "the library has no method `mine`\n  hint: did you mean the file `mine.spec`?\n"
