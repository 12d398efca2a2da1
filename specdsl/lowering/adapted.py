"""A module that carries adapters: the same object, class test and parameters, with another forward.

The class of the module is replaced by a subclass of it, so `isinstance(m, nn.Linear)`, `m.weight` and every name in
the state dict stay. Several adapters add up: each contributes the difference that it alone would make.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from specdsl.errors import SpecSettingError
from specdsl.lowering.adapted_owner import adapt_parameter, owned_state, restore_parameter
from specdsl.lowering.layer_adapter import LayerAdapter
from specdsl.lowering.module_adapters import ModuleAdapters, merge_together
from specdsl.lowering.sites import HeldParameter, LinearSite, own_class, site_of

__all__ = [
    "ATTRIBUTE", "AdaptedLayer", "ModuleAdapters", "adapters_of", "attach_to", "check_adapter_name", "detach_from",
    "merge_together",
]  # fmt: skip

ATTRIBUTE = "specdsl"
"""The name under which a module holds its adapters."""


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
            front, y = running[0].cut(running[0].output(site, x, base))
            return site.to_output(state.with_rows(y, [] if front is None else [front]), x)
        own = base()
        total = site.from_output(super().forward(x) if state.merged else own)  # type: ignore[misc]
        rows = []
        for adapter in running:
            front, y = adapter.cut(adapter.output(site, x, lambda: own))
            rows += [] if front is None else [front]
            total = total + (y - site.from_output(own))
        return site.to_output(state.with_rows(total, rows), x)

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
    """What a module, or a parameter seen as one, carries; or None."""
    if isinstance(module, HeldParameter):
        return owned_state(module)
    found = module._modules.get(ATTRIBUTE)
    return found if isinstance(found, ModuleAdapters) else None


def attach_to(module: nn.Module, name: str, adapter: LayerAdapter) -> None:
    """Let `module` carry `adapter` under `name`."""
    state = adapters_of(module)
    if state is None and isinstance(module, HeldParameter):
        state = adapt_parameter(module)
    elif state is None:
        site = site_of(module)
        assert site is not None
        state = ModuleAdapters(site)
        state.train(module.training)
        module.__class__ = _adapted_class(own_class(module))
        module.add_module(ATTRIBUTE, state)
    state.add(name, adapter)
    adapter.train(state.training)


def detach_from(module: nn.Module, name: str) -> None:
    """Take the adapter away; the module gets its own class back with the last one."""
    state = adapters_of(module)
    if state is None or name not in state.adapters:
        return
    state.remove(name)
    if state.adapters:
        return
    if isinstance(module, HeldParameter):
        restore_parameter(module)
    else:
        module.__class__ = own_class(module)
        del module._modules[ATTRIBUTE]


_EMPTY = ModuleAdapters(LinearSite(nn.Module()))


def check_adapter_name(name: str) -> None:
    """Raise SpecSettingError unless `name` can be an adapter's name."""
    if not name.isidentifier() or hasattr(_EMPTY, name):
        raise SpecSettingError(f"`{name}` cannot be an adapter's name", hint="use letters, digits and `_`")
