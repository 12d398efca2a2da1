from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

import specdsl
from specdsl.library_specs import library_names
from specdsl.printing.formula import formula_blocks
from specdsl.printing.mathml import formula_mathml, mathml
from tests.spec_strategies import well_typed_specs

CHILDREN = {"mfrac": 2, "msup": 2, "msub": 2, "munder": 2, "msubsup": 3}
"""The elements whose children have each a meaning of their own."""


def assert_is_mathml(text: str) -> None:
    for element in ElementTree.fromstring(text).iter():
        if element.tag in CHILDREN:
            assert len(element) == CHILDREN[element.tag], element.tag


@pytest.mark.filterwarnings("ignore::specdsl.SpecWarning")
@settings(derandomize=True, deadline=None, max_examples=40)
@given(well_typed_specs())
def test_every_spec_gives_valid_mathml(text: str) -> None:
    for _, rows in formula_blocks(specdsl.parse(text)):
        assert_is_mathml(mathml(rows))


@pytest.mark.parametrize("name", library_names())
def test_library_specs_give_valid_mathml(name: str) -> None:
    for _, rows in formula_blocks(specdsl.parse(name)):
        assert_is_mathml(mathml(rows))


def test_a_row_is_two_cells_aligned_at_its_sign() -> None:
    assert mathml(["a &= b"]).count("<mtd>") == 2


def test_a_fraction_and_a_prime() -> None:
    assert formula_mathml(r"\frac{\alpha}{r}") == "<mfrac><mi>α</mi><mi>r</mi></mfrac>"
    assert "′" in formula_mathml("W'")


def test_signs_of_markup_are_escaped() -> None:
    assert formula_mathml("i < k") == (
        '<mrow><mi>i</mi><mspace width="0.17em"/><mo>&lt;</mo><mspace width="0.17em"/><mi>k</mi></mrow>'
    )
