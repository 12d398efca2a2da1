from __future__ import annotations

import re
from fractions import Fraction

import pytest

import specdsl
from specdsl.library_specs import library_names
from specdsl.printing.count_text import factored

SIZES = {"n": 60, "m": 84, "c": 6, "kh": 3, "kw": 3, "r": 4, "layer": 0}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("W + A@B", "r (n + m)"),
        ("W + A@G@B", "r (n + m + r)"),
        ("b + d", "m"),
        ("W + D", "n m"),
        ("y + relu(x@A + a)@B + c", "r (n + m + 1) + m"),
        ("k = 4 | q : n/k x k*(k - 1)/2 ~ zeros | W' = blockdiag(cayley(skew_from(q))) @ W", "n (k - 1)/2"),
        ("W + (A@B) .* (C@D)", "2 r (n + m)"),
    ],
)
def test_what_terms_share_stands_before_a_bracket(spec: str, text: str) -> None:
    assert factored(specdsl.parse(spec).facts.trained) == text


def evaluated(text: str, values: dict[str, int]) -> Fraction:
    """The number that a text without functions says."""
    python = text.translate(str.maketrans({"²": "**2", "³": "**3"}))
    python = re.sub(r"(?<=[\w)]) (?=[\w(])", "*", python)
    python = re.sub(r"[A-Za-z]\w*", lambda name: f"Fraction({values[name[0]]})", python)
    return Fraction(eval(python, {"Fraction": Fraction}))


def test_every_count_of_the_library_says_the_same_number() -> None:
    compared = 0
    for name in library_names():
        spec = specdsl.parse(name)
        values = {**spec.hyperparameters, **SIZES}
        counts = [size for part in spec.parts or (spec,) for size in (part.facts.trained, part.facts.shared)]
        for size in (one for one in counts if "(" not in str(one)):
            assert evaluated(factored(size), values) == size.value(values), name
            compared += 1
    assert compared > 200
