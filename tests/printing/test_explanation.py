"""How an explanation is laid out."""

from __future__ import annotations

from specdsl.printing.explanation import WIDTH, Explanation, Section

LONG = "words and more words " * 12


def shown(*sections: Section) -> list[str]:
    return str(Explanation("A method", sections, "b + d")).splitlines()


def test_columns_line_up_under_their_titles() -> None:
    _, _, *lines = shown(Section("factors", (("A", "n x r"), ("gain", "r")), ("name", "shape")))
    assert lines == ["factors", "  name  shape", "  A     n x r", "  gain  r", "", "resolved", "  b + d"]


def test_long_cells_wrap_in_their_column() -> None:
    lines = shown(Section("facts", (("rank", LONG, "why"),)))
    assert max(map(len, lines)) <= WIDTH
    assert sum("words" in line for line in lines) > 2
    assert all(line.startswith("        words") for line in lines if "words" in line and "rank" not in line)


def test_html_shows_the_same_and_escapes_it() -> None:
    html = Explanation("<W>", (Section("facts", (("a < b", "yes"),), ("must", "why")),), "b & d")._repr_html_()
    assert html.startswith("<h4>&lt;W&gt;</h4>")
    assert "a &lt; b</td>" in html
    assert "<th>must</th>" in html
    assert html.endswith("<pre>b &amp; d</pre>")
