from __future__ import annotations

import pytest

from specdsl.cli.placement_options import Placement, items_in
from specdsl.errors import SpecSettingError


def test_nothing_given_leaves_the_choice_to_the_spec() -> None:
    assert Placement.of((), (), None, ()) == Placement(None, [], None, None)


def test_items_are_separated_by_commas_and_by_options() -> None:
    assert items_in(["mlp, norm", "attention.query"]) == ["mlp", "norm", "attention.query"]


def test_commas_inside_brackets_belong_to_a_pattern() -> None:
    pattern = r"re:.*\.(query|key)\.\w{1,3}[a,b]"
    assert items_in([f"mlp,{pattern},norm"]) == ["mlp", pattern, "norm"]


@pytest.mark.parametrize("text", ["", ",", "mlp,", "mlp,,norm"])
def test_an_empty_item_is_refused(text: str) -> None:
    with pytest.raises(SpecSettingError, match="empty item"):
        items_in([text])


def test_layers_are_numbers_and_ranges() -> None:
    assert Placement.of((), (), "0..2, 7", ()).layers == [0, 1, 2, 7]
