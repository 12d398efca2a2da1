"""A module some of whose parameters carry adapters: whoever reads one of them by its name gets the adapted value.

The class of the owner is replaced by a subclass with a property in the place of each such parameter. Its parameters,
buffers and state dict stay as they are; a pass through its own forward computes every adapted value once.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from specdsl.lowering.module_adapters import ModuleAdapters
from specdsl.lowering.sites import HeldParameter, LayerSite, ParameterSite, own_class
from specdsl.lowering.sites.parameter import stored

OWNED = "specdsl"
"""The name under which an owner holds the adapters of its parameters."""


class OwnedAdapters(nn.Module):
    """The adapters of an owner's parameters, by the name of the parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: dict[str, str] = {}
        self.in_pass: dict[tuple[str, str], Tensor | None] | None = None

    def of(self, attribute: str) -> ModuleAdapters | None:
        found = self._modules.get(self.attributes.get(attribute, ""))
        return found if isinstance(found, ModuleAdapters) else None

    def put(self, attribute: str, state: ModuleAdapters) -> None:
        name = attribute
        while hasattr(self, name):
            name += "_"
        self.attributes[attribute] = name
        self.add_module(name, state)

    def remove(self, attribute: str) -> None:
        del self._modules[self.attributes.pop(attribute)]

    @property
    def names(self) -> tuple[str, ...]:
        """What the owner shows adapted: the parameters, and the biases that belong to them."""
        found = dict.fromkeys(self.attributes)
        for attribute in self.attributes:
            bias = self._held(attribute).bias_attribute
            if bias is not None:
                found[bias] = None
        return tuple(found)

    def value(self, owner: nn.Module, name: str) -> Tensor | None:
        """What the owner shows under the name of a parameter."""
        value = stored(owner, name)
        for attribute in self.attributes:
            held = self._held(attribute)
            if name == attribute:
                changed = self._changed(owner, attribute, "W")
                value = value if changed is None else changed
            elif name == held.bias_attribute:
                changed = self._changed(owner, attribute, "b")
                if changed is None:
                    continue
                if held.rows is None or value is None:
                    value = changed
                else:
                    value = value.clone()
                    value[held.rows] = changed
        return value

    def _held(self, attribute: str) -> HeldParameter:
        state = self.of(attribute)
        assert state is not None
        held = state.site[0].module
        assert isinstance(held, HeldParameter)
        return held

    def _changed(self, owner: nn.Module, attribute: str, what: str) -> Tensor | None:
        if self.in_pass is None:
            return self._computed(owner, attribute, what)
        if (attribute, what) not in self.in_pass:
            self.in_pass[attribute, what] = self._computed(owner, attribute, what)
        return self.in_pass[attribute, what]

    def _computed(self, owner: nn.Module, attribute: str, what: str) -> Tensor | None:
        state = self.of(attribute)
        assert state is not None
        if not state.running:
            return None
        held = self._held(attribute)
        here = ParameterSite(held if held.owner is owner else held.held_by(owner))
        base: LayerSite = here
        if state.merged:
            assert state.kept_weight is not None
            base = here.with_weight(state.kept_weight, state.kept_bias)
        own = here.weight if what == "W" else here.bias
        value = state.summed(what, state.running, base, own if state.merged else None)
        if value is None:
            return None
        for name in state.running:
            state.running_adapter(name).tell(value)
        return value.to(here.weight.dtype if own is None else own.dtype)


class AdaptedOwner:
    """What is put in front of an owner's class; never made on its own."""

    specdsl: OwnedAdapters
    specdsl_base_class: type[nn.Module]
    specdsl_names: tuple[str, ...]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        owned = self.specdsl
        before = owned.in_pass
        owned.in_pass = {}
        try:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        finally:
            owned.in_pass = before

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """The class is made at run time, so pickles name the one it is made of."""
        return _unfilled, (self.specdsl_base_class, self.specdsl_names), self.__getstate__()

    def extra_repr(self) -> str:
        inner = super().extra_repr()  # type: ignore[misc]
        owned = self.specdsl
        labels = ", ".join(
            f"{attribute}: {adapter.label}"
            for attribute in owned.attributes
            for adapter in _adapters(owned.of(attribute))
        )
        return f"{inner}, specdsl: {labels}" if inner else f"specdsl: {labels}"


def _adapters(state: ModuleAdapters | None) -> list[Any]:
    return list(state.adapters.values()) if state is not None else []


def owned_state(held: HeldParameter) -> ModuleAdapters | None:
    """What a parameter carries, or None."""
    owned = held.owner._modules.get(OWNED)
    return owned.of(held.attribute) if isinstance(owned, OwnedAdapters) else None


def is_owner(module: nn.Module) -> bool:
    """Whether a module has parameters that carry adapters."""
    return isinstance(module._modules.get(OWNED), OwnedAdapters)


def adapt_parameter(held: HeldParameter) -> ModuleAdapters:
    """Let the owner of a parameter show it adapted; what carries its adapters."""
    owner = held.owner
    owned = owner._modules.get(OWNED)
    if not isinstance(owned, OwnedAdapters):
        owned = OwnedAdapters()
        owner.add_module(OWNED, owned)
    state = ModuleAdapters(ParameterSite(held))
    state.train(owner.training)
    owned.put(held.attribute, state)
    owner.__class__ = _owner_class(own_class(owner), owned.names)
    return state


def restore_parameter(held: HeldParameter) -> None:
    """Let the owner show its own parameter again; its class comes back with the last one."""
    owner = held.owner
    owned = owner._modules[OWNED]
    assert isinstance(owned, OwnedAdapters)
    owned.remove(held.attribute)
    owner.__class__ = _owner_class(own_class(owner), owned.names) if owned.attributes else own_class(owner)
    if not owned.attributes:
        del owner._modules[OWNED]


_CLASSES: dict[tuple[type[nn.Module], tuple[str, ...]], type[nn.Module]] = {}


def _owner_class(base: type[nn.Module], names: tuple[str, ...]) -> type[nn.Module]:
    if (base, names) not in _CLASSES:
        own = {"specdsl_base_class": base, "specdsl_names": names, "__module__": base.__module__}
        shown = {name: _shown(name) for name in names}
        _CLASSES[base, names] = type(base.__name__, (AdaptedOwner, base), {**own, **shown})
    return _CLASSES[base, names]


def _shown(name: str) -> property:
    def read(owner: Any) -> Tensor | None:
        owned = owner._modules.get(OWNED)
        return stored(owner, name) if owned is None else owned.value(owner, name)

    def write(owner: Any, value: Any) -> None:
        owner.__dict__[name] = value  # a plain tensor, in a replica

    return property(read, write)


def _unfilled(base: type[nn.Module], names: tuple[str, ...]) -> nn.Module:
    """A module of the adapted class whose state is still to come."""
    kind = _owner_class(base, names)
    return kind.__new__(kind)
