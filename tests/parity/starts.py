"""Where the factors of both begin: constants, moments of random draws, what is derived from W; and the output there."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import specdsl
from specdsl.runtime.interchange.factors import factors_of
from specdsl.runtime.interchange.import_peft import values_of
from specdsl.runtime.interchange.peft_reading import reading_of
from specdsl.runtime.interchange.peft_spec import spec_of, text_of
from specdsl.spec import Spec, parse_text
from tests.parity import lycoris_pair, peft_pair
from tests.parity.deviations import relative
from tests.parity.layers import one_layer
from tests.parity.peft_methods import Configuration, Method

Factors = Mapping[str, Tensor]
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Start:
    """The factors of both as they begin, and how far their outputs are from the base's."""

    ours: Factors
    theirs: Factors
    our_change: float
    their_change: float


Fresh = Callable[[Method, Configuration, nn.Module, int], tuple[Any, Spec, Factors, dict[str, Any]]]
"""The reference's model, the spec, the reference's factors, and indices that are given."""


def fresh_peft(
    method: Method, one: Configuration, base: nn.Module, seed: int
) -> tuple[Any, Spec, Factors, dict[str, Any]]:
    theirs = peft_pair.peft_model(method, one, copy.deepcopy(base), seed).eval()
    found = reading_of(base, *peft_pair.fields_and_tensors(theirs))
    (row,) = {id(module.row): module.row for module in found.modules.values()}.values()
    spec = spec_of(found)
    if method.start_spec:
        spec = specdsl.parse(method.start_spec, **spec.settings)
    indices = {name: found.fields[field] for name, field in row.indices.items()}
    return theirs, spec, values_of(base, found)[peft_pair.ADAPTED], indices


def fresh_lycoris(
    method: Method, one: Configuration, base: nn.Module, seed: int
) -> tuple[Any, Spec, Factors, dict[str, Any]]:
    theirs = lycoris_pair.lycoris_model(method, one, copy.deepcopy(base), seed).eval()
    row = lycoris_pair.row_of(method, one)
    text, name = text_of(row, one.options)
    spec = parse_text(text, name, **{ours: one.options[their] for ours, their in row.settings.items()})
    tensors = dict(theirs.module.named_parameters())
    return theirs, spec, factors_of(row, one.options, lycoris_pair.site_in(base), tensors), {}


def start_of(fresh: Fresh, method: Method, seed: int) -> Start:
    """Both as they begin under the default configuration."""
    one = method.configurations[0]
    base, x = one_layer(one.layer, one.sizes, torch.float32)
    theirs, spec, factors, indices = fresh(method, one, base, seed)
    with torch.no_grad():
        bare = base(x)
        ours = copy.deepcopy(base)
        adapter = specdsl.attach(ours, spec, on=f"re:{peft_pair.ADAPTED}", seed=seed, events=False, **indices)
        own = {name: value.detach().clone() for _, name, value in adapter.factors()}
        changes = [relative(model(x), bare) for model in (ours, theirs)]
    return Start(own, {name: value.detach() for name, value in factors.items()}, *changes)


def assert_same_distribution(starts: list[Start], name: str, spread: float) -> None:
    """Constants are equal; what is drawn has the same mean, deviation and shape within the error of sampling."""
    ours, theirs = (torch.cat([side[name].flatten().double() for side in sides]) for sides in _sides(starts))
    if torch.allclose(ours, theirs, rtol=1e-6, atol=0):
        return
    assert theirs.std() > 0 < ours.std(), name
    error = 1 / math.sqrt(len(theirs))
    assert abs(theirs.mean()) < 5 * error * theirs.std(), name
    assert abs(ours.mean()) < 5 * error * ours.std(), name
    assert abs(theirs.std() / (spread * ours.std()) - 1) < 5 * error, (name, float(theirs.std() / ours.std()))
    assert abs(_shape(ours) - _shape(theirs)) < 28 * error, name


def _sides(starts: list[Start]) -> tuple[list[Factors], list[Factors]]:
    return [start.ours for start in starts], [start.theirs for start in starts]


def _shape(values: Tensor) -> float:
    """The fourth moment over the square of the second: 3 of normal values, 1.8 of uniform ones."""
    return float(values.pow(4).mean() / values.pow(2).mean() ** 2)


def assert_same_up_to_signs(start: Start, name: str) -> None:
    """Singular vectors have no sign of their own, so products over the axis of ranks are compared."""
    ours, theirs = (_without_signs(side[name]) for side in (start.ours, start.theirs))
    assert relative(ours, theirs) < 2e-5, name


def _without_signs(value: Tensor) -> Tensor:
    if value.dim() < 2:
        return value
    return value @ value.T if value.shape[0] > value.shape[1] else value.T @ value
