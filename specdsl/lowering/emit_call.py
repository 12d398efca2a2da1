"""One operator about to be written in PyTorch, and the simplest way of doing it: a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from specdsl.ir import Apply, Scalar
from specdsl.lowering.emit_code import ATOM, Code
from specdsl.lowering.emit_sizes import SizeWriter
from specdsl.sizes import Size


@dataclass(frozen=True)
class Call:
    """One operator about to be written.

    Attributes:
        node: the operator with its arguments and options.
        arguments: its arrays as code.
        negated: for each array that is written as `-E`, the code of E.
        in_tokens: whether each array is an activation, which may have more leading axes than its shape says.
        sizes: writes sizes.
        like: code of a tensor with the dtype and device of the layer.
    """

    node: Apply
    arguments: tuple[Code, ...]
    negated: tuple[Code | None, ...]
    in_tokens: tuple[bool, ...]
    sizes: SizeWriter
    like: str
    options: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", dict(self.node.options))

    def option(self, name: str) -> Code:
        """An option as code, its default if it is not given; sizes as whole numbers."""
        declared = {option.name: option for option in self.node.definition.options}
        value = self.options[name] if name in self.options else declared[name].default
        if isinstance(value, Size):
            is_whole = name == "seed" or (name in declared and declared[name].kind == "size")
            return self.sizes.whole(value) if is_whole else self.sizes.number(value)
        return Code(self.sizes.shape(value) if isinstance(value, tuple) else repr(value))

    @property
    def shape(self) -> str:
        """The shape of the value, its sizes with commas."""
        return self.sizes.shape(self.node.shape)

    def axes(self, position: int) -> int:
        return self.node.arguments[position].ndim


Emission = Callable[[Call], Code]
"""Writes one operator."""


def template(text: str, bracketed: bool = False) -> Emission:
    """An emission by a template.

    Args:
        text: with `{0}` for the first array as it stands inside the brackets of a call, `{0:atom}` for the same as the
            owner of a method, `{k}` for an option, `{like}` for a tensor of the layer's dtype and device.
        bracketed: whether arrays are put in brackets wherever they stand.
    """

    def write(call: Call) -> Code:
        arguments = [Code(code.at(ATOM)) for code in call.arguments] if bracketed else call.arguments
        names = {option.name for option in call.node.definition.options} - {"shape", "items"}
        options = {name: call.option(name) for name in names if f"{{{name}}}" in text}
        return Code(text.format(*arguments, **options, like=call.like))

    return write


def full(like: str, sizes: SizeWriter, shape: tuple[Size, ...], number: Scalar) -> Code:
    """An array with a number at every entry."""
    value = sizes.number(number.size)
    if not shape:
        return Code(f"{like}.new_tensor({value})")
    return Code(f"{like}.new_full(({sizes.shape(shape)}{',' * (len(shape) == 1)}), {value})")
