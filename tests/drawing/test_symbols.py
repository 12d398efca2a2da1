from __future__ import annotations

import specdsl
from specdsl.drawing.symbols import name_text, shape_text, size_text
from specdsl.sizes import Size


def test_names_have_greek_letters_and_indices() -> None:
    assert [name_text(name) for name in ("alpha", "A1", "lam", "W_q")] == ["α", "A₁", "lam", "W_q"]


def test_sizes_in_a_shape_keep_their_brackets() -> None:
    n, r = Size.symbol("n"), Size.symbol("r")
    assert shape_text((n, n - r)) == "n × (n − r)"
    assert shape_text((n / r, r)) == "n/r × r"


def test_every_number_of_a_spec_can_be_written() -> None:
    hyper = specdsl.parse("coft").ir.hyper
    assert {name: size_text(one.value) for name, one in hyper.items()} == {
        "r": "8", "alpha": "r", "k": "32", "eps": "6 · 10⁻⁵",
    }  # fmt: skip
