"""Methods of PEFT and LyCORIS with the same factors: the same output, gradients, merged weight and start as a spec."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.parity.deviations import FACTORS, FORWARD, INPUT, MERGED, deviations, effect
from tests.parity.peft_pair import boft_extension
from tests.parity.references import all_methods, tolerances
from tests.parity.starts import SEEDS, assert_same_distribution, assert_same_up_to_signs, start_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # by the references, of their own defaults
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _boft_extension() -> Iterator[None]:
    with boft_extension():
        yield


CASES = {
    f"{reference.name}, {method.spec}, {one.what}": (reference, method, one)
    for reference, method in all_methods()
    for one in method.configurations
}
METHODS = {f"{reference.name}, {method.spec}": (reference, method) for reference, method in all_methods()}


@pytest.mark.parametrize("case", CASES)
def test_output_gradients_and_merged_weight_are_the_references(case: str) -> None:
    reference, method, one = CASES[case]
    for dtype, tolerance in tolerances(method):
        pair = reference.trained_pair(method, one, dtype)
        assert effect(pair) > 1e-6
        found = deviations(pair, (*method.without, *one.without))
        assert {what: value for what, value in found.items() if not value <= tolerance} == {}


@pytest.mark.parametrize("name", METHODS)
def test_factors_start_as_the_references(name: str) -> None:
    reference, method = METHODS[name]
    starts = [start_of(reference.fresh, method, seed) for seed in SEEDS]
    for factor, value in starts[0].ours.items():
        if value.dtype == torch.long or method.start not in ("same", "derived"):
            continue  # places come from another generator
        if method.start == "derived":
            assert_same_up_to_signs(starts[0], factor)
        else:
            assert_same_distribution(starts, factor, method.spread.get(factor, 1))


@pytest.mark.parametrize("name", METHODS)
def test_both_start_at_the_base_or_neither(name: str) -> None:
    reference, method = METHODS[name]
    start = start_of(reference.fresh, method, 0)
    if method.spec != "c3a":  # PEFT's starts elsewhere unless it is asked to
        assert (start.our_change < 1e-5) == (start.their_change < 1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_default_and_three_other_configurations_are_compared(name: str) -> None:
    _, method = METHODS[name]
    first, *others = method.configurations
    assert first.what == "default"
    assert len(others) >= 3
    compared = {FORWARD, INPUT, FACTORS, MERGED} - {*method.without}
    assert all(set(compared) - {*one.without} for one in method.configurations)
