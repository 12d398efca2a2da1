"""Attention over more keys and values than there are tokens: the rows that `y' = [P; y]` adds to their projections.

The attention of transformers splits keys and values into heads by the number of tokens, so the projections give the
rows of the tokens alone, and the added ones join them where the attention itself is computed, in front and seen by
every token. Keys and values in a cache are those of the tokens; rows that were added are keys as they are, not rotated.
Where scores have a bias of relative positions (T5), the rows stand in front of the first token.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from specdsl.errors import SpecSettingError
from specdsl.lowering.adapted import adapters_of
from specdsl.lowering.module_adapters import ModuleAdapters

NAME = "specdsl_prefixed"
"""The name under which transformers knows this attention."""

IMPLEMENTATIONS = ("eager", "sdpa")

SEEN = "specdsl_seen"
"""The argument of a pass that says how many tokens a cache holds, where scores depend on it."""


class PrefixedConfig:
    """The configuration of an attention, which names another implementation while rows are added.

    Args:
        config: the one that the attention had.
        attention: the attention.
        projections: the names in it of the projections that add rows: key and value, or the fused one.
        biased: the attention that computes the bias of relative positions for all blocks, where there is one.
    """

    def __init__(
        self, config: Any, attention: nn.Module, projections: Sequence[str], biased: nn.Module | None = None
    ) -> None:
        own = {"config": config, "attention": attention, "projections": tuple(projections), "biased": biased}
        self.__dict__.update(own)

    @property
    def _attn_implementation(self) -> Any:
        return NAME if self.added_rows else self.config._attn_implementation

    @property
    def states(self) -> list[ModuleAdapters]:
        """What the projections carry."""
        found = (adapters_of(self.attention.get_submodule(name)) for name in self.projections)
        return [state for state in found if state is not None]

    @property
    def added_rows(self) -> int:
        """How many rows the running adapters add."""
        return max((state.added_rows for state in self.states), default=0)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "config" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.config, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.config, name, value)


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """The attention of `module` with the rows that its projections have added in front of keys and values.

    Args:
        module: the attention; its configuration is a `PrefixedConfig`.
        query, key, value: `batch x heads x tokens x width`.
        attention_mask: `batch x 1 x tokens x keys`, or None.

    Raises:
        SpecSettingError: the model computes attention by something else than `IMPLEMENTATIONS`.
    """
    config: Any = module.config
    implementation = config.config._attn_implementation
    if implementation not in IMPLEMENTATIONS:
        raise SpecSettingError(
            f"rows cannot be added to keys and values under the attention `{implementation}`",
            hint='load the model with `attn_implementation="sdpa"`',
        )
    taken = [_taken(module, name) for name in config.projections]
    width = key.shape[1] * key.shape[3]
    keys, values = taken if len(taken) == 2 else (taken[0][..., -2 * width : -width], taken[0][..., -width:])
    rows = keys.shape[-2]
    mask = _mask(module, query, key, attention_mask, rows, implementation, options.get("is_causal"))
    if options.get("position_bias") is not None:
        seen = options.pop(SEEN, key.shape[2] - query.shape[2])
        options["position_bias"] = _with_rows(config.biased, options["position_bias"], rows, seen)
    key, value = (torch.cat([_heads(added, of), of], 2) for added, of in ((keys, key), (values, value)))
    eager = inspect.getmodule(type(module)).eager_attention_forward  # type: ignore[union-attr]
    run = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager)
    found: tuple[Tensor, Tensor | None] = run(module, query, key, value, mask, **options)
    return found


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)


def _taken(module: nn.Module, name: str) -> Tensor:
    state = adapters_of(module.get_submodule(name))
    rows = None if state is None else state.take_rows()
    if rows is None:
        raise SpecSettingError(
            f"an attention of this {type(module).__name__} has been given no rows by its `{name}` in this pass",
            hint="was the adapter switched on or off while the pass was under way?",
        )
    return rows


def _with_rows(biased: Any, bias: Tensor, rows: int, seen: int) -> Tensor:
    """The bias of relative positions, `1 x heads x tokens x keys`, with columns for the rows in front of all tokens."""
    front: Tensor = biased.compute_bias(bias.shape[-2], rows, past_seen_tokens=seen + rows)
    return torch.cat([front.to(bias).expand(*bias.shape[:-1], rows), bias], -1)


def _heads(rows: Tensor, like: Tensor) -> Tensor:
    """`batch x rows x (heads * width)` as `batch x heads x rows x width`."""
    split = rows.to(like.dtype).reshape(*rows.shape[:-1], like.shape[1], like.shape[3]).transpose(-2, -3)
    return split.expand(like.shape[0], -1, -1, -1)


def _mask(
    module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, rows: int, implementation: str,
    is_causal: bool | None,
) -> Tensor | None:  # fmt: skip
    """The mask with columns for the added rows, which every token sees."""
    if mask is None:
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        if implementation == "eager" or not causal or query.shape[2] == 1:
            return None
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()[None, None]
    return pad(mask, (rows, 0), value=True if mask.dtype == torch.bool else 0.0)
