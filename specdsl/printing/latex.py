"""A spec as mathematics: the adapted values, the author's definitions, the factors, the loss, the conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specdsl import tree
from specdsl.elaborate.clauses import Definition
from specdsl.ir import (
    Apply,
    Condition,
    Factor,
    FactorIR,
    GivenIR,
    HyperParameter,
    Measured,
    Node,
    Site,
    topological,
)
from specdsl.operators.registry import find_operator
from specdsl.printing.explain import limit_text
from specdsl.printing.expression_latex import ExpressionLatex
from specdsl.printing.expression_text import expression_text
from specdsl.printing.latex_symbols import latex_escaped, latex_name
from specdsl.printing.latex_template import PRODUCT, SUM
from specdsl.printing.size_syntax import balanced, size_syntax
from specdsl.sizes import Size

if TYPE_CHECKING:
    from specdsl.spec import Spec

_DEFAULT_STARTS = {"zeros": r"= \mathbf{0}", "ones": r"= \mathbf{1}", "eye": "= I"}


def spec_latex(spec: Spec) -> str:
    r"""The method as an `aligned` block, for `$$...$$` or `\[...\]`; valid in LaTeX, MathJax and KaTeX.

    `A^{(0)}` is the value of A at the start and `\mathcal{L}` the loss of the task.

    >>> import specdsl
    >>> print(spec_latex(specdsl.parse("b + d")))
    \begin{aligned}
    b' &= b + d \\
    d &\in \mathbb{R}^{m}, \quad d^{(0)} = \mathbf{0}
    \end{aligned}
    """
    if spec.parts:
        lines = []
        for part in spec.parts:
            lines += [rf"&\text{{{latex_escaped(limit_text(part))}}}", *_lines(part)]
    else:
        lines = _lines(spec)
    joined = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{joined}\n\\end{{aligned}}"


def equations(spec: Spec) -> list[str]:
    """The adapted values, the author's definitions, and the starts that are computed, each `left &= right`.

    The spec is one without parts.
    """
    rows = _Rows(spec)
    return [*rows.targets(), *rows.definitions(), *rows.computed_starts()]


def _lines(spec: Spec) -> list[str]:
    rows = _Rows(spec)
    return [*rows.targets(), *rows.definitions(), *rows.factors(), *rows.given(), *rows.loss(), *rows.conditions()]


class _Rows:
    """The rows of the block, each with one `&` before its relation."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.ir = spec.ir
        names = frozenset({*spec.clauses.names(), *self.ir.factors})
        shapes = {name: factor.shape for name, factor in self.ir.factors.items()}
        shapes |= {name: given.shape for name, given in self.ir.given.items()}
        self.printer = ExpressionLatex(shapes, names)

    def targets(self) -> list[str]:
        written = self.spec.clauses.targets
        return [self._target(name, written[name][0]) for name in self.ir.targets]

    def _target(self, name: str, value: tree.Expr) -> str:
        if isinstance(value, tree.Call) and value.function == "put_rows":
            _, rows, new = value.arguments  # `W'[I, :] = P`
            return f"{name}'_{{{self.printer.inside(rows)}, :}} &= {self.printer.inside(new)}"
        return f"{name}' &= {self.printer.inside(value)}"

    def definitions(self) -> list[str]:
        written = self.spec.clauses.definitions
        distinct = {definition.together or (name,): definition for name, definition in written.items()}
        rows = [
            self._hyper(self.ir.hyper[name]) if name in self.ir.hyper else self._definition(definition)
            for (name, *_), definition in distinct.items()
        ]
        outside = [one for name, one in self.ir.hyper.items() if not one.is_default and name not in written]
        return [*rows, *map(self._hyper, outside)]

    def _hyper(self, parameter: HyperParameter) -> str:
        definition = self.spec.clauses.definitions.get(parameter.name)
        is_set = definition is None or parameter.name in self.spec.settings
        value = size_syntax(parameter.value) if is_set or definition is None else definition.value
        return f"{latex_name(parameter.name)} &= {self.printer.inside(value)}"

    def _definition(self, definition: Definition) -> str:
        left = ", ".join(map(latex_name, definition.together or (definition.name,)))
        if definition.parameters is not None:
            left += f"({', '.join(map(latex_name, definition.parameters))})"
        return f"{left} &= {self.printer.inside(definition.value)}"

    # ---------------------------------------------------------------------------------------- factors

    def factors(self) -> list[str]:
        return [self._factor(factor) for factor in self.ir.factors.values()]

    def given(self) -> list[str]:
        return [self._given(given) for given in self.ir.given.values()]

    def computed_starts(self) -> list[str]:
        """Of factors whose start reads the module or data."""
        found = [one for one in self.ir.factors.values() if one.start is not None and _is_computed(one.start)]
        return [f"{_initial(one)} &{self._start(one)}" for one in found]

    def _given(self, given: GivenIR) -> str:
        symbol = latex_name(given.name)
        shape = r" \times ".join(self.printer.expression(size_syntax(size), PRODUCT) for size in given.shape)
        space = rf"\mathbb{{R}}^{{{shape}}}" if given.shape else r"\mathbb{R}"
        row = rf"{symbol} &\in {space}\ \text{{({given.kind})}}"
        relation = r"\sim" if given.kind == "noise" else "="
        clause = self.spec.clauses.factors[given.name][0]
        if clause.start is None:
            return row
        return rf"{row}, \quad {symbol} {relation} {self.printer.inside(clause.start)}"

    def _factor(self, factor: FactorIR) -> str:
        symbol = latex_name(factor.name)
        numbers = r"\mathbb{N}" if factor.kind == "index" else r"\mathbb{R}"
        space = f"{numbers}^{{{self._shape(factor)}}}" if factor.shape else numbers
        row = rf"{symbol} &\in {space}{self._kind(factor)}"
        start = self._start(factor)
        if start is None:
            return row
        return rf"{row}, \quad {_initial(factor)} {start}"

    def _shape(self, factor: FactorIR) -> str:
        """The shape as the author wrote it, else as it was found."""
        clause = self.spec.clauses.factors.get(factor.name)
        written = clause[0].shape if clause is not None else None
        sizes = written if written is not None else [size_syntax(size) for size in factor.shape]
        level = PRODUCT if len(sizes) > 1 else SUM
        return r" \times ".join(self.printer.expression(size, level) for size in sizes)

    def _kind(self, factor: FactorIR) -> str:
        words = [] if factor.is_trained else [factor.kind]
        if factor.shared is not None:
            words.append(f"shared by {', '.join(map(str, factor.shared))}" if factor.shared else "shared")
        words += ["orthonormal"] if factor.orthonormal else []
        return rf"\ \text{{({latex_escaped(', '.join(words))})}}" if words else ""

    def _start(self, factor: FactorIR) -> str | None:
        """The relation and value of a factor's start, as the author wrote it where there is one."""
        clause = self.spec.clauses.factors.get(factor.name)
        if clause is not None and clause[0].start is not None:
            start = clause[0].start
            if isinstance(start, tree.Name) and start.name == "kaiming" and factor.start is not None:
                fan = factor.shape[-2] if len(factor.shape) > 1 else factor.shape[-1]
                return self._uniform(fan)
            relation = r"\sim" if _is_drawn(start) else "="
            return f"{relation} {self.printer.inside(start)}"
        return None if factor.start is None else self._default_start(factor.start)

    def _default_start(self, start: Node) -> str:
        if not isinstance(start, Apply):
            return f"= {expression_text(start)}"
        if start.operator == "kaiming":
            return self._uniform(start.option("fan"))
        return _DEFAULT_STARTS.get(start.operator, rf"\sim \operatorname{{{latex_escaped(start.operator)}}}")

    def _uniform(self, fan: Size) -> str:
        bound = rf"\frac{{1}}{{\sqrt{{{self._size(fan)}}}}}"
        return rf"\sim \mathcal{{U}}\left(-{bound}, {bound}\right)"

    # ----------------------------------------------------------------------------- loss and conditions

    def loss(self) -> list[str]:
        syntax = sorted(self.spec.clauses.penalties, key=lambda value: value.span.start)
        terms = [self._penalty(value, penalty.once) for value, penalty in zip(syntax, self.ir.penalties, strict=True)]
        if not terms:
            return []
        return [rf"\mathcal{{L}}' &= \mathcal{{L}} + {terms[0]}", *(rf"&\quad + {term}" for term in terms[1:])]

    def _penalty(self, value: tree.Expr, once: bool) -> str:
        if once:
            text = self.printer.inside(value)
            return text if not text.startswith("-") else f"({text})"
        return rf"\sum_{{\text{{modules}}}} {self.printer.expression(value, SUM + 1)}"

    def conditions(self) -> list[str]:
        return [self._condition(condition) for condition in self.ir.conditions]

    def _condition(self, condition: Condition) -> str:
        left, right = map(self._size, balanced(condition))
        match condition.kind:
            case "whole":
                return rf"{left} &\in \mathbb{{N}}"
            case "equal":
                return f"{left} &= {right}"
            case _:
                return rf"{left} &\le {right}"

    def _size(self, size: Size) -> str:
        return self.printer.inside(size_syntax(size))


def _initial(factor: FactorIR) -> str:
    """A factor at the start: `A^{(0)}`, of a frozen one `A`."""
    symbol = latex_name(factor.name)
    return f"{symbol}^{{(0)}}" if factor.is_trained else symbol


def _is_computed(start: Node) -> bool:
    return any(isinstance(node, Site | Factor | Measured) for node in topological([start]))


def _is_drawn(start: tree.Expr) -> bool:
    """Whether a start is a random draw and nothing more."""
    name = start.name if isinstance(start, tree.Name) else start.function if isinstance(start, tree.Call) else ""
    operator = find_operator(name)
    return operator is not None and operator.draw is not None
