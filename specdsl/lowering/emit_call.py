"""One operator about to be written in PyTorch, and the simplest way of doing it: a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from specdsl.ir import Apply, Scalar
from specdsl.lowering.emit_code import Code
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


def template(text: str) -> Emission:
    """An emission by a template.

    Args:
        text: with `{0}` for the first array, in brackets unless it stands between brackets and commas already;
            `{0:atom}` for the same as the owner of a method, `{all}` for all arrays with commas, `{k}` for an option,
            `{shape}` for the sizes of the value, `{like}` for a tensor of the layer's dtype and device.
    """
    pieces = list(Formatter().parse(text))
    after = [literal for literal, _, _, _ in pieces[1:]] + [""]

    def write(call: Call) -> Code:
        written = ""
        for (literal, name, style, _), later in zip(pieces, after, strict=True):
            written += literal
            if name is None:
                continue
            is_enclosed = literal.rstrip()[-1:] in _OPENING and later.lstrip()[:1] in _CLOSING
            written += _field(call, name, style or ("" if is_enclosed else "atom"))
        return Code(written)

    return write


_OPENING, _CLOSING = ("(", "[", ","), (")", "]", ",")


def _field(call: Call, name: str, style: str) -> str:
    if name.isdecimal():
        return format(call.arguments[int(name)], style)
    match name:
        case "all":
            return ", ".join(code.text for code in call.arguments)
        case "like":
            return call.like
        case "shape":
            return call.shape
    return call.option(name).text


def full(like: str, sizes: SizeWriter, shape: tuple[Size, ...], number: Scalar) -> Code:
    """An array with a number at every entry."""
    value = sizes.number(number.size)
    if not shape:
        return Code(f"{like}.new_tensor({value})")
    return Code(f"{like}.new_full(({sizes.shape(shape)}{',' * (len(shape) == 1)}), {value})")
