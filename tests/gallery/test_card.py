from __future__ import annotations

import pytest

import specdsl
from specdsl.gallery.card import Card


def card(text: str) -> Card:
    return Card("mine", "own", specdsl.parse(text))


def test_a_paper_has_its_address() -> None:
    assert card("lora").link == "https://arxiv.org/abs/2106.09685"
    assert card("orthogonal_init").link == "https://datta0.github.io/posts/rethink-lora-init"
    assert card("W + A@B").link is None


def test_lines_are_those_that_say_something() -> None:
    assert card("title: Mine\n\n# why\nW + A@B\n").lines == 2


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("lora", ["r (n + m)"]),
        ("lotr", ["r²", "r (n + m) shared"]),
        ("mos", ["e (n + m) shared"]),
        ("ia3_original", ["m on attention.key, attention.value", "n on mlp.down"]),
    ],
)
def test_parameters_of_a_module_and_of_what_modules_share(text: str, parameters: list[str]) -> None:
    assert card(text).parameters == parameters


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("lora", ["merges", "exactly a LoRA"]),
        ("adalora", ["merges", "rank ≤ r", "events in training"]),
        ("b + d", ["merges", "gives every layer a bias"]),
        ("parallel_adapter", ["does not merge"]),
        ("prompt_tuning", ["does not merge", "adds k tokens"]),
        ("eva", ["merges", "exactly a LoRA", "needs data"]),
    ],
)
def test_facts_in_a_few_words(text: str, facts: list[str]) -> None:
    assert card(text).facts == facts


def test_a_search_looks_at_names_texts_and_facts() -> None:
    text = card("dora").text
    assert all(word in text for word in ("dora", "2402.09353", "colnorm", "merges", "own"))
