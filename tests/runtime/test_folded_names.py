from __future__ import annotations

from specdsl.runtime.folded_names import folded_names


def test_names_that_differ_in_a_number_are_one() -> None:
    assert folded_names(["a.0.b", "a.1.b", "a.3.b"]) == ["a.{0..1, 3}.b"]


def test_several_numbers_are_folded_each() -> None:
    assert folded_names([f"block.{i}.layer.{j}.x" for i in range(2) for j in (0, 2)]) == ["block.{0..1}.layer.{0, 2}.x"]


def test_a_number_that_is_always_the_same_stays() -> None:
    assert folded_names(["h.0.mlp.2", "h.1.mlp.2"]) == ["h.{0..1}.mlp.2"]


def test_other_names_stay_in_their_order() -> None:
    assert folded_names(["z", "a.0", "conv1d", "a.1", "b.0"]) == ["z", "a.{0..1}", "conv1d", "b.0"]
