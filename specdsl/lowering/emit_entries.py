"""Operators that choose entries or lay them out anew, in PyTorch."""

from __future__ import annotations

from typing import Any

from specdsl.lowering.emit_call import Call, Emission
from specdsl.lowering.emit_code import Code, slice_text
from specdsl.operators.axis_patterns import Rearrangement, einsum_axes, einsum_letters
from specdsl.sizes import Size


def _slice(call: Call) -> Code:
    whole = (Size.of(0), None, Size.of(1))
    shape = call.node.arguments[0].shape
    texts = [_item(call, item, size) for item, size in zip(call.options["items"], shape, strict=False)]
    while len(texts) > 1 and texts[-1] == ":":
        texts.pop()
    if call.in_tokens[0] and call.options["items"][0] == (whole[0], shape[0], whole[2]):
        texts[0] = "..."  # activations have any number of leading axes
    code = call.arguments[0]
    return code if texts in ([":"], ["..."]) else Code(f"{code:atom}[{', '.join(texts)}]")


def _item(call: Call, item: Any, size: Size) -> str:
    if isinstance(item, Size):
        return call.sizes.whole(item).text
    start, stop, step = (Size.of(bound) for bound in item)
    return slice_text(
        "" if start == Size.of(0) else call.sizes.whole(start).text,
        "" if stop == size else call.sizes.whole(stop).text,
        "" if step == Size.of(1) else call.sizes.whole(step).text,
    )


def _permute(call: Call) -> Code:
    matrix, places = call.arguments
    return Code(f"{matrix:atom}[{places}]" + (f"[:, {places}]" if call.options.get("both") else ""))


def _block_diagonal(call: Call) -> Code:
    if len(call.arguments) == 1 and call.axes(0) == 3:
        return Code(f"torch.block_diag(*{call.arguments[0]:atom})")
    return Code(f"torch.block_diag({', '.join(code.text for code in call.arguments)})")


def _rearrange(call: Call) -> Code:
    plan = Rearrangement.read(call.options["pattern"])
    source = call.node.arguments[0].shape
    sizes = plan.sizes(source, dict(call.options.get("sizes", ())), lambda left, right, why: None)
    before = [name for axis in plan.left for name in axis]
    order = [before.index(name) for axis in plan.right for name in axis]
    apart = tuple(sizes[name] for name in before)
    moved = tuple(apart[place] for place in order)
    text = f"{call.arguments[0]:atom}"
    if apart != source:
        text += f".reshape({call.sizes.shape(apart)})"
    if order != sorted(order):
        text += f".permute({', '.join(map(str, order))})"
    if moved != call.node.shape:
        text += f".reshape({call.shape})"
    return Code(text)


def _einsum(call: Call) -> Code:
    pattern = call.options["pattern"]
    inputs, output = einsum_axes(pattern)
    short = all(len(name) == 1 for axes in (*inputs, output) for name in axes)
    letters = "->".join([",".join(map("".join, inputs)), "".join(output)]) if short else einsum_letters(pattern)
    arrays = ", ".join(code.text for code in call.arguments)
    return Code(f'torch.einsum("{letters}", {arrays})')


ENTRIES: dict[str, Emission] = {
    "blockdiag": _block_diagonal,
    "rearrange": _rearrange,
    "einsum": _einsum,
    "slice": _slice,
    "permute": _permute,
}
