"""The role that each module of a model plays, as specs name it: `attention.query`, `mlp.down`, `norm`, ...

Linear maps of a block get their role from the table of their family (`specdsl.runtime.families`); norms and
convolutions get it from their class, everywhere but in the head; `embedding` is the embedding of tokens
alone, and `head` is the task head and the output layer. A pooler and embeddings of positions have no role:
only a regular expression reaches them. In a model of several towers the role begins with its tower,
`decoder.attention.query`.

A model of an unknown type has no roles for attention and mlp; `norm`, `conv`, `embedding` and `head` work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from specdsl.lowering.sites import HeldParameter, attention_output, held_parameters, site_of
from specdsl.role_names import GROUPS, split_tower
from specdsl.runtime.families import FAMILIES, HEADS, Family


@dataclass(frozen=True)
class SiteRow:
    """A module, as a spec can name it.

    Attributes:
        name: its name in the model.
        role: its role, with its tower where the model has several; None where it has none.
        layer: the number of its block, counted in its tower; None outside the blocks.
    """

    name: str
    role: str | None
    layer: int | None
    module: nn.Module


def describe(model: nn.Module, adaptable: Callable[[nn.Module], bool] | None = None) -> list[SiteRow]:
    """The modules that can carry a spec, in model order.

    >>> from specdsl.runtime.architectures import build
    >>> row = describe(build("t5-small"))[4]
    >>> row.name, row.role, row.layer
    ('encoder.block.0.layer.0.SelfAttention.v', 'encoder.attention.value', 0)
    """
    check = adaptable or is_adaptable
    return [row for row in locate(model) if check(row.module)]


def locate(model: nn.Module) -> list[SiteRow]:
    """Every module of the model, whether it can carry a spec or not."""
    names = _Names.of(model)
    return [SiteRow(name, names.role(name, module), names.layer(name), module) for name, module in named_layers(model)]


def named_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model, and after each those of its parameters that stand for a layer of their own.

    >>> from torch.nn import MultiheadAttention
    >>> [name for name, _ in named_layers(MultiheadAttention(4, 2))]
    ['', 'in_proj_weight', 'out_proj']
    """
    for name, module in model.named_modules():
        if ".specdsl." in f".{name}.":
            continue
        output = attention_output(module)
        yield name, output or module
        if output is None and site_of(module) is None:
            for held in held_parameters(module):
                yield f"{name}.{held.attribute}" if name else held.attribute, held


def heads(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The heads as whole modules: `classifier`, not the linear maps inside it."""
    names = _Names.of(model)
    found: list[tuple[str, nn.Module]] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{whole}.") for whole, _ in found)
        if names.in_head(name, module) and not inside:
            found.append((name, module))
    return found


def find_family(model: nn.Module) -> Family | None:
    """The family that names the model's modules, or None for one whose type or names are not in the table."""
    model_type = model_type_of(model)
    family = next((family for family in FAMILIES if model_type in family.model_types), None)
    if family is None:
        return None
    known = any(_linear_role(name, family) for name, module in model.named_modules() if is_linear(module))
    return family if known else None


def model_type_of(model: nn.Module) -> str | None:
    """What `transformers` calls the model's type, such as `deberta-v2`."""
    found = getattr(getattr(model, "config", None), "model_type", None)
    return found if isinstance(found, str) else None


def answers(role: str | None, item: str) -> bool:
    """Whether a module of that role is meant by `item`: a role or a group, with a tower or without.

    >>> answers("decoder.mlp.up", "mlp"), answers("decoder.mlp.up", "encoder.mlp")
    (True, False)
    """
    if role is None:
        return False
    tower, plain = split_tower(role)
    wanted_tower, wanted = split_tower(item)
    if wanted_tower and wanted_tower != tower:
        return False
    return plain == wanted or (wanted in GROUPS and plain.startswith(f"{wanted}."))


def is_linear(module: nn.Module) -> bool:
    """Whether the module is a linear map with a weight of its own."""
    if isinstance(module, HeldParameter):
        return module.role is not None
    return isinstance(module, nn.Linear | Conv1D)


def is_adaptable(module: nn.Module) -> bool:
    """Whether specs can be lowered to such a module.

    True for `nn.Linear`, GPT-2's `Conv1D`, `nn.Embedding`, convolutions, LayerNorm and RMSNorm with a weight, and
    parameters that a forward reads by name.
    """
    if attention_output(module) is not None:
        return False  # never runs; what carries a spec is its weight
    if is_linear(module) or isinstance(module, nn.Embedding | nn.Conv1d | nn.Conv2d | nn.Conv3d | HeldParameter):
        return True
    known = isinstance(module, nn.LayerNorm) or type(module).__name__.endswith(("RMSNorm", "T5LayerNorm"))
    return known and _has_vector(module)


@dataclass(frozen=True)
class _Names:
    """What is needed to read the names of one model: its family, its token embedding, its output layer."""

    family: Family | None
    tokens: nn.Module | None
    output: nn.Module | None

    @classmethod
    def of(cls, model: nn.Module) -> _Names:
        return cls(find_family(model), _ask(model, "get_input_embeddings"), _ask(model, "get_output_embeddings"))

    def role(self, name: str, module: nn.Module) -> str | None:
        role = self._plain_role(name, module)
        towers = self.family.towers if self.family else {}
        tower = next((towers[part] for part in name.split(".") if part in towers), None)
        return f"{tower}.{role}" if tower and role else role

    def _plain_role(self, name: str, module: nn.Module) -> str | None:
        if isinstance(module, HeldParameter):
            return module.role
        if self.in_head(name, module):
            return "head" if is_linear(module) else None
        if isinstance(module, nn.Embedding):
            return "embedding" if self._holds_tokens(name, module) else None
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return "conv"
        if "Norm" in type(module).__name__ and _has_vector(module):
            return "norm"
        return _linear_role(name, self.family) if self.family and is_linear(module) else None

    def _holds_tokens(self, name: str, module: nn.Module) -> bool:
        if self.family is not None:
            pattern = self.family.embedding
            return pattern is not None and _ends(pattern).fullmatch(name) is not None
        return module is self.tokens or not isinstance(self.tokens, nn.Embedding)

    def layer(self, name: str) -> int | None:
        found = _block(self.family.block if self.family else "#").search(name)
        return int(found["layer"]) if found else None

    def in_head(self, name: str, module: nn.Module) -> bool:
        named = self.layer(name) is None and any(part in HEADS for part in name.split("."))
        return named or (self.output is not None and module is self.output)


def _linear_role(name: str, family: Family) -> str | None:
    roles = family.roles.items()
    return next((role for role, end in roles if _ends(f"{family.block}.{end}").fullmatch(name)), None)


@cache
def _ends(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:.*\.)?{_as_regex(pattern)}")


@cache
def _block(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|\.){_as_regex(pattern)}(?:\.|$)")


def _as_regex(pattern: str) -> str:
    return pattern.replace(".", r"\.").replace("#", r"(?P<layer>\d+)").replace("*", r"\d+")


def _has_vector(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.ndim == 1


def _ask(model: nn.Module, method: str) -> nn.Module | None:
    """What the model itself says its embedding or output layer is; None where it does not say."""
    try:
        found = getattr(model, method, lambda: None)()
    except NotImplementedError:
        return None
    return found if isinstance(found, nn.Module) else None
