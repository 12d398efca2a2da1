"""Every spec of the library and many generated ones: the form's entries are the float64 reference's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specdsl.equivalence.subject import subjects
from specdsl.errors import SpecError
from specdsl.library_specs import library_names as names
from specdsl.spec import parse
from tests.equivalence.form_values import TooLarge, disagreement
from tests.equivalence.random_specs import Maker

CLOSE = 1e-8


def worst(text: str) -> float | None:
    """The worst disagreement of a spec; None where nothing can be compared."""
    try:
        one, _ = subjects(*[parse(text)] * 2)
        return disagreement(one)
    except (SpecError, TooLarge):
        return None


@pytest.mark.parametrize("name", names())
def test_a_method_of_the_library_has_the_form_of_its_value(name: str) -> None:
    assert (worst(name) or 0.0) < CLOSE


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_a_generated_spec_has_the_form_of_its_value(seed: int) -> None:
    with np.errstate(all="ignore"):
        assert (worst(Maker(seed).spec(2, 2)) or 0.0) < CLOSE
