"""Expressions of the syntax tree as mathematics that LaTeX, MathJax and KaTeX set alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from specdsl import tree
from specdsl.operators.registry import Operator, Shape, find_operator
from specdsl.printing.latex_symbols import function_symbol, latex_escaped, latex_name, latex_number
from specdsl.printing.latex_template import (
    ATOM,
    COMPARISON,
    ELEMENTWISE,
    POWER,
    PRODUCT,
    SUM,
    Level,
    bracketed,
    scripted,
    template_text,
)

_COMPARISONS = {"<": "<", ">": ">", "<=": r"\le", ">=": r"\ge", "==": "=", "!=": r"\ne"}
_FOLDS = {"sum": r"\sum", "prod": r"\prod"}
_REDUCTIONS = {"max": r"\max", "min": r"\min", "sum": r"\sum", "mean": r"\operatorname{mean}"}
_MODULE_SIZES = frozenset({"n", "m", "c", "kh", "kw"})


@dataclass(frozen=True)
class ExpressionLatex:
    r"""The printer of expressions.

    Args:
        shapes: the factors of the spec; `orth` of a wide one multiplies the other way round.
        names: every name the spec introduces; other names may be operators (`eye`, `kaiming`).

    >>> from specdsl.parser import parse_tree
    >>> print(ExpressionLatex().expression(parse_tree("W + alpha/r * A@B").clauses[0].values[0]))
    W + \frac{\alpha}{r}\, A B
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def expression(self, node: tree.Expr, level: int = SUM) -> str:
        """The expression, in brackets if it binds more loosely than `level`."""
        text, own = self._expression(node)
        return text if own >= level else bracketed(text)

    def inside(self, node: tree.Expr) -> str:
        """The expression where brackets or a fraction's bar stand around it anyway."""
        return self.expression(_without_groups(node), COMPARISON)

    def _expression(self, node: tree.Expr) -> Level:
        match node:
            case tree.Number(text=text):
                return latex_number(text)
            case tree.Name():
                return self._name(node)
            case tree.Primed(name=name):
                return f"{latex_name(name)}'", ATOM
            case tree.Text(value=value):
                return rf"\text{{“{latex_escaped(value)}”}}", ATOM
            case tree.Group():
                text, level = self._expression(_without_groups(node))
                return (text, level) if level == ATOM else (bracketed(text), ATOM)
            case tree.Sum():
                return self._sum(node), SUM
            case tree.Product():
                return self._product(node)
            case tree.Negative(body=body):
                return f"-{self.expression(body, PRODUCT)}", SUM
            case tree.Power(base=base, operator=operator, exponent=exponent):
                circle = r"\circ " if operator == ".^" else ""
                return f"{self._base(base)}^{{{circle}{self.inside(exponent)}}}", POWER
            case tree.Transpose(body=body):
                return rf"{self._base(body)}^\top", POWER
            case tree.Subscript(body=body, items=items):
                return f"{self._base(body, '_')}_{{{', '.join(self._index(item) for item in items)}}}", ATOM
            case tree.Call():
                return self._call(node)
            case tree.Block(rows=rows):
                lines = r" \\ ".join(" & ".join(self.inside(entry) for entry in row) for row in rows)
                return rf"\begin{{bmatrix}} {lines} \end{{bmatrix}}", ATOM
            case tree.Stack(body=body, eaches=eaches):
                return rf"\left[ {self.inside(body)} \right]_{{{self._eaches(eaches)}}}", ATOM
            case tree.Compare(left=left, operator=operator, right=right):
                return f"{self.expression(left)} {_COMPARISONS[operator]} {self.expression(right)}", COMPARISON
            case tree.Choose(yes=yes, condition=condition, no=no):
                first = rf"{self.inside(yes)} & \text{{if }} {self.inside(condition)}"
                rest = rf"{self.inside(no)} & \text{{otherwise}}"
                return rf"\begin{{cases}} {first} \\ {rest} \end{{cases}}", ATOM

    def _name(self, node: tree.Name) -> Level:
        operator = None if node.name in self.names else find_operator(node.name)
        if operator is None:
            return latex_name(node.name), ATOM
        return self._template(operator, tree.Call(node.span, node.name, ())) or (function_symbol(node.name), ATOM)

    def _base(self, node: tree.Expr, sign: str = "^") -> str:
        """What an index or exponent is put on."""
        is_power = isinstance(node, tree.Power)
        return scripted(self.expression(node, ATOM if is_power else POWER), sign)

    def _index(self, item: tree.Expr | tree.Range) -> str:
        if not isinstance(item, tree.Range):
            return self.inside(item)
        bounds = ["" if bound is None else self.inside(bound) for bound in (item.start, item.stop)]
        return ":".join(bounds + ([] if item.step is None else [self.inside(item.step)]))

    def _eaches(self, eaches: Sequence[tree.Each]) -> str:
        return ", ".join(f"{latex_name(each.name)} < {self.inside(each.count)}" for each in eaches)

    # ------------------------------------------------------------------------------ sums and products

    def _sum(self, node: tree.Sum) -> str:
        text = self.expression(node.terms[0])
        for sign, term in zip(node.signs, node.terms[1:], strict=True):
            text += f" {sign} {self.expression(term, ELEMENTWISE)}"
        return text

    def _product(self, node: tree.Product) -> Level:
        first, minus = node.operands[0], ""
        while isinstance(first, tree.Negative):
            first, minus = first.body, f"-{minus}"
        value = self._expression(first)
        written: tree.Expr | None = first
        for sign, operand in zip(node.operators, node.operands[1:], strict=True):
            value = self._times(value, written, sign, operand)
            written = None
        return (f"{minus}{value[0]}", SUM) if minus else value

    def _times(self, left: Level, written: tree.Expr | None, sign: str, operand: tree.Expr) -> Level:
        """`left sign operand`; `written` is the syntax of `left` where it is one operand."""
        top = left[0] if written is None else self.inside(written)
        match sign:
            case "/":
                return rf"\frac{{{top}}}{{{self.inside(operand)}}}", PRODUCT
            case "//":
                return rf"\left\lfloor \frac{{{top}}}{{{self.inside(operand)}}} \right\rfloor", ATOM
            case "%":
                return rf"{_at(left, PRODUCT)} \bmod {self.expression(operand, POWER)}", ELEMENTWISE
            case ".*" | "./":
                symbol = r"\odot" if sign == ".*" else r"\oslash"
                return rf"{_at(left, ELEMENTWISE)} {symbol} {self.expression(operand, POWER)}", ELEMENTWISE
        return _side_by_side(_at(left, PRODUCT), self.expression(operand, PRODUCT), sign), PRODUCT

    # ------------------------------------------------------------------------------------------ calls

    def _call(self, node: tree.Call) -> Level:
        name, arguments = node.function, node.arguments
        if node.eaches:
            fold = _FOLDS.get(name, function_symbol(name))
            body = self.expression(arguments[0], POWER)
            return f"{fold}_{{{self._eaches(node.eaches)}}} {body}", ELEMENTWISE
        if len(arguments) == 1 and not node.keywords and name not in self.names:
            special = self._special(name, arguments[0])
            if special is not None:
                return special
        operator = None if name in self.names else find_operator(name)
        printed = self._template(operator, node) if operator is not None else None
        if printed is not None:
            return printed
        shown = [self.inside(argument) for argument in arguments]
        shown += [f"{latex_name(keyword)} = {self.inside(value)}" for keyword, value in node.keywords]
        function = latex_name(name) if name in self.names else function_symbol(name)
        return f"{function}{bracketed(', '.join(shown))}", ATOM

    def _special(self, name: str, argument: tree.Expr) -> Level | None:
        inner = _without_groups(argument)
        if name == "init":
            base = self._base(inner if isinstance(inner, tree.Name) else tree.Group(argument.span, inner))
            return f"{base}^{{(0)}}", POWER
        if name in _REDUCTIONS and isinstance(inner, tree.Call) and inner.function == "layers" and inner.arguments:
            body = self.expression(inner.arguments[0], POWER)
            return rf"{_REDUCTIONS[name]}_{{\text{{layers}}}} {body}", ELEMENTWISE
        if name == "eye":
            return f"I_{{{self.inside(inner)}}}", ATOM
        if name == "orth" and isinstance(inner, tree.Name) and _is_wide(self.shapes.get(inner.name, ())):
            symbol = latex_name(inner.name)
            return rf"\left\lVert {symbol} {symbol}^\top - I \right\rVert_F^2", POWER
        return None

    def _template(self, operator: Operator, node: tree.Call) -> Level | None:
        """The call through the operator's own format, if that shows all its arguments."""
        count = len(operator.inputs)
        if operator.latex is None or len(node.arguments) < count:
            return None
        free = [option for option in operator.options if option.name not in ("shape", "size", "seed")]
        pairs = [*zip((option.name for option in free), node.arguments[count:], strict=False), *node.keywords]
        if len(node.arguments) - count > len(free):
            return None
        options = {name: (self.inside(value), ATOM) for name, value in pairs}
        return template_text(operator.latex, [self._expression(_without_groups(one)) for one in node.arguments[:count]],
                             options)  # fmt: skip


def _without_groups(node: tree.Expr) -> tree.Expr:
    while isinstance(node, tree.Group):
        node = node.body
    return node


def _at(value: Level, level: int) -> str:
    return value[0] if value[1] >= level else bracketed(value[0])


def _side_by_side(left: str, right: str, sign: str) -> str:
    if right[0].isdigit():
        return rf"{left} \cdot {right}"
    is_tight = sign == "@" and r"\mathrm" not in left and not right.startswith(r"\mathrm")
    return f"{left} {right}" if is_tight else rf"{left}\, {right}"


def _is_wide(shape: Shape) -> bool:
    """Whether a matrix has more columns than rows in every module, as far as its symbols say."""
    inner = [not size.symbols & _MODULE_SIZES for size in shape]
    return inner == [True, False]
