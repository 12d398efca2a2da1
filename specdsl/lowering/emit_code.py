"""Pieces of emitted Python: expressions that know when they need brackets, and names that are free."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

WIDTH = 88
"""The longest line, ruff's own default."""

LOOSE, SUM, PRODUCT, UNARY, POWER, ATOM = range(6)
"""How tightly an expression binds, loosest first."""

_LEVELS: dict[str, int] = {
    "Add": SUM, "Sub": SUM, "Mult": PRODUCT, "MatMult": PRODUCT, "Div": PRODUCT, "FloorDiv": PRODUCT, "Mod": PRODUCT,
    "Pow": POWER,
}  # fmt: skip
_LOOSE = (ast.IfExp, ast.Compare, ast.BoolOp, ast.Lambda)
_SIMPLE_POWER = re.compile(r"-?[\d.]+|[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Code:
    """A Python expression.

    >>> f"{Code('a + b'):product} @ c, f({Code('a + b')}), {Code('a + b'):atom}.T"
    '(a + b) @ c, f(a + b), (a + b).T'
    """

    text: str

    @cached_property
    def level(self) -> int:
        """How tightly it binds."""
        if self.is_bracketed:
            return ATOM
        match ast.parse(self.text, mode="eval").body:
            case ast.BinOp(op=sign):
                return _LEVELS[type(sign).__name__]
            case ast.UnaryOp():
                return UNARY
            case node:
                return LOOSE if isinstance(node, _LOOSE) else ATOM

    @cached_property
    def is_bracketed(self) -> bool:
        """Whether one pair of brackets is around all of it."""
        if not (self.text.startswith("(") and self.text.endswith(")")):
            return False
        try:
            ast.parse(self.text[1:-1], mode="eval")
        except SyntaxError:
            return False
        return True

    @property
    def alone(self) -> str:
        """The text as the right-hand side of a statement, where it needs no brackets."""
        return self.text[1:-1] if self.is_bracketed else self.text

    @property
    def is_name(self) -> bool:
        """Whether it is a name or an attribute, so that writing it twice costs nothing."""
        return re.fullmatch(r"[A-Za-z_][\w.]*", self.text) is not None

    def at(self, level: int) -> str:
        """The text, in brackets if it binds more loosely than `level`."""
        return self.text if self.level >= level else f"({self.text})"

    def __format__(self, level: str) -> str:
        return self.at(_BY_NAME[level]) if level else self.text


_BY_NAME = {"sum": SUM, "product": PRODUCT, "unary": UNARY, "power": POWER, "atom": ATOM}


def power(base: Code, exponent: Code) -> Code:
    """`base ** exponent`, spaced as ruff does."""
    left, right = base.at(ATOM), exponent.at(UNARY)
    is_simple = all(_SIMPLE_POWER.fullmatch(side) for side in (left, right))
    return Code(f"{left}**{right}" if is_simple else f"{left} ** {right}")


def slice_text(start: str, stop: str, step: str = "") -> str:
    """`start:stop:step`, spaced as ruff does; an empty text is an end left out."""
    bounds = [start, stop, step] if step else [start, stop]
    if all(re.fullmatch(r"-?\w*", bound) for bound in bounds):
        return ":".join(bounds)
    text = " : ".join(bounds).strip()
    return re.sub(r": +:", "::", text)


class Names:
    """Gives out Python names that nothing else has.

    Args:
        taken: names that are never given out.
        are_attributes: whether they stand behind a dot, where a builtin's name or a lone `l` does no harm.
    """

    def __init__(self, taken: Iterable[str] = (), are_attributes: bool = False) -> None:
        self.taken = set(taken)
        self.are_attributes = are_attributes

    def fresh(self, wanted: str) -> str:
        """`wanted`, changed where it is taken, a word of Python's, or a letter that looks like a digit."""
        name = re.sub(r"\W", "_", wanted, flags=re.ASCII) or "value"
        hides = hasattr(builtins, name) or name in ("l", "O", "I")
        if keyword.iskeyword(name) or (hides and not self.are_attributes):
            name += "_"
        found, number = name, 2
        while found in self.taken:
            found, number = f"{name.rstrip('_')}_{number}", number + 1
        self.taken.add(found)
        return found


def wrapped(text: str, width: int, first: str, hang: str = "    ") -> list[str]:
    """`text` in lines of at most `width`, every one behind `first`; what is too long goes on further to the right."""
    lines = []
    for line in text.split("\n"):
        shown = "".join(character if character.isprintable() else " " for character in line).rstrip()
        begin = first + shown[: len(shown) - len(shown.lstrip())]
        found = textwrap.wrap(
            shown.strip(), width, initial_indent=begin, subsequent_indent=begin + hang, break_on_hyphens=False
        )
        lines += found or [first.rstrip()]
    return lines


def remark(text: str) -> list[str]:
    """`text` as a comment inside a method."""
    return wrapped(text, WIDTH - 8, "# ")


def escaped(text: str) -> str:
    """`text` for the inside of a docstring."""
    return text.replace("\\", "\\\\").replace('"""', "'''")


def indented(lines: Iterable[str], indent: str = "    ") -> list[str]:
    return [indent + line if line else line for line in lines]


def assignment(names: list[str], values: list[str]) -> list[str]:
    """`a, b = self.a, self.b`, on as many lines as it takes."""
    if not names:
        return []
    line = f"{', '.join(names)} = {', '.join(values)}"
    if len(line) <= WIDTH - 8 or len(names) == 1:
        return [line]
    half = len(names) // 2
    return [*assignment(names[:half], values[:half]), *assignment(names[half:], values[half:])]


def fitted(lines: Iterable[str], width: int = WIDTH - 8) -> list[str]:
    """`lines` with every statement that is too long, and one call, broken as ruff breaks it.

    >>> fitted(["T = torch.einsum(pattern, first, second)"], 30)
    ['T = torch.einsum(', '    pattern, first, second', ')']
    """
    return [part for line in lines for part in (_broken(line, width) if len(line) > width else [line])]


def _broken(line: str, width: int) -> list[str]:
    text = line.strip()
    try:
        statement = ast.parse(text).body[0]
    except SyntaxError:
        return [line]  # several lines, or the head of a block
    call = statement.value if isinstance(statement, ast.Assign | ast.Return) else None
    if not isinstance(call, ast.Call) or not (call.args or call.keywords):
        return [line]
    indent = line[: len(line) - len(text)]
    parts: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    arguments = [ast.get_source_segment(text, part) or "" for part in parts]
    head = text[: min(part.col_offset for part in parts)]
    inner = ", ".join(arguments)
    if len(indent) + 4 + len(inner) > width:
        return [indent + head, *(f"{indent}    {argument}," for argument in arguments), f"{indent})"]
    return [indent + head, f"{indent}    {inner}", f"{indent})"]


def in_two_steps(name: str, code: Code) -> list[str]:
    """`name = code`, in two steps where a line would be too long."""
    line = f"{name} = {code.alone}"
    for sign in (" / ", " * "):
        left, _, right = code.text.rpartition(f"{sign}math.sqrt")
        if len(line) > WIDTH - 12 and left:
            return [f"{name} = {left}", f"{name} = {name}{sign}math.sqrt{right}"]
    drawn, moves, device = code.text.rpartition(".to(")
    if len(line) > WIDTH - 12 and moves and device.endswith(".device)"):
        return [f"{name} = {drawn}", f"{name} = {name}.to({device}"]
    return [line]
