"""Indices given at attach are held to what they pick from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import specdsl
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.errors import SpecSettingError
from specdsl.operators import Operator, all_operators
from specdsl.runtime.indices import index_ranges
from specdsl.sizes import Size

SCATTERED = "index I : k | k = 3 | W + scatter(v, I, n, m) | v : k ~ zeros"
TAKEN = "index I : k | k = 2 | frozen P ~ W[I, :] | W + A@P"
BOTH = "index I : k | k = 2 | frozen P ~ W[I, :] | W + A@P + scatter(v, I, n, m) | v : k ~ zeros"


def attached(spec: str, **values: Any) -> specdsl.Adapter:
    return specdsl.attach(nn.Sequential(nn.Linear(6, 4)), spec, on="re:0", **values)


@pytest.mark.parametrize(
    ("spec", "last"), [(SCATTERED, 6 * 4 - 1), (TAKEN, 5), (BOTH, 5)], ids=["scatter", "take", "both"]
)
def test_an_index_reaches_the_last_place_and_not_beyond(spec: str, last: int) -> None:
    factors = {name: value for _, name, value in attached(spec, I=[0, last]).factors()}
    assert factors["I"].tolist() == [0, last]
    with pytest.raises(SpecSettingError, match=rf"^the index `I` has a place outside 0\.\.{last}$"):
        attached(spec, I=[0, last + 1])


@pytest.mark.parametrize("value", [np.array([2, 0]), torch.tensor([2, 0]), (2, 0), range(2, -1, -2)])
def test_an_index_may_be_any_list(value: Any) -> None:
    assert attached(TAKEN, I=value).survey.indices == {"I": [2, 0]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"I": [0, -1]}, "the index `I` has a negative place"),
        ({"I": []}, "the index `I` is empty"),
        ({"I": 3}, "the index `I` is no list of whole numbers: 3"),
        ({"I": "ab"}, "the index `I` is no list of whole numbers: 'ab'"),
        ({"I": [0.5]}, "the index `I` is no list of whole numbers: [0.5]"),
        ({"I": [[0]]}, "the index `I` is no list of whole numbers: [[0]]"),
        ({"I": [0, 1], "k": 3}, "the index `I` has 2 places, but `k` is set to 3"),
    ],
)
def test_what_is_no_index_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecSettingError) as caught:
        attached(TAKEN, **values)
    assert caught.value.message == message


def test_the_length_of_an_index_sets_its_hyper_parameter() -> None:
    (member,) = attached(TAKEN, I=[0, 3, 5]).members
    assert member.layer.factor("A").shape == (6, 3)


def test_ranges_are_those_of_every_use() -> None:
    ranges = index_ranges(specdsl.parse(BOTH).ir, "I")
    assert set(map(str, ranges)) == {"n", str(Size.symbol("n") * Size.symbol("m"))}


WITH_INDICES = [one for one in all_operators() if one.index_ranges]


@pytest.mark.parametrize("operator", WITH_INDICES, ids=lambda one: one.name)
def test_an_operator_reads_places_within_its_range_only(operator: Operator) -> None:
    assert operator.samples is not None
    arrays, options = operator.samples(np.random.default_rng(0))
    shapes = [tuple(Size.of(size) for size in array.shape) for array in arrays]
    for position, size in (operator.index_ranges or {}).items():
        places = int(size(shapes, options).constant or 0)
        for place in (places - 1, places):
            changed = [*arrays]
            changed[position] = np.where(np.arange(len(arrays[position])) == 0, place, arrays[position])
            if place < places:
                operator.value(NUMPY, *changed, **options)
            else:
                with pytest.raises(IndexError):
                    operator.value(NUMPY, *changed, **options)


@pytest.mark.parametrize("operator", all_operators(), ids=lambda one: one.name)
def test_every_operator_with_an_index_says_so(operator: Operator) -> None:
    if operator.samples is not None:
        arrays, _ = operator.samples(np.random.default_rng(0))
        whole = {place for place, array in enumerate(arrays) if array.dtype.kind == "i"}
        assert set(operator.index_ranges or {}) == whole
