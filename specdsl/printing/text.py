"""A spec as formatted text, in the style standard: what it says stays, order and spacing become the standard's."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection

from specdsl import tree
from specdsl.printing.clause_order import HEADER, clause_groups, clause_order
from specdsl.printing.comments import Comments
from specdsl.printing.syntax_text import SyntaxText
from specdsl.source import Span

WIDTH = 100
"""The longest line, comments apart."""

_INDENT = "    "
_BINARY = re.compile(r"(@|\*|\.\*|\./|//?|%|\+|-|~|==|!=|<=?|>=?|x|if|else|for|except|layers) ")


def spec_text(spec: tree.SpecTree, matrix_products: Collection[Span] = frozenset(), *, keep_line: bool = True) -> str:
    """The formatted text of a spec, without a line end at its end.

    Headers, a blank line, numbers, what is derived from W, factors, the target, penalties, events, `on`, `train`,
    notes; clauses of one group keep their order, comments stay with their clause and those on top of the text on top.
    A line longer than `WIDTH` continues on indented lines. The text parses to the same clauses, and formatting it
    again changes nothing.

    Args:
        spec: the syntax tree.
        matrix_products: the `*` that are matrix products and print as `@`, each by the span of its right operand.
        keep_line: whether a spec that was written on one line stays on one line.

    >>> from specdsl.parser import parse_tree
    >>> print(spec_text(parse_tree("W+A@G@B|orth(A)")))
    W + A@G@B | orth(A)
    >>> print(spec_text(parse_tree("W' = W + s*A@B | s = alpha/r"), keep_line=False))
    s = alpha/r
    W' = W + s * A@B
    """
    comments = Comments.of(spec)
    printer = SyntaxText(matrix_products)
    order = clause_order(spec)
    if keep_line and _is_one_line(spec):
        line = " | ".join(printer.clause(spec.clauses[position]) for position in order)
        return "  ".join([line, *(own.after for own in comments.clauses if own.after), *comments.below]).strip()
    groups = clause_groups(spec)
    lines: list[str] = [*comments.top, *([""] if comments.is_apart else [])]
    for place, position in enumerate(order):
        if place and groups[position] != HEADER and groups[order[place - 1]] == HEADER:
            lines.append("")
        own = comments.clauses[position]
        lines += own.before
        lines += _wrapped(printer.clause(spec.clauses[position]), spec.clauses[position])
        lines[-1] += f"  {own.after}" if own.after else ""
    return "\n".join([*lines, *comments.below])


def spec_line(spec: tree.SpecTree) -> str:
    """The spec's clauses on one line, without headers and comments.

    >>> from specdsl.parser import parse_tree
    >>> spec_line(parse_tree("title: LoRA\\nW + A@B\\non attention"))
    'W + A@B | on attention'
    """
    clauses = [spec.clauses[position] for position in clause_order(spec)]
    printer = SyntaxText()
    return " | ".join(printer.clause(clause) for clause in clauses if not isinstance(clause, tree.Header))


def _is_one_line(spec: tree.SpecTree) -> bool:
    has_header = any(isinstance(clause, tree.Header) for clause in spec.clauses)
    return not has_header and "\n" not in spec.span.source.text.strip()


def _wrapped(line: str, clause: tree.Clause) -> list[str]:
    """A clause on as many lines as it needs, all but the first indented."""
    if isinstance(clause, tree.Header):
        return textwrap.wrap(
            line, WIDTH, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
        )  # fmt: skip
    lines: list[str] = []
    while len(line) > WIDTH:
        place = _break_place(line)
        if place is None:
            break
        lines.append(line[:place])
        line = _INDENT + line[place + 1 :]
    return [*lines, line]


def _break_place(line: str) -> int | None:
    """The space at which `line` breaks: outside as many brackets as possible, before a sign or after a comma."""
    spaces = _spaces(line)
    fitting = [(place, depth) for place, depth in spaces if place <= WIDTH] or spaces[:1]
    for least in (WIDTH // 3, 0):
        candidates = [(depth, -place) for place, depth in fitting if place >= least and _is_good(line, place)]
        if candidates:
            return -min(candidates)[1]
    return fitting[-1][0] if fitting else None


def _is_good(line: str, place: int) -> bool:
    return line[place - 1] in ",;" or _BINARY.match(line, place + 1) is not None


def _spaces(line: str) -> list[tuple[int, int]]:
    """The spaces between words, outside strings, each with the number of brackets around it; up to one past `WIDTH`."""
    spaces: list[tuple[int, int]] = []
    depth, in_string, has_begun = 0, False, False
    for place, character in enumerate(line):
        has_begun = has_begun or character != " "
        if character == '"':
            in_string = not in_string
        elif not in_string:
            depth += (character in "([") - (character in ")]")
            if character == " " and has_begun:
                spaces.append((place, depth))
        if place > WIDTH and spaces:
            break
    return spaces
