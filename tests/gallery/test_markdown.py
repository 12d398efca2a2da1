from __future__ import annotations

import re

import specdsl
from specdsl.gallery.card import Card
from specdsl.gallery.markdown import markdown


def text(*cards: Card) -> str:
    return markdown(cards, "All", ".")


def test_links_of_the_table_lead_to_the_cards() -> None:
    found = text(Card("lora_fa", "extension", specdsl.parse("lora_fa"), "lora_fa.spec"))
    assert (
        set(re.findall(r"\(#([\w-]+)\)", found)) == set(re.findall(r'<a id="([\w-]+)">', found)) == {"method-lora-fa"}
    )
    assert 'src="./lora_fa.svg"' in found
    assert "```math\n\\begin{aligned}\nW' &= W + s\\, A B" in found


def test_rows_of_a_table_have_as_many_cells_as_its_head() -> None:
    found = text(*(Card(name, "a", specdsl.parse(name)) for name in ("lora", "ia3_original", "adalora")))
    rows = [line for line in found.splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {6}
