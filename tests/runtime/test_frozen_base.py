"""The base is frozen while adapters are attached, in whatever order they come and go."""

from __future__ import annotations

import itertools

import pytest
from torch import nn

from specdsl.errors import SpecSettingError
from specdsl.runtime.frozen_base import base_parameters, check_trained_whole, freeze, release

NAMES = ("0.weight", "0.bias", "1.weight", "1.bias")


def model_of(*frozen: str) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    return model


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("order", list(itertools.permutations(["one", "two", "three"])))
def test_the_last_release_gives_back_what_was(order: tuple[str, ...]) -> None:
    model = model_of("0.bias")
    before, attributes = trained(model), set(vars(model))
    freeze(model, "one", [("1", model[1])])
    freeze(model, "two", [])
    freeze(model, "three", [])
    assert trained(model) == {"1.weight", "1.bias"}
    for name in order:
        release(model, name)
    assert trained(model) == before
    assert set(vars(model)) == attributes


def test_what_an_adapter_trains_is_frozen_with_its_release() -> None:
    model = model_of()
    freeze(model, "one", [("1", model[1])])
    freeze(model, "two", [])
    release(model, "one")
    assert trained(model) == set()


def test_releasing_twice_does_nothing() -> None:
    model = model_of("0.bias")
    freeze(model, "one", [])
    release(model, "one")
    release(model, "one")
    assert trained(model) == set(NAMES) - {"0.bias"}


def test_a_parameter_of_two_names_comes_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert [name for name, _ in base_parameters(model)] == ["0.weight", "0.bias", "1.bias"]


def test_two_adapters_do_not_train_the_same() -> None:
    model = model_of()
    freeze(model, "one", [("1", model[1])])
    check_trained_whole(model, [("0", model[0])], [])
    with pytest.raises(SpecSettingError, match="`1` is trained whole by the adapter `one` already"):
        check_trained_whole(model, [("1", model[1])], [])
