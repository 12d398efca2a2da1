"""The adapters that one module carries, and what it holds while some are merged into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from specdsl.errors import SpecMergeError
from specdsl.lowering.finite import is_finite
from specdsl.lowering.layer_adapter import LayerAdapter
from specdsl.lowering.pass_value import PassValue
from specdsl.lowering.sites import LayerSite


@dataclass(frozen=True)
class Merged:
    """The weight and bias that hold some adapters, in the module's layout, beside those of the base."""

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor | None
    base_weight: Tensor
    base_bias: Tensor | None

    @property
    def is_finite(self) -> bool:
        return is_finite(self.weight) and (self.bias is None or is_finite(self.bias))


def _nothing(module: nn.Module, inputs: Any, output: Any) -> None:
    return None


class ModuleAdapters(nn.Module):
    """The adapters of one module, by name, and the base weights kept while some are merged."""

    kept_weight: Tensor | None
    kept_bias: Tensor | None

    def __init__(self, site: LayerSite) -> None:
        super().__init__()
        self.site = (site,)
        self.running: tuple[str, ...] = ()
        self.disabled: set[str] = set()
        self.merged: tuple[str, ...] = ()
        self.register_buffer("kept_weight", None, persistent=False)
        self.register_buffer("kept_bias", None, persistent=False)
        self.had_bias = site.bias is not None
        self.keeps_rows = False
        self.rows = PassValue[Tensor]()
        # A hook anywhere in it keeps nn.TransformerEncoderLayer from reading weights instead of running modules.
        self.register_forward_hook(_nothing)

    @property
    def adapters(self) -> dict[str, LayerAdapter]:
        return {name: child for name, child in self.named_children() if isinstance(child, LayerAdapter)}

    def add(self, name: str, adapter: LayerAdapter) -> None:
        self.add_module(name, adapter)
        self.refresh()

    def running_adapter(self, name: str) -> LayerAdapter:
        # Looked up in every pass: a replica of this module holds replicas of its adapters.
        adapter = self._modules[name]
        assert isinstance(adapter, LayerAdapter)
        return adapter

    def remove(self, name: str) -> None:
        delattr(self, name)
        self.disabled.discard(name)
        self.refresh()

    # ------------------------------------------------------------------------------------- added rows

    @property
    def added_rows(self) -> int:
        """How many rows the running adapters put in front of those of the tokens."""
        return sum(self.running_adapter(name).lowered.added_rows for name in self.running)

    def with_rows(self, y: Tensor, rows: Sequence[Tensor]) -> Tensor:
        """The output with the rows in front; without them where somebody else is to take them."""
        if not rows:
            return y
        if not self.keeps_rows:
            return torch.cat([*rows, y], -2)
        self.rows.put(torch.cat([*rows], -2))
        return y

    def take_rows(self) -> Tensor | None:
        """The rows that the last pass of this thread kept, once."""
        return self.rows.take()

    def refresh(self) -> None:
        """Decide once which adapters run."""
        self.running = tuple(name for name in self.adapters if name not in self.disabled and name not in self.merged)

    @property
    def base_site(self) -> LayerSite:
        """The site with the base's own weight, also while adapters are merged into it."""
        return self.base_site_in(self.site[0].module)

    def base_site_in(self, module: nn.Module) -> LayerSite:
        """The same in `module`, which is a replica of the adapted one where several devices share a batch."""
        own = self.site[0]
        site = own if module is own.module else type(own)(module)
        if not self.merged:
            return site
        assert self.kept_weight is not None
        return site.with_weight(self.kept_weight, self.kept_bias)

    # ------------------------------------------------------------------------------------------ merging

    def merged_with(self, names: tuple[str, ...]) -> Merged:
        """The base plus the differences of the named adapters; without names the very tensors of the base."""
        base = self.base_site
        kept = (base.weight.data, None if base.bias is None else base.bias.data)
        return Merged(names, *(self.merged_tensors(names, base) if names else kept), *kept)

    def put(self, merged: Merged) -> None:
        """Let the module hold these tensors, and keep the base's while they are others."""
        site = self.site[0]
        site.weight.data = merged.weight
        if merged.bias is not None or not self.had_bias:
            site.set_bias(merged.bias)
        self.merged = merged.names
        self.kept_weight, self.kept_bias = (merged.base_weight, merged.base_bias) if merged.names else (None, None)
        self.refresh()

    def keep_merged(self) -> None:
        """Take the merged tensors for the base's."""
        self.kept_weight = self.kept_bias = None
        self.merged = ()
        self.had_bias = self.site[0].bias is not None

    def merged_tensors(self, names: tuple[str, ...], base: LayerSite) -> tuple[Tensor, Tensor | None]:
        """The weight (in the module's layout) and bias that hold the named adapters, in the base's dtype."""
        with torch.no_grad():
            weight, bias = self.summed("W", names, base), self.summed("b", names, base)
        own = base.bias
        return (
            base.weight.data if weight is None else _own(weight, base.weight.dtype),
            (None if own is None else own.data)
            if bias is None
            else _own(bias, (base.weight if own is None else own).dtype),
        )

    def summed(self, what: str, names: tuple[str, ...], base: LayerSite, held: Tensor | None = None) -> Tensor | None:
        """`W` or `b` with the differences that the named adapters make to it, in the module's layout.

        Args:
            what: which of the two.
            names: of the adapters.
            base: the bare module.
            held: the value that already has other adapters in it; by default the base's own.

        Returns:
            It in the widest dtype involved; None if none of the adapters changes it.
        """
        own = base.matrix(base.weight) if what == "W" else None if base.bias is None else base.biases(base.bias)
        total = None if held is None else base.matrix(held) if what == "W" else base.biases(held)
        is_changed = False
        for name in names:
            new = self.adapters[name].adapted(what, base)
            if new is None:
                continue
            is_changed = True
            if what == "W" and base.weight_is_diagonal:
                new = new.diagonal()
            if total is None:
                total = new
            elif own is None:
                total = total + new
            else:
                total = total + (new - own.to(torch.promote_types(own.dtype, new.dtype)))
        if not is_changed or total is None:
            return None
        return base.layout(total) if what == "W" else base.bias_layout(total)


def _own(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy in memory of its own: `W' = D` would otherwise be the factor itself."""
    return tensor.detach().to(dtype).clone(memory_format=torch.contiguous_format)


def merge_together(states: Sequence[ModuleAdapters], names: tuple[str, ...], place: str) -> None:
    """Put the base plus the named adapters into modules that hold one weight; all is computed before any is changed.

    Raises:
        SpecMergeError: a value is not finite. The modules are as they were.
    """
    merged = [state.merged_with(names) for state in states]
    if names and not all(one.is_finite for one in merged):
        raise SpecMergeError(f"the merged weight of `{place}` has values that are not finite")
    for state, one in zip(states, merged, strict=True):
        state.put(one)
