"""Methods of PEFT in training, with dropout: the same output and gradients as a spec that drops the same."""

from __future__ import annotations

import pytest
import torch

from tests.parity.deviations import FACTORS, FORWARD, INPUT
from tests.parity.dropout_methods import DROPOUT
from tests.parity.dropout_pair import dropout_deviations, training_pair
from tests.parity.references import tolerances

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT
CASES = {
    f"{dropped.method.spec}, {dropped.probability}, {place}, {one.what}": (dropped, one)
    for place, dropped in enumerate(DROPOUT)
    for one in dropped.method.configurations
}


@pytest.mark.parametrize("case", CASES)
def test_output_and_gradients_in_training_are_those_of_peft(case: str) -> None:
    dropped, one = CASES[case]
    for dtype, tolerance in tolerances(dropped.method):
        found = dropout_deviations(dropped, one, dtype)
        assert found.keys() == {FORWARD, INPUT, FACTORS}
        assert {what: value for what, value in found.items() if not value <= tolerance} == {}


@pytest.mark.parametrize("case", CASES)
def test_both_drop_something_in_training(case: str) -> None:
    dropped, one = CASES[case]
    pair = training_pair(dropped, one, torch.float32)
    bare = [model.model.eval()(pair.x) for model in (pair.ours, pair.theirs)]
    for model, whole in zip((pair.ours, pair.theirs), bare, strict=True):
        model.model.train()
        changes = []
        for seed in range(30):
            pair.seed(seed)
            changes.append(float((model(pair.x) - whole).abs().max()))
        assert max(changes) > 1e-3
