"""Drawings are whole and alone: valid XML, named, within their frame, without anything from elsewhere."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given, settings

import specdsl
from specdsl.drawing.svg import drawing
from specdsl.library_specs import library_names
from tests.spec_strategies import well_typed_specs

SVG = "{http://www.w3.org/2000/svg}"
SIDES = ("x", "y", "width", "height")
BOX = {"trained", "computed", "frozen", "tokens", "given", "frame", "empty"}


def rectangles(element: Element, x: float = 0, y: float = 0) -> list[tuple[str, float, float, float, float]]:
    """Class, left, top, width and height of every rectangle, in the coordinates of the whole."""
    moved = re.match(r"translate\((\S+) (\S+)\)", element.get("transform", "translate(0 0)"))
    assert moved is not None
    x, y = x + float(moved[1]), y + float(moved[2])
    found = []
    if element.tag == f"{SVG}rect" and element.get("class") != "page":
        left, top, width, height = (float(element.get(name, "0")) for name in SIDES)
        found.append((element.get("class", ""), x + left, y + top, width, height))
    return found + [one for child in element for one in rectangles(child, x, y)]


def assert_is_a_drawing(text: str) -> None:
    root = ElementTree.fromstring(text)
    titles = [root.findtext(f"{SVG}{name}") for name in ("title", "desc")]
    assert all(titles)
    assert root.get("role") == "img"
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"<script|<image|@import|url\(", text)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for _, left, top, wide, high in rectangles(root):
        assert -0.2 <= left <= left + wide <= width + 0.2
        assert -0.2 <= top <= top + high <= height + 0.2


@pytest.mark.parametrize("name", library_names())
def test_every_method_of_the_library_is_drawn_within_its_frame(name: str) -> None:
    assert_is_a_drawing(drawing(specdsl.parse(name)))


@pytest.mark.filterwarnings("ignore::specdsl.SpecWarning")
@settings(derandomize=True, deadline=None, max_examples=60)
@given(well_typed_specs())
def test_any_spec_is_drawn_within_its_frame(text: str) -> None:
    assert_is_a_drawing(drawing(specdsl.parse(text)))


def test_matrices_are_in_proportion_and_coloured_by_who_moves() -> None:
    found = [one for one in rectangles(ElementTree.fromstring(drawing(specdsl.parse("lora")))) if one[0] in BOX]
    sizes = [(kind, width, height) for kind, _, _, width, height in found[:4]]
    (_, *adapted), (_, *weight), (left, *tall), (right, *flat) = sizes
    assert adapted == weight
    assert (left, right) == ("trained", "trained")
    assert tall[1] == weight[1]
    assert flat[0] == weight[0]
    assert tall[0] < weight[0] / 4
    assert flat[1] < weight[1] / 4


def test_rectangles_do_not_cut_each_other() -> None:
    found = [one for one in rectangles(ElementTree.fromstring(drawing(specdsl.parse("salt")))) if one[0] in BOX]
    for place, (_, left, top, width, height) in enumerate(found):
        for _, x, y, wide, high in found[place + 1 :]:
            apart = x >= left + width or left >= x + wide or y >= top + height or top >= y + high
            inside = left <= x and top <= y and x + wide <= left + width and y + high <= top + height
            assert apart or inside


def test_a_file_brings_its_page_in_both_colours() -> None:
    text = drawing(specdsl.parse("lora"))
    assert "prefers-color-scheme:dark" in text
    assert '<rect class="page" width="100%" height="100%"' in text


def test_within_a_page_rules_and_legend_are_left_to_it() -> None:
    text = drawing(specdsl.parse("lora"), identity="one", is_alone=False)
    assert "<style>" not in text
    assert 'id="one-title"' in text
    assert "trained" not in re.sub(r'class="[^"]*"', "", text)


def test_names_are_escaped() -> None:
    text = drawing(specdsl.parse("title: A < B & C\n\nW + A@B\n"))
    assert ElementTree.fromstring(text).findtext(f"{SVG}title") == "A < B & C"
