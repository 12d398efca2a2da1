"""Expressions of the IR as text in the language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specdsl.ir import Apply, Choice, Factor, Fold, Given, Initial, Layers, Measured, Node, Part, Ranked, Scalar, Site
from specdsl.sizes import Size

SUM, PRODUCT, UNARY, POWER, ATOM = range(5)
"""How tightly a printed expression binds, loosest first."""

_SIGNS = {"matmul": "@", "times": " .* ", "divide": " ./ ", "scale": " * "}


def expression_text(node: Node) -> str:
    """The expression in the language.

    >>> import specdsl
    >>> expression_text(specdsl.parse("W + A@B").ir.targets["W"])
    'W + A@B'
    """
    return _text(node)[0]


def size_text(size: Size) -> tuple[str, int]:
    text = str(size)
    if size.as_symbol or text.isdigit():
        return text, ATOM
    if " + " in text or " - " in text:
        return text, SUM
    return text, UNARY if text.startswith("-") else PRODUCT


def _bracketed(part: tuple[str, int], level: int) -> str:
    return part[0] if part[1] >= level else f"({part[0]})"


def _text(node: Node) -> tuple[str, int]:
    match node:
        case Site() | Factor() | Given():
            return node.name, ATOM
        case Scalar():
            return size_text(node.size)
        case Part():
            return f"{_text(node.of)[0]}[{node.index}]", ATOM
        case Initial():
            return f"init({_text(node.of)[0]})", ATOM
        case Layers():
            return f"layers({_text(node.of)[0]})", ATOM
        case Ranked():
            return f"top({_text(node.of)[0]}, {_text(node.amount)[0]})[layer]", ATOM
        case Measured():
            shown = [f'"{value}"' if name == "text" else f"{name}={value}" for name, value in node.options]
            parts = [_text(argument)[0] for argument in node.arguments]
            texts, named = [s for s in shown if s[0] == '"'], [s for s in shown if s[0] != '"']
            call = f"({', '.join([*texts, *parts, *named])})"
            return {"average": "mean", "workers": "mean(workers"}.get(node.name, node.name) + call + (
                ")" if node.name == "workers" else ""
            ), ATOM
        case Choice():
            yes, no = _text(node.yes), _text(node.no)
            return f"({_bracketed(yes, SUM)} if {node.condition} else {_bracketed(no, SUM)})", ATOM
        case Fold():
            inner = f"{_text(node.body)[0]} for {node.index} < {node.count}"
            return (f"[{inner}]" if node.kind == "stack" else f"{node.kind}({inner})"), ATOM
        case Apply():
            return _PRINTERS.get(node.operator, _call)(node)
    raise AssertionError(node)


def _sum(node: Apply) -> tuple[str, int]:
    text = _bracketed(_text(node.arguments[0]), SUM)
    for term in node.arguments[1:]:
        if isinstance(term, Apply) and term.operator == "negative":
            text += f" - {_bracketed(_text(term.arguments[0]), PRODUCT)}"
        else:
            text += f" + {_bracketed(_text(term), PRODUCT)}"
    return text, SUM


def _product(node: Apply) -> tuple[str, int]:
    sign = _SIGNS[node.operator]
    first = node.arguments[0]
    text, level = _text(first)
    parts = [text if level == PRODUCT and _chains(node, first) else _bracketed((text, level), UNARY)]
    parts += [_bracketed(_text(argument), UNARY) for argument in node.arguments[1:]]
    return sign.join(parts), PRODUCT


def _chains(node: Apply, first: Node) -> bool:
    """Whether a product goes on from its first operand without brackets: `a/b * C`, `s * A@B`, `A .* B .* C`."""
    if node.operator == "scale":
        return True
    operator = first.operator if isinstance(first, Apply) else None
    return operator == node.operator or (node.operator == "matmul" and operator == "scale")


def _negative(node: Apply) -> tuple[str, int]:
    return f"-{_bracketed(_text(node.arguments[0]), UNARY)}", UNARY


def _transpose(node: Apply) -> tuple[str, int]:
    return f"{_bracketed(_text(node.arguments[0]), ATOM)}.T", ATOM


def _power(sign: str) -> Callable[[Apply], tuple[str, int]]:
    def print_power(node: Apply) -> tuple[str, int]:
        exponent = size_text(node.option("exponent"))
        sign_here = "^" if sign == ".^" and not node.shape else sign
        return f"{_bracketed(_text(node.arguments[0]), ATOM)}{sign_here}{_bracketed(exponent, ATOM)}", POWER

    return print_power


def _slice(node: Apply) -> tuple[str, int]:
    body = _bracketed(_text(node.arguments[0]), ATOM)
    items = [_range_text(item, size) for item, size in zip(node.option("items"), node.arguments[0].shape, strict=False)]
    return f"{body}[{', '.join(items)}]", ATOM


def _range_text(item: Any, size: Size) -> str:
    if isinstance(item, Size):
        return str(item)
    start, stop, step = item
    first = "" if start == Size.of(0) else _end_relative(start, size)
    last = "" if stop == size else _end_relative(stop, size)
    return f"{first}:{last}" + ("" if step == Size.of(1) else f":{step}")


def _end_relative(bound: Size, size: Size) -> str:
    if bound != Size.of(0) and not (bound.symbols & size.symbols) and size.symbols:
        return str(bound)
    from_end = size - bound
    if not (from_end.symbols & size.symbols) and from_end.terms:
        return f"-{_bracketed(size_text(from_end), ATOM)}"
    return str(bound)


def _take(node: Apply) -> tuple[str, int]:
    rest = ", :" * (len(node.arguments[0].shape) - 1)
    return f"{_bracketed(_text(node.arguments[0]), ATOM)}[{_text(node.arguments[1])[0]}{rest}]", ATOM


def _joined(separator: str) -> Callable[[Apply], tuple[str, int]]:
    return lambda node: (f"[{separator.join(_text(argument)[0] for argument in node.arguments)}]", ATOM)


def _fill(node: Apply) -> tuple[str, int]:
    return _text(node.arguments[0])


def option_texts(node: Apply) -> list[str]:
    """The options of an operator as they are written: `terms=5`."""
    return [text for name, value in node.options for text in _option_text(node, name, value)]


def _call(node: Apply) -> tuple[str, int]:
    parts = [*(_text(argument)[0] for argument in node.arguments), *option_texts(node)]
    return f"{node.operator}({', '.join(parts)})" if parts else node.operator, ATOM


def _option_text(node: Apply, name: str, value: Any) -> list[str]:
    if name == "label" or value is None:
        return []
    if name in ("shape", "size"):
        return [str(size) for size in (value if isinstance(value, tuple) else (value,))]
    if name == "sizes":
        return [f"{axis}={size}" for axis, size in value]
    if name == "fan":
        return []
    if isinstance(value, bool):
        shown = "true" if value else "false"
    elif isinstance(value, str):
        shown = f'"{value}"'
    else:
        shown = str(value)
    return [f"{name}={shown}"]


_PRINTERS: dict[str, Callable[[Apply], tuple[str, int]]] = {
    "add": _sum,
    **dict.fromkeys(_SIGNS, _product),
    "negative": _negative,
    "transpose": _transpose,
    "elpower": _power(".^"),
    "matpower": _power("^"),
    "inverse": lambda node: (f"{_bracketed(_text(node.arguments[0]), ATOM)}^-1", POWER),
    "slice": _slice,
    "take": _take,
    "hcat": _joined(", "),
    "vcat": _joined("; "),
    "numbers": _joined(", "),
    "fill": _fill,
}
