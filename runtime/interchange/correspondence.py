"""What a method of another library is here: the spec, and where each factor's tensor comes from. Data alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

Fields = Mapping[str, Any]
"""A configuration of the other library, by field."""

Sizes = Mapping[str, int]
"""The sizes of a module: `n`, `m`, of a convolution `c`, `kh`, `kw`."""


@dataclass(frozen=True)
class Part:
    """One factor and the tensor that holds it there.

    Attributes:
        factor: its name here.
        key: the tensor's name there, after that of the module.
        layout: how the tensor's axes become the factor's, as a pattern; its names are the sizes of the module.
        scale: the factor as a multiple of the tensor.
        above: `W` or `b`, where the tensor is this of the base plus the factor (of a norm, W's diagonal).
        is_shared: whether there is one for the whole model, under the model's own name.
    """

    factor: str
    key: str
    layout: str
    scale: int = 1
    above: Literal["", "W", "b"] = ""
    is_shared: bool = False


Parts = Mapping[str, tuple[Part, ...]]
"""The factors by the kind of module (`Embedding`, `Conv2d`, ...), `""` for those without an entry of their own."""


@dataclass(frozen=True)
class Places:
    """An index whose places a rule gives, from the configuration or from a tensor.

    Attributes:
        factor: the index.
        key: the tensor, or nothing where the configuration's seed is enough.
        read: the places from the configuration, the tensor and the sizes.
        write: the tensor from the places; None where there is none, and `read` has to give the same places.
    """

    factor: str
    key: str
    read: Callable[[Fields, Tensor | None, Sizes], Tensor]
    write: Callable[[Tensor, Sizes], Tensor] | None = None


@dataclass(frozen=True)
class Correspondence:
    """A method of PEFT, under the conditions of `when`, as a spec.

    Attributes:
        peft_type: its name in `adapter_config.json`.
        spec: a method of the library, or a text.
        parts: the factors and their tensors.
        when: fields and the values that they must have, `()` for any that is false; a missing field reads as None.
        settings: hyper-parameters by the field that holds them.
        patterns: fields that say another value for some modules, and the field whose value they replace there.
        axes: hyper-parameters that the axes of a module's tensors tell (the field is then only written).
        indices: indices by the field that lists their places.
        places: indices whose places follow a rule.
        exchange: `FIELD: (old, new)`: where the field is true, `new` takes the place of `old` in the spec's text.
        ignored: fields that say how to start or train.
        writes: fields of an exported configuration that follow from nothing else.
        with_tied: whether other modules that hold the weight of an adapted one are adapted with it.
        check: what else an exported adapter must meet, as a complaint about a module, or None.
    """

    peft_type: str
    spec: str
    parts: Parts
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, Callable[[Sizes], int]] = field(default_factory=dict)
    indices: Mapping[str, str] = field(default_factory=dict)
    places: tuple[Places, ...] = ()
    exchange: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    writes: Mapping[str, Any] = field(default_factory=dict)
    with_tied: bool = False
    check: Callable[[Fields, Sizes], str | None] | None = None

    @property
    def fields(self) -> set[str]:
        """The fields that it understands."""
        read = (self.when, self.settings.values(), self.patterns, self.indices.values(), self.exchange, self.ignored)
        return set().union(*read)

    def parts_of(self, kind: str) -> tuple[Part, ...]:
        """The factors of a module of this kind (`Linear`, `Embedding`, `Conv2d`, ...)."""
        return self.parts.get(kind) or self.parts.get("", ())
