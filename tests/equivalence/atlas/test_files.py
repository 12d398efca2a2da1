from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

from specdsl.equivalence.atlas.cell import Cell
from specdsl.equivalence.atlas.containment import containment_of
from specdsl.equivalence.atlas.files import write_atlas
from specdsl.equivalence.atlas.method import Method

METHODS = [
    Method("lora", "extension", "W + A@B"),
    Method("same", "extension", "title: <script>alert(1)</script>\n\nW + A@G@B | G : r x r ~ eye"),
    Method("full", "reconstruction", "W + X | X : n x m ~ zeros  # </script>"),
]
SIGNS = {("lora", "same"): "=", ("lora", "full"): "<", ("same", "full"): "<"}
CELLS = {
    (a.name, b.name): Cell(set=SIGNS[a.name, b.name], set_status="proved", reason="x < y & z")
    for a, b in combinations(METHODS, 2)
}


def written(folder: Path) -> dict[str, str]:
    graph = containment_of([method.name for method in METHODS], CELLS)
    return {path.name: path.read_text(encoding="utf-8") for path in write_atlas(folder, METHODS, CELLS, graph)}


def test_the_picture_is_well_formed_and_has_every_method(tmp_path: Path) -> None:
    root = ET.fromstring(written(tmp_path)["containment.svg"])
    texts = "".join(part.text or "" for part in root.iter() if part.tag.endswith("text"))
    assert all(method.name in texts for method in METHODS)
    paths = [part for part in root.iter() if part.tag.endswith("path")]
    assert len(paths) == 1


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.cells = 0
        self.links: list[str] = []
        self.inside = ""
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.cells += tag == "td"
        self.links += [str(values[name]) for name in ("src", "href") if name in values]
        if tag == "script":
            self.scripts.append(values)
            self.inside = values.get("id") or "code"

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.data += data if self.inside == "data" else ""


def test_the_page_loads_nothing_and_runs_no_text_of_a_spec(tmp_path: Path) -> None:
    page = _Page()
    page.feed(written(tmp_path)["index.html"])
    assert page.links == []
    assert [script.get("id") for script in page.scripts] == ["data", None]
    assert page.cells == len(METHODS) ** 2
    data = json.loads(page.data)
    assert [one["title"] for one in data["methods"]] == ["lora", "<script>alert(1)</script>", "full"]
    assert data["classes"] == [["lora", "same"], ["full"]]


def test_every_pair_is_a_row(tmp_path: Path) -> None:
    rows = list(csv.DictReader(written(tmp_path)["pairs.tsv"].splitlines(), delimiter="\t"))
    assert [(row["a"], row["b"], row["set"]) for row in rows] == [(a, b, sign) for (a, b), sign in SIGNS.items()]
    assert rows[0]["reason"] == "x < y & z"
    assert re.fullmatch(r"true|false", rows[0]["translate"])
