"""PEFT's adapter and ours in training with the same dropout: both draw from the same seed in every pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import specdsl
from specdsl.runtime.interchange.import_peft import spec_of
from specdsl.runtime.interchange.peft_reading import reading_of
from tests.parity import peft_pair
from tests.parity.deviations import MERGED, deviations
from tests.parity.dropout_methods import Dropped
from tests.parity.layers import one_layer
from tests.parity.peft_methods import Configuration
from tests.parity.peft_pair import ADAPTED, Pair

DRAWS = range(6)


class Seeded(nn.Module):
    """A model whose every pass draws the same numbers.

    Attributes:
        seed: of the draws.
        skipped: how many numbers are left out at first.
    """

    def __init__(self, model: nn.Module, skipped: int = 0) -> None:
        super().__init__()
        self.model, self.seed, self.skipped = model, 0, skipped

    def forward(self, x: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            torch.rand(self.skipped)
            y: Tensor = self.model(x)
        return y


@dataclass(frozen=True)
class TrainingPair(Pair):
    """Both in training mode; `seed` makes them draw other numbers."""

    def seed(self, value: int) -> None:
        self.ours.seed = self.theirs.seed = value  # type: ignore[assignment]


@contextmanager
def drawing_in(dtype: torch.dtype) -> Iterator[None]:
    """PEFT draws ranks and modules in the default dtype, ours in that of the model."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def training_pair(dropped: Dropped, one: Configuration, dtype: torch.dtype) -> TrainingPair:
    """Both in training mode, with the factors of PEFT's."""
    pair = peft_pair.trained_pair(dropped.method, one, dtype)
    fields, tensors = peft_pair.fields_and_tensors(pair.theirs)
    base, _ = one_layer(one.layer, one.sizes, dtype)
    settings = spec_of(reading_of(base, fields, tensors)).settings
    values: dict[str, Any] = {key: value for key, value in settings.items() if key in ("r", "alpha")}
    values["p"] = one.options[dropped.probability]
    ours = copy.deepcopy(base)
    adapter = specdsl.attach(ours, specdsl.parse(dropped.text, **values), on=f"re:{ADAPTED}", dtype=dtype)
    with torch.no_grad():
        for _, name, value in adapter.factors():
            value.copy_(pair.factors[name])
    theirs = Seeded(pair.theirs.train())
    return TrainingPair(
        theirs, Seeded(ours.train(), dropped.drawn_before), adapter, pair.x, pair.factors, pair.parameters
    )  # fmt: skip


def dropout_deviations(dropped: Dropped, one: Configuration, dtype: torch.dtype) -> dict[str, float]:
    """The worst deviation of output and gradients over several draws."""
    with drawing_in(dtype):
        pair, found = training_pair(dropped, one, dtype), []
        for seed in DRAWS:
            pair.seed(seed)
            found.append(deviations(pair, (MERGED,)))
    return {what: max(one[what] for one in found) for what in found[0]}
