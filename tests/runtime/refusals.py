"""That loading refuses, and leaves the model as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

import specdsl
from specdsl.errors import SpecError
from tests.runtime.small_models import same


def assert_refused(model: nn.Module, folder: Path, kind: type[SpecError], message: str) -> None:
    """Loading raises with `message` (`...` stands for anything), and the model is as it was."""
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.dim() > 1)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    grads = {key: (id(value), value.requires_grad) for key, value in model.named_parameters()}
    modules = {key: (type(module), sorted(vars(module))) for key, module in model.named_modules()}
    with pytest.raises(SpecError) as caught:
        specdsl.load(model, folder)
    pattern = re.escape(message.format(folder=folder)).replace(r"\.\.\.", ".+")
    assert re.fullmatch(pattern, caught.value.message), caught.value.message
    assert type(caught.value) is kind
    assert same(dict(model.state_dict()), state)
    assert {key: (id(value), value.requires_grad) for key, value in model.named_parameters()} == grads
    assert {key: (type(module), sorted(vars(module))) for key, module in model.named_modules()} == modules
