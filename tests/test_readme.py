"""The README's Python blocks run, in order, as a reader would type them; its error is the real one."""

import re
from pathlib import Path

import pytest

import specdsl
from specdsl.operators import remove_operator

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_tour_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    remove_operator("shifted")
    printed = capsys.readouterr().out
    assert "m*r + n*r\nTrue True\n4\n" in printed


def test_the_error_shown_is_the_real_one() -> None:
    shown = re.search(r"```text\n(<spec>:1:5.*?)\n```", README, re.DOTALL)
    assert shown is not None
    with pytest.raises(specdsl.SpecError) as caught:
        specdsl.parse("W + alhpa*A@B")
    assert str(caught.value) == shown.group(1)


def test_every_file_of_the_map_exists() -> None:
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert (root / target).exists(), target
