"""What an emitted class takes for granted about the sizes of its layer, as checks in its constructor.

Sizes are read off the layer, so a class serves layers of many sizes. But a plan has made the choices of the spec
(`A@B if n > m else C`) and left out factors that are 1, for the sizes at hand.
"""

from __future__ import annotations

import re

from specdsl.interpret import Sizes
from specdsl.ir import Apply, Choice, Condition, Scalar, SpecIR, topological
from specdsl.lowering.emit_code import WIDTH
from specdsl.lowering.emit_layers import LayerCode
from specdsl.lowering.emit_sizes import SizeWriter
from specdsl.sizes import Size

_ALWAYS = re.compile(r"(.+)/near_root\(\1\)")
"""A quotient that is whole by what `near_root` is."""


def checks(ir: SpecIR, layer: LayerCode, sizes: Sizes, writer: SizeWriter) -> list[str]:
    """The lines that raise where a layer's sizes do not fit, for the size conditions and the choices made."""
    found: dict[str, None] = {}
    for condition in ir.conditions:
        is_certain = condition.kind == "whole" and _ALWAYS.fullmatch(str(condition.left))
        if not is_certain and (_is_about(condition.left, layer) or _is_about(condition.right, layer)):
            found |= _check(_failure(condition, writer), str(condition))
    for size in _decided(ir):
        if _is_about(size, layer):
            found |= _decision(size, sizes, writer)
    return list(found)


def _is_about(size: Size, layer: LayerCode) -> bool:
    return bool(size.symbols & layer.sizes.keys()) and "tokens" not in size.symbols


def _decided(ir: SpecIR) -> list[Size]:
    """Conditions, and factors of 1 as `size == 1`, that a plan has decided."""
    found: list[Size] = []
    for node in topological(ir.roots()):
        if isinstance(node, Choice):
            found.append(node.condition)
        if isinstance(node, Apply) and node.operator == "scale" and isinstance(node.arguments[0], Scalar):
            found.append(Size.opaque("==", node.arguments[0].size, Size.of(1)))
    return found


def _decision(size: Size, sizes: Sizes, writer: SizeWriter) -> dict[str, None]:
    is_left_out_factor = str(size).endswith(" == 1")
    holds = bool(sizes.number(size))
    if is_left_out_factor and not holds:
        return {}
    test = writer.number(size)
    return _check(f"not {test:atom}" if holds else test.text, str(size) if holds else f"not {size}")


def _check(failure: str, demand: str) -> dict[str, None]:
    line = f'    raise ValueError("the layer does not meet: {demand}")'
    if len(line) > WIDTH - 8:
        line = '    raise ValueError("the layer does not have the sizes of the spec")'
    return dict.fromkeys([f"if {failure}:\n        {line}"])


def _failure(condition: Condition, writer: SizeWriter) -> str:
    left, right = writer.number(condition.left), writer.number(condition.right)
    match condition.kind:
        case "whole":
            top, bottom = writer.parts(condition.left) or (left, None)
            return f"{top:unary} % {'1' if bottom is None else f'{bottom:unary}'}"
        case "equal":
            return f"{left} != {right}"
        case _:
            return f"{left} > {right}"
