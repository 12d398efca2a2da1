"""Prompts and prefixes of PEFT with the same factors: the same logits, gradients and start as a spec."""

from __future__ import annotations

import pytest
import torch

from tests.parity.deviations import FACTORS, FORWARD
from tests.parity.prompt_methods import PROMPTS, PromptMethod
from tests.parity.prompt_pair import deviations, effect, own_factors, pair_at_start, trained_pair
from tests.parity.references import tolerances
from tests.parity.starts import SEEDS, Start, assert_same_distribution

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # by PEFT
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
CASES = {f"{method.spec}, {one.what}": (method, one) for method in PROMPTS for one in method.settings}
METHODS = {method.spec: method for method in PROMPTS}


@pytest.mark.parametrize("case", CASES)
def test_logits_and_gradients_are_those_of_peft(case: str) -> None:
    method, one = CASES[case]
    for dtype, tolerance in tolerances(method):
        pair = trained_pair(method, one, dtype)
        assert effect(pair) > 1e-4
        found = deviations(pair)
        assert found.keys() == {FORWARD, FACTORS}
        assert {what: value for what, value in found.items() if not value <= tolerance} == {}


def start_of(method: PromptMethod, seed: int) -> Start:
    pair = pair_at_start(method, method.settings[0], torch.float32, seed)
    theirs = pair.as_ours({name: value.detach() for name, value in pair.parameters.items()})
    ours = {key: value.detach() for key, value in own_factors(pair.adapter).items()}
    names = [name for _, name in ours]
    joined = ({name: torch.cat([side[key].flatten() for key in ours if key[1] == name]) for name in names}
              for side in (ours, theirs))  # fmt: skip
    return Start(*joined, 0.0, 0.0)


@pytest.mark.parametrize("name", METHODS)
def test_factors_start_as_those_of_peft(name: str) -> None:
    method = METHODS[name]
    starts = [start_of(method, seed) for seed in SEEDS]
    assert method.spread.keys() <= starts[0].ours.keys()
    for factor in starts[0].ours:
        spread = method.spread.get(factor, 1)
        if spread is not None:
            assert_same_distribution(starts, factor, spread)


def test_every_method_with_rows_is_compared_in_four_settings() -> None:
    assert all(len(method.settings) >= 4 for method in PROMPTS)
    assert all(method.settings[0].what.startswith("default") for method in PROMPTS)
