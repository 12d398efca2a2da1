"""Operators that choose entries or lay them out anew, in PyTorch."""

from __future__ import annotations

from typing import Any

from specdsl.lowering.emit_call import Call, Emission, template
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


def _tile(call: Call) -> Code:
    return Code(f"tile({call.arguments[0]}, {call.shape})")


def _reshape(call: Call) -> Code:
    return Code(f"{call.arguments[0]:atom}.reshape({call.shape})")


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
    "tile": _tile,
    "blocks": template("blocks({0}, {p}, {q})"),
    "unblocks": template("unblocks({0})"),
    "blockdiag": _block_diagonal,
    "reshape": _reshape,
    "rearrange": _rearrange,
    "einsum": _einsum,
    "take": template("{0:atom}[{1}]"),
    "slice": _slice,
    "scatter": template("scatter({0}, {1}, {n}, {m})"),
    "permute": _permute,
    "butterfly": template("butterfly({n}, {k}, {i}).to({like}.device)"),
    "pairs": template("{0:atom}[..., ::2].repeat_interleave(2, dim=-1)"),
    "top": template("top({0}, {k})"),
    "bottom": template("top(-{0:unary}, {k})"),
    "keep": template("keep({0}, {k})"),
    "count": template("{0:atom}.sign().abs().sum()"),
}
