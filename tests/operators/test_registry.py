"""Registering operators: what a name and a form in torch may be."""

from __future__ import annotations

from typing import Any

import pytest

from specdsl.errors import SpecNameError
from specdsl.operators.registry import Operator, Option, add_operator, find_operator


def registered(**parts: Any) -> Operator:
    return add_operator(Operator(**{"name": "fresh", "signature": "..., ... -> ...", "value": None, "doc": ""} | parts))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"name": "svd"}, "an operator `svd` exists already"),
        ({"name": "two words"}, "`two words` is no name for an operator"),
        ({"torch": "torch.f({0}, {2})"}, "the form of `fresh` in torch reads `{2}`, which is none of its arrays"),
        ({"torch": "torch.f({0}, {k})"}, "the form of `fresh` in torch reads `{k}`, which is none of its arrays"),
        ({"torch": "torch.f({0"}, "the form of `fresh` in torch is no template"),
    ],
)
def test_what_cannot_be_an_operator_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecNameError) as caught:
        registered(**parts)
    assert message in str(caught.value)
    assert find_operator("fresh") is None


def test_the_error_lists_what_a_form_may_read() -> None:
    with pytest.raises(SpecNameError) as caught:
        registered(torch="{0} ** {p}", options=(Option("power", "number"),))
    assert "options are all, like, power, shape" in caught.value.render()
