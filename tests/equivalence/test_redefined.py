"""A verdict is about the operators that are registered when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import specdsl
from specdsl.operators import find_operator, remove_operator


@pytest.fixture(autouse=True)
def the_table_stays_as_it_was() -> Iterator[None]:
    yield
    if find_operator("grown") is not None:
        remove_operator("grown")


def register(factor: int) -> None:
    @specdsl.operator("grown", "n m -> n m", facts=["linear", "keeps_zero"], form="value", replace=True)
    def grown(xp, M):  # type: ignore[no-untyped-def]
        "`M`, or a multiple of it."
        return factor * M


def test_an_operator_registered_anew_is_another_one() -> None:
    register(1)
    assert specdsl.equivalent("W + grown(A@B)", "W + A@B").pointwise.relation == "="
    register(2)
    assert specdsl.equivalent("W + grown(A@B)", "W + A@B").pointwise.relation == "!="
