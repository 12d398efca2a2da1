"""The pages in docs/ and library_specs/ are those that `python scripts/gallery.py` writes from the specs of today."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from specdsl.gallery.compared import in_peft, peft_release
from specdsl.library_specs import library_names

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1_500_000


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    pages: Callable[[], dict[str, str]] = runpy.run_path(str(ROOT / "scripts" / "gallery.py"))["pages"]
    return pages()


def test_every_page_is_current(made: dict[str, str]) -> None:
    old = [
        name for name, text in made.items() if not (ROOT / name).is_file() or (ROOT / name).read_text("utf-8") != text
    ]
    assert old == [], "run `python scripts/gallery.py`"


def test_nothing_is_left_over(made: dict[str, str]) -> None:
    assert {f"docs/gallery/{path.name}" for path in (ROOT / "docs" / "gallery").iterdir()} <= made.keys()


def test_there_is_a_card_for_every_method(made: dict[str, str]) -> None:
    names = re.findall(r'<article id="([\w-]+)"', made["docs/gallery/index.html"])
    assert sorted(names) == sorted(name.replace("_", "-") for name in library_names())


@pytest.mark.parametrize("page", ["docs/gallery/README.md", "docs/gallery/index.html", "library_specs/README.md"])
def test_links_lead_somewhere(page: str, made: dict[str, str]) -> None:
    links = re.findall(r'\]\(([^)#]+)\)|(?:href|src)="([^"#]+)"', made[page])
    local = {link for pair in links for link in pair if link and not link.startswith("https://")}
    assert len(local) > 100
    assert [link for link in local if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_pages_stay_small(made: dict[str, str]) -> None:
    assert sum(len(text.encode()) for text in made.values()) < MOST_BYTES


def test_counted_methods_are_in_the_library() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "peft_lines.py"))
    named = {spec for specs in script["PLACES"].values() for spec in specs.split()} | {*script["OPTIMIZERS"].values()}
    assert named <= set(library_names())
    assert {name for name in library_names() if in_peft(name)} == named


def test_lines_of_peft_are_those_of_its_release() -> None:
    pytest.importorskip("peft")
    if version("peft") != peft_release():
        pytest.skip(f"the lines are those of PEFT {peft_release()}")
    counted = runpy.run_path(str(ROOT / "scripts" / "peft_lines.py"))["counted"]()["methods"]
    for name, one in counted.items():
        kept = in_peft(name)
        assert kept is not None
        assert (kept.place, kept.lines) == (f"peft/{one['place']}", one["lines"])
