"""Syntax as text: an expression or a clause on one line, in the style standard's spacing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from specdsl import tree
from specdsl.source import Span

CHOOSE, COMPARE, SUM, PRODUCT, UNARY, POWER, POSTFIX = range(7)
"""How tightly a printed expression binds, loosest first."""

ELEMENTWISE = frozenset({".*", "./"})
_LONG = 15
"""An operand of more characters makes the products around it wide."""


@dataclass(frozen=True)
class SyntaxText:
    """The printer of clauses and expressions.

    Args:
        matrix_products: the `*` that are matrix products and print as `@`, each by the span of its right operand.

    >>> from specdsl.parser import parse_tree
    >>> SyntaxText().clause(parse_tree("W'=W+alpha/r*A@B").clauses[0])
    "W' = W + alpha/r * A@B"
    """

    matrix_products: Collection[Span] = frozenset()

    # ---------------------------------------------------------------------------------------- clauses

    def clause(self, clause: tree.Clause) -> str:
        """One clause on one line."""
        match clause:
            case tree.Header(key=key, text=text):
                return f"{key}: {text}".rstrip()
            case tree.On():
                return self._on(clause)
            case tree.Train(items=items):
                return f"train {_items(items)}"
            case tree.Penalty(value=value):
                return f"penalty {self.expression(value)}"
            case tree.Bare(values=values):
                return self._list(values)
            case tree.Equation(left=left, right=right):
                return f"{self._list(left)} = {self._list(right)}"
            case tree.FactorLine():
                return self._factor_line(clause)
            case tree.At(event=event, clause=inner):
                arguments = f"({self._list(event.arguments)})" if event.arguments else ""
                return f"at {event.name}{arguments}: {self.clause(inner)}"
            case tree.OnClause(items=items, clause=inner):
                return f"on {_items(items)}: {self.clause(inner)}"

    def _on(self, clause: tree.On) -> str:
        text = f"on {_items(clause.items)}"
        if clause.excluded:
            text += f" except {_items(clause.excluded)}"
        if clause.layers:
            spans = [str(first) if first == last else f"{first}..{last}" for first, last in clause.layers]
            text += f" layers {', '.join(spans)}"
        return text

    def _factor_line(self, line: tree.FactorLine) -> str:
        words = [f"{kind.word}({self._list(kind.keys)})" if kind.keys else kind.word for kind in line.kinds]
        text = " ".join([*words, self._list(line.names)])
        if line.shape is not None:
            text += f" : {self.shape(line.shape)}"
        if line.each is not None:
            text += f" {self._each(line.each)}"
        if line.start is not None:
            text += f" ~ {self.expression(line.start)}"
        for attribute in line.attributes:
            value = "" if attribute.value is None else f" = {self.expression(attribute.value)}"
            text += f", {attribute.name}{value}"
        return text

    def shape(self, sizes: Sequence[tree.Expr]) -> str:
        """`n x r`."""
        return " x ".join(self.expression(size, SUM) for size in sizes)

    def _list(self, values: Sequence[tree.Expr]) -> str:
        return ", ".join(self.expression(value) for value in values)

    def _each(self, each: tree.Each) -> str:
        return f"for {each.name} < {self.expression(each.count)}"

    # ------------------------------------------------------------------------------------ expressions

    def expression(self, node: tree.Expr, level: int = CHOOSE) -> str:
        """The expression, in brackets if it binds more loosely than `level`."""
        text, own = self._expression(node)
        return text if own >= level else f"({text})"

    def _expression(self, node: tree.Expr) -> tuple[str, int]:
        match node:
            case tree.Number(text=text):
                return text, POSTFIX
            case tree.Name(name=name):
                return name, POSTFIX
            case tree.Primed(name=name):
                return f"{name}'", POSTFIX
            case tree.Text(value=value):
                return f'"{value}"', POSTFIX
            case tree.Group(body=body):
                return f"({self.expression(body)})", POSTFIX
            case tree.Sum():
                return self._sum(node), SUM
            case tree.Product():
                return self._product(node), PRODUCT
            case tree.Negative(body=body):
                return f"-{self.expression(body, UNARY)}", UNARY
            case tree.Power(base=base, operator=operator, exponent=exponent):
                return f"{self.expression(base, POSTFIX)}{operator}{self.expression(exponent, UNARY)}", POWER
            case tree.Transpose(body=body):
                return f"{self.expression(body, POSTFIX)}.T", POSTFIX
            case tree.Subscript(body=body, items=items):
                inside = ", ".join(self._index(item) for item in items)
                return f"{self.expression(body, POSTFIX)}[{inside}]", POSTFIX
            case tree.Call():
                return self._call(node), POSTFIX
            case tree.Block(rows=rows):
                return f"[{'; '.join(self._list(row) for row in rows)}]", POSTFIX
            case tree.Stack(body=body, eaches=eaches):
                return f"[{' '.join([self.expression(body), *map(self._each, eaches)])}]", POSTFIX
            case tree.Compare(left=left, operator=operator, right=right):
                return f"{self.expression(left, SUM)} {operator} {self.expression(right, SUM)}", COMPARE
            case tree.Choose(yes=yes, condition=condition, no=no):
                test = f"{self.expression(yes, COMPARE)} if {self.expression(condition, COMPARE)}"
                return f"{test} else {self.expression(no)}", CHOOSE

    def _sum(self, node: tree.Sum) -> str:
        text = self.expression(node.terms[0], PRODUCT)
        for sign, term in zip(node.signs, node.terms[1:], strict=True):
            text += f" {sign} {self.expression(term, PRODUCT)}"
        return text

    def _product(self, node: tree.Product) -> str:
        signs = self._signs(node)
        parts = [self.expression(operand, UNARY) for operand in node.operands]
        text = parts[0]
        for sign, wide, part in zip(signs, _wide(node, signs, parts), parts[1:], strict=True):
            text += f" {sign} {part}" if wide else f"{sign}{part}"
        return text

    def _signs(self, node: tree.Product) -> list[str]:
        """The operators, with `@` for matrix products where that can be read in one way only."""
        signs: list[str] = []
        for sign, operand in zip(node.operators, node.operands[1:], strict=True):
            known = sign == "*" and operand.span in self.matrix_products
            signs.append("@" if known and not ELEMENTWISE.intersection(signs) else sign)
        return signs

    def _index(self, item: tree.Expr | tree.Range) -> str:
        if not isinstance(item, tree.Range):
            return self.expression(item)
        start = "" if item.start is None else self.expression(item.start)
        stop = "" if item.stop is None else self.expression(item.stop)
        colon = " : " if " " in start + stop and start and stop else ":"
        step = "" if item.step is None else f":{self.expression(item.step)}"
        return f"{start}{colon}{stop}{step}"

    def _call(self, node: tree.Call) -> str:
        if node.eaches:
            return f"{node.function}({' '.join([self._list(node.arguments), *map(self._each, node.eaches)])})"
        keywords = [f"{name}={self.expression(value)}" for name, value in node.keywords]
        return f"{node.function}({', '.join([*map(self.expression, node.arguments), *keywords])})"


def _items(items: Sequence[tree.Item]) -> str:
    return ", ".join(f'"{item.text}"' if item.is_pattern else item.text for item in items)


def _wide(node: tree.Product, signs: Sequence[str], parts: Sequence[str]) -> list[bool]:
    """For every operator of a product whether it has spaces around it.

    `@` is narrow in a chain of short operands, and `/` between short ones; what follows a wide sign is wide, so that
    the spacing never says other brackets than the language does. (`s * A@B` may: the product is the same.)
    """
    long = [len(part) > _LONG for part in parts]
    beside_long = [left or right for left, right in pairwise(long)]
    result: list[bool] = []
    for place, sign in enumerate(signs):
        if sign == "@":
            wide = any(beside_long[other] for other in _run(signs, place))
        elif sign == "/":
            wide = beside_long[place] or any(result)
        else:
            scales_call = isinstance(node.operands[place], tree.Number) and _is_call(node.operands[place + 1])
            narrow = sign == "*" and set(signs) <= {"*", "/"} and "/" not in signs[:place] and not scales_call
            wide = not narrow or beside_long[place] or any(result)
        result.append(wide)
    return result


def _is_call(node: tree.Expr) -> bool:
    return isinstance(node.base if isinstance(node, tree.Power) else node, tree.Call)


def _run(signs: Sequence[str], place: int) -> range:
    """The places of the unbroken run of `@` around `place`."""
    first = last = place
    while first > 0 and signs[first - 1] == "@":
        first -= 1
    while last + 1 < len(signs) and signs[last + 1] == "@":
        last += 1
    return range(first, last + 1)
