"""Which layer types a spec can be attached to and merged into, and why not others.

A small layer of the type stands for all: the spec is laid over it exactly as over a model, so that this is what
attaching would say. Its sizes have many divisors; a size condition may still fail, and then that is the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from specdsl.errors import SpecError, SpecErrors, SpecMergeError
from specdsl.runtime.attach import attach_survey
from specdsl.runtime.mergeable import check_mergeable
from specdsl.runtime.survey import survey
from specdsl.spec import Spec


class Experts(nn.Module):
    """Parameters of three axes, one matrix for each expert."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(3, 24, 48))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.up


class Matrix(nn.Module):
    """A parameter of two axes, read by name."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(24, 48))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.up


@dataclass(frozen=True)
class LayerType:
    """A layer type with a small layer of it.

    Attributes:
        make: the layer.
        part: the name of the parameter in it that is adapted; empty where it is the layer itself.
    """

    make: Callable[[], nn.Module]
    part: str = ""


LAYER_TYPES: Mapping[str, LayerType] = {
    "Linear": LayerType(lambda: nn.Linear(24, 48)),
    "Conv1D": LayerType(lambda: Conv1D(48, 24)),  # type: ignore[no-untyped-call]
    "Conv1d": LayerType(lambda: nn.Conv1d(8, 48, 3)),
    "Conv2d": LayerType(lambda: nn.Conv2d(8, 48, 3)),
    "Conv2d 1x1": LayerType(lambda: nn.Conv2d(24, 48, 1)),
    "Conv3d": LayerType(lambda: nn.Conv3d(4, 48, (3, 2, 2))),
    "Conv2d in groups": LayerType(lambda: nn.Conv2d(16, 96, 3, groups=2)),
    "Embedding": LayerType(lambda: nn.Embedding(96, 24)),
    "MultiheadAttention": LayerType(lambda: nn.MultiheadAttention(24, 2), "in_proj_weight"),
    "LayerNorm": LayerType(lambda: nn.LayerNorm(24)),
    "RMSNorm": LayerType(lambda: nn.RMSNorm(24)),
    "matrix parameter": LayerType(Matrix, "up"),
    "experts": LayerType(Experts, "up"),
}
"""The layer types by the names that tables of support have for them."""


@dataclass(frozen=True)
class Support:
    """Whether a spec runs on a layer type, and whether it merges there.

    Attributes:
        why_not_attached: None if it can be attached.
        why_not_merged: None if it can be merged as well.
    """

    why_not_attached: str | None
    why_not_merged: str | None

    @property
    def is_attached(self) -> bool:
        return self.why_not_attached is None

    @property
    def is_merged(self) -> bool:
        return self.why_not_merged is None


def support(spec: Spec, layer_type: str) -> Support:
    """Whether `spec` can be attached to layers of a type, and merged into them; with the reason if not.

    Args:
        spec: a spec with its settings; where it goes (`on`) and what it does at events play no part.
        layer_type: a name of `LAYER_TYPES`.

    >>> import specdsl
    >>> support(specdsl.parse("W + A@B"), "experts")
    Support(why_not_attached=None, why_not_merged=None)
    >>> support(specdsl.parse("y + relu(x)@A@B"), "Embedding").why_not_attached
    'an embedding, whose input is one-hot and never built, but the spec reads x as an array'
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = LAYER_TYPES[layer_type].make()
    model = nn.ModuleDict({_PLACE: layer})
    name = ".".join(part for part in (_PLACE, LAYER_TYPES[layer_type].part) if part)
    try:
        adapter = attach_survey(model, survey(model, spec, on=[f"re:{name}"]), events=False)
    except SpecError as error:
        reason = _plain(error, name)
        return Support(reason, reason)
    try:
        check_mergeable(adapter)
    except SpecMergeError as error:
        return Support(None, _plain(error, name))
    return Support(None, None)


_PLACE = "layer"


def _plain(error: SpecError, name: str) -> str:
    first = error.errors[0] if isinstance(error, SpecErrors) else error
    message = first.message.removeprefix(f"`{name}` ")
    for beginning in ("cannot carry this spec: ", "cannot carry a spec: ", "is "):
        message = message.removeprefix(beginning)
    return message.replace(f" in `{name}`", "")
