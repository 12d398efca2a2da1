from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import specdsl
from specdsl.library_specs import library_path
from tests.cli.conftest import Run

UGLY = "W+A*B|orth(A)   # both matter\n# the rank\nr=4\n"


def test_a_file_is_formatted_in_place(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ugly.spec"
    file.write_text(UGLY)
    result = run("fmt", "ugly.spec")
    assert (result.exit_code, result.output) == (0, "formatted ugly.spec\n")
    assert file.read_text() == str(specdsl.parse(UGLY)) + "\n"
    assert run("fmt", "ugly.spec").output == ""


def test_meaning_and_comments_stay(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ugly.spec"
    file.write_text(UGLY)
    run("fmt", "ugly.spec")
    assert specdsl.parse(file.read_text()).ir == specdsl.parse(UGLY).ir
    assert "# both matter" in file.read_text()
    assert "# the rank" in file.read_text()


def test_check_changes_nothing_and_answers(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ugly.spec"
    file.write_text(UGLY)
    result = run("fmt", "--check", "ugly.spec")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "ugly.spec is not in the standard style\n"
    assert file.read_text() == UGLY
    file.write_text("W + A@B\n")
    assert (run("fmt", "--check", "ugly.spec").exit_code, run("fmt", "--check", "ugly.spec").output) == (0, "")


def test_diff_changes_nothing_and_shows(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "one.spec"
    file.write_text("W+A@B")
    result = run("fmt", "--diff", "one.spec")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[2:] == ["@@ -1 +1 @@", "-W+A@B", "\\ No newline at end of file", "+W + A@B"]
    assert file.read_text() == "W+A@B"


def test_standard_input_is_printed(run: Run) -> None:
    result = run("fmt", "-", text="W+A@B")
    assert (result.exit_code, result.output) == (0, "W + A@B\n")


def test_a_wrong_spec_is_refused_and_the_others_are_formatted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.spec").write_text("W+\n")
    (tmp_path / "b.spec").write_text("W+A@B\n")
    result = run("fmt", ".")
    assert (result.exit_code, result.stdout) == (2, "formatted b.spec\n")
    assert result.stderr.startswith("a.spec:1:2: an operand is missing after `+`\n")
    assert (tmp_path / "a.spec").read_text() == "W+\n"


def test_line_ends_and_permissions_stay(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "one.spec"
    file.write_bytes(b"W+A@B\r\nr=4\r\n")
    file.chmod(0o640)
    run("fmt", "one.spec")
    assert file.read_bytes() == b"r = 4\r\nW + A@B\r\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_link_stays_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "one.spec").write_text("W+A@B\n")
    (tmp_path / "link.spec").symlink_to("real/one.spec")
    run("fmt", "link.spec")
    assert (tmp_path / "link.spec").is_symlink()
    assert (tmp_path / "real" / "one.spec").read_text() == "W + A@B\n"


def test_a_failed_write_leaves_the_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "one.spec"
    file.write_text("W+A@B\n")
    monkeypatch.setattr(os, "replace", full)
    result = run("fmt", "one.spec")
    assert (result.exit_code, result.stderr) == (2, "`one.spec` cannot be written: No space left on device\n")
    assert [path.name for path in tmp_path.iterdir()] == ["one.spec"]
    assert file.read_text() == "W+A@B\n"


def test_the_library_is_in_the_standard_style(run: Run) -> None:
    lora = library_path("lora")
    assert lora is not None
    assert run("fmt", "--check", str(lora.parents[1])).output == ""
