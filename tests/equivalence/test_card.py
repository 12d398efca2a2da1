from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from specdsl.equivalence.card import card_text
from specdsl.equivalence.verdict import Result, SetResult, StartResult
from tests.equivalence.verdicts import WITNESS, verdict


def test_the_card_has_every_part() -> None:
    text = str(verdict())
    for part in (
        "Equivalence of LoRA (a) and DoRA (b)",
        "a  W + A@B\n",
        "certificate, reachable set\n  g := colnorm(W + A@B)",
        "witness, pointwise: n = 2, m = 2, r = 1",
        "a: A = [    1 ]    B = [ 10  0 ]    W' = [ 12  0 ]",
        "dimension: a 18, b >= 23 at n = 6, m = 5, r = 2",
        "  b: m*r + m + n*r",
        "assumptions\n  generic W\n  r >= 2\n  no zero column in W",
        "time: 0.12 s",
    ):
        assert part in text


def test_each_sense_is_a_line_with_symbol_and_status() -> None:
    lines = str(verdict()).splitlines()
    found = [re.split(r" {2,}", line) for line in lines if line.startswith(("pointwise", "reachable", "start"))]
    assert found == [
        ["pointwise", "a ≠ b", "equality refuted", "the witness has different values"],
        ["reachable set", "a ⊊ b", "proved", "a is b with g put in"],
        ["start", "kernel contained (a in b)", "proved", "both start at the base"],
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_card_keeps_to_its_width(width: int) -> None:
    assert max(map(len, card_text(verdict(), width).splitlines())) <= width


def test_relations_by_shape_and_translates_are_said() -> None:
    sets = SetResult("?", "unknown", reason="the cells differ", translate=True, by_shape={"n < m": "=", "n > m": "<"})
    text = str(verdict(set=sets))
    assert "the cells differ; each is the other moved by a fixed matrix; n < m: a = b, n > m: a ⊊ b" in " ".join(
        text.split()
    )


def test_the_closure_is_a_sentence() -> None:
    smaller = SetResult("<", "proved", closure="=")
    assert "the smallest algebraic sets that hold the two are equal: only inequalities" in " ".join(
        str(verdict(set=smaller)).split()
    )


def test_a_long_spec_is_called_by_its_letter() -> None:
    long = "V = W + A@B | g : m ~ colnorm(W) | W' = V@diag(g ./ colnorm(V))"
    assert str(verdict(a=long)).splitlines()[0] == "Equivalence of a and DoRA (b)"


def test_hyper_parameters_of_a_witness_are_those_of_each_spec() -> None:
    sizes = {"n": "2", "m": "2", "tokens": "1", "r": "1"}
    witness = replace(WITNESS, sizes=sizes, hyper_a={"r": "4", "c": "2"}, hyper_b={"r": "1", "c": "2"})
    text = str(verdict(pointwise=Result("!=", "refuted", witness=witness)))
    assert "witness, pointwise: n = 2, m = 2, r = 4 in a and 1 in b, c = 2\n" in text


def test_both_witnesses_of_incomparable_sets_are_shown() -> None:
    sets = SetResult("x", "refuted", witness=WITNESS, other_witness=replace(WITNESS, says="the other way"))
    assert str(verdict(set=sets)).count("witness, reachable set") == 2


def test_ratios_and_unknown_kernels_are_said() -> None:
    assert "kernel proportional (16 : 1)" in str(
        verdict(start=StartResult("?", "proved", kernel="proportional", ratio="16", identity_a=True))
    )
    text = str(verdict(start=StartResult("?", "unknown")))
    assert "kernel ?" in text
    assert "neither starts at the base" in text


class _Balanced(HTMLParser):
    """Counts open tags and gathers the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_shows_the_same_and_runs_nothing() -> None:
    hostile = verdict(a="<script>alert(1)</script>", pointwise=Result("!=", "refuted", reason="<b>a & b"))
    page = _Balanced()
    page.feed(hostile._repr_html_())
    assert page.open == []
    for part in ("<script>alert(1)</script>", "<b>a & b", "g := colnorm(W + A@B)", "a 18, b >= 23"):
        assert part in page.text


def test_markdown_tables_keep_their_columns() -> None:
    text = verdict(pointwise=Result("!=", "refuted", reason="a | b"))._repr_markdown_()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
