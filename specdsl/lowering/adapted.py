"""A module that carries adapters: the same object, class test and parameters, with another forward.

The class of the module is replaced by a subclass of it, so `isinstance(m, nn.Linear)`, `m.weight` and every name in
the state dict stay. Several adapters add up: each contributes the difference that it alone would make.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from specdsl.errors import SpecMergeError, SpecSettingError
from specdsl.lowering.finite import is_finite
from specdsl.lowering.layer_adapter import LayerAdapter
from specdsl.lowering.sites import LayerSite, LinearSite, own_class, site_of

ATTRIBUTE = "specdsl"
"""The name under which a module holds its adapters."""


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

    def refresh(self) -> None:
        """Decide once which adapters run."""
        self.running = tuple(name for name in self.adapters if name not in self.disabled and name not in self.merged)

    @property
    def base_site(self) -> LayerSite:
        """The site with the base's own weight, also while adapters are merged into it."""
        return self.base_site_in(self.site[0].module)

    def base_site_in(self, module: nn.Module) -> LayerSite:
        """The same in `module`, which is a replica of the adapted one where several devices share a batch."""
        site = self.site[0] if module is self.site[0].module else type(self.site[0])(module)
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
        self._set_bias(merged.bias)
        self.merged = merged.names
        self.kept_weight, self.kept_bias = (merged.base_weight, merged.base_bias) if merged.names else (None, None)
        self.refresh()

    def keep_merged(self) -> None:
        """Take the merged tensors for the base's."""
        self.kept_weight = self.kept_bias = None
        self.merged = ()
        self.had_bias = self.site[0].bias is not None

    def _set_bias(self, bias: Tensor | None) -> None:
        site = self.site[0]
        if site.bias is not None and bias is not None:
            site.bias.data = bias
        elif site.bias is None and bias is not None:
            site.module.bias = nn.Parameter(bias, requires_grad=False)
        elif bias is None and not self.had_bias and "bias" in site.module._parameters:
            site.module._parameters["bias"] = None

    def merged_tensors(self, names: tuple[str, ...], base: LayerSite) -> tuple[Tensor, Tensor | None]:
        """The weight (in the module's layout) and bias that hold the named adapters, in the base's dtype."""
        matrix = base.matrix(base.weight)
        total: Tensor | None = None
        offset: Tensor | None = None
        with torch.no_grad():
            for name in names:
                changed = self.adapters[name].merged(base)
                if "W" in changed:
                    wide = matrix.to(torch.promote_types(matrix.dtype, changed["W"].dtype))
                    new = changed["W"].diagonal() if base.weight_is_diagonal else changed["W"]
                    total = new if total is None else total + (new - wide)
                if "b" in changed:
                    start = torch.zeros_like(changed["b"]) if base.bias is None else base.bias
                    offset = changed["b"] if offset is None else offset + (changed["b"] - start)
        weight = base.weight.data if total is None else _own(base.layout(total), base.weight.dtype)
        if offset is None:
            return weight, None if base.bias is None else base.bias.data
        return weight, _own(offset, (base.weight if base.bias is None else base.bias).dtype)


def _own(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy in memory of its own: `W' = D` would otherwise be the factor itself."""
    return tensor.detach().to(dtype).clone(memory_format=torch.contiguous_format)


class AdaptedLayer:
    """What is put in front of a module's class; never made on its own."""

    specdsl: ModuleAdapters
    specdsl_base_class: type[nn.Module]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        state = self.specdsl
        if not state.running:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        (x,) = args if args else kwargs.values()
        site = state.base_site_in(self)  # type: ignore[arg-type]
        running = [state.running_adapter(name) for name in state.running]

        def base() -> Tensor:
            if state.merged:
                return site.through(x, site.weight, site.bias)
            return super(AdaptedLayer, self).forward(x)  # type: ignore[misc,no-any-return]

        if len(running) == 1 and not state.merged:
            return site.to_output(running[0].output(site, x, base), x)
        own = base()
        total = site.from_output(super().forward(x) if state.merged else own)  # type: ignore[misc]
        for adapter in running:
            total = total + (adapter.output(site, x, lambda: own) - site.from_output(own))
        return site.to_output(total, x)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """The class is made at run time, so pickles name the one it is made of."""
        return _unfilled, (self.specdsl_base_class,), self.__getstate__()

    def extra_repr(self) -> str:
        inner = super().extra_repr()  # type: ignore[misc]
        labels = ", ".join(f"{name}={adapter.label}" for name, adapter in self.specdsl.adapters.items())
        return f"{inner}, specdsl: {labels}" if inner else f"specdsl: {labels}"


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _adapted_class(base: type[nn.Module]) -> type[nn.Module]:
    if base not in _CLASSES:
        _CLASSES[base] = _made_class(base)
    return _CLASSES[base]


def _made_class(base: type[nn.Module]) -> type[nn.Module]:
    return type(base.__name__, (AdaptedLayer, base), {"specdsl_base_class": base, "__module__": base.__module__})


def _unfilled(base: type[nn.Module]) -> nn.Module:
    """A module of the adapted class whose state is still to come."""
    kind = _adapted_class(base)
    return kind.__new__(kind)


def adapters_of(module: nn.Module) -> ModuleAdapters | None:
    """What a module carries, or None."""
    found = module._modules.get(ATTRIBUTE)
    return found if isinstance(found, ModuleAdapters) else None


def attach_to(module: nn.Module, name: str, adapter: LayerAdapter) -> None:
    """Let `module` carry `adapter` under `name`."""
    state = adapters_of(module)
    if state is None:
        site = site_of(module)
        assert site is not None
        state = ModuleAdapters(site)
        state.train(module.training)
        module.__class__ = _adapted_class(own_class(module))
        module.add_module(ATTRIBUTE, state)
    state.add(name, adapter)
    adapter.train(module.training)


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


def detach_from(module: nn.Module, name: str) -> None:
    """Take the adapter away; the module gets its own class back with the last one."""
    state = adapters_of(module)
    if state is None or name not in state.adapters:
        return
    state.remove(name)
    if not state.adapters:
        module.__class__ = own_class(module)
        del module._modules[ATTRIBUTE]


_EMPTY = ModuleAdapters(LinearSite(nn.Module()))


def check_adapter_name(name: str) -> None:
    """Raise SpecSettingError unless `name` can be an adapter's name."""
    if not name.isidentifier() or hasattr(_EMPTY, name):
        raise SpecSettingError(f"`{name}` cannot be an adapter's name", hint="use letters, digits and `_`")
