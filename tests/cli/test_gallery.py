from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_a_folder_becomes_a_page(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine" / "inner").mkdir(parents=True)
    (tmp_path / "mine" / "first.spec").write_text("title: First\n\nW + A@B\n")
    (tmp_path / "mine" / "inner" / "second.spec").write_text("y + relu(x@A)@B\n")
    result = run("gallery", "mine", "-o", "pages")
    assert (result.exit_code, result.stdout) == (0, "2 specs in pages/index.html\n")
    files = {path.name for path in (tmp_path / "pages").iterdir()}
    assert files == {"index.html", "README.md", "first.svg", "second.svg"}
    page = (tmp_path / "pages" / "index.html").read_text("utf-8")
    assert '<section id="mine"><h2>mine</h2>' in page
    assert '<section id="inner"><h2>inner</h2>' in page
    assert 'href="../mine/inner/second.spec"' in page


def test_a_folder_without_specs_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("gallery", "empty", "-o", "pages")
    assert (result.exit_code, result.stderr) == (2, "there is no .spec file in the folder `empty`\n")


def test_a_folder_that_is_not_there_is_an_error(run: Run, tmp_path: Path) -> None:
    result = run("gallery", "nofolder", "-o", "pages")
    assert (result.exit_code, result.stderr) == (2, "there is no folder `nofolder`\n")
    (tmp_path / "one.spec").write_text("W + A@B\n")
    result = run("gallery", "one.spec", "-o", "pages")
    assert (result.exit_code, result.stderr) == (
        2, "`one.spec` is a file\n  hint: a gallery is of all .spec files of a folder\n"
    )  # fmt: skip


def test_one_spec_is_no_plural(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.spec").write_text("W + A@B\n")
    assert run("gallery", "mine", "-o", "pages").stdout == "1 spec in pages/index.html\n"
    assert "1 spec;" in (tmp_path / "pages" / "README.md").read_text()
    assert "<p>1 spec. Each card" in (tmp_path / "pages" / "index.html").read_text()


def test_names_must_differ(run: Run, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.spec").write_text("W + A@B\n")
    result = run("gallery", ".", "-o", "pages")
    assert result.exit_code == 2
    assert result.stderr.startswith("two files are called `same.spec`")


def test_a_mistake_in_a_spec_is_shown_as_elsewhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.spec").write_text("W + alhpa*A@B\n")
    result = run("gallery", ".", "-o", "pages")
    assert result.exit_code == 2
    assert result.stderr.startswith("wrong.spec:1:5: `alhpa` is not declared")
