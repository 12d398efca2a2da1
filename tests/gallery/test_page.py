from __future__ import annotations

import re
from html.parser import HTMLParser

import specdsl
from specdsl.gallery.card import Card
from specdsl.gallery.page import page

VOID = {"meta", "input", "br", "img"}


class Checked(HTMLParser):
    """Demands that elements close in order, and collects ids, local links and what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if tag == "a" else []
        self.fetched += [str(given[name]) for name in ("src", "srcset") if name in given]
        self.fetched += [tag] if tag == "link" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def cards() -> list[Card]:
    own = specdsl.parse("title: Mine & <yours>\nnote: a < b\n\nW + A@B\n")
    return [Card("mine", "own", own, "mine.spec"), Card("lora", "other", specdsl.parse("lora"))]


def test_the_page_is_whole_and_fetches_nothing() -> None:
    found = Checked(page(cards(), "All"))
    assert found.fetched == []
    assert len(set(found.ids)) == len(found.ids)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)


def test_a_card_has_formula_drawing_and_source() -> None:
    text = page(cards(), "All")
    assert text.count("<article") == text.count("<math ") == text.count("<svg ") == 2
    assert 'href="mine.spec"' in text
    assert 'href="https://arxiv.org/abs/2106.09685"' in text
    assert "Mine &amp; &lt;yours&gt;" in text


def test_a_folder_of_ones_own_is_not_compared() -> None:
    assert "PEFT" not in page(cards(), "All")


def test_every_card_can_be_searched() -> None:
    assert len(re.findall(r'<article id="[^"]+" data-text="[^"]+">', page(cards(), "All"))) == 2
