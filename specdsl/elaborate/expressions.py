"""Syntax to typed expressions: names are looked up, operators applied, shapes checked as they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, Protocol

from specdsl import limits, tree
from specdsl.elaborate.broadcasting import elementwise_shape, matmul_shape
from specdsl.elaborate.signatures import operator_shape
from specdsl.elaborate.solver import ShapeSolver, shape_text
from specdsl.errors import (
    SpecLimitError,
    SpecNameError,
    SpecNotBuiltError,
    SpecShapeError,
    SpecSyntaxError,
    did_you_mean,
)
from specdsl.ir import Apply, Choice, Initial, Layers, Node, Part, Scalar, interned, reads, topological
from specdsl.operators.registry import Operator, Option, Shape, find_operator, operator_names
from specdsl.sizes import SIZE_FUNCTIONS, Size
from specdsl.source import Span

DATA_STATISTICS = ("cov", "pca", "grad", "fisher")
EVENT_FUNCTIONS = (
    "allocate", "grow", "ema", "sensitivity", "cubic", "ridge", "workers", "prefill", "hardest", "split",
)  # fmt: skip
_REDUCTIONS = ("max", "min", "sum", "mean")


class Names(Protocol):
    """Where an expression's names come from."""

    def look_up(self, name: str, span: Span) -> Node: ...
    def primed(self, name: str, span: Span) -> Node: ...
    def function(self, name: str) -> tuple[tuple[str, ...], tree.Expr] | None: ...
    def known(self) -> list[str]: ...
    def warn(self, message: str, span: Span) -> None: ...
    def undefined(self, size: Size) -> str | None:
        """Why a number has no value at the present hyper-parameters, or None."""
        ...


class Expressions:
    """Turns syntax into nodes.

    Args:
        names: what names mean.
        solver: collects what the shapes demand.
    """

    def __init__(self, names: Names, solver: ShapeSolver) -> None:
        self.names = names
        self.solver = solver
        self.local: dict[str, Node] = {}
        self.calls: list[str] = []
        self.expected: Shape | None = None
        self.label = ""
        self.draws = 0
        self.count = 0
        self.unpacked: tree.Expr | None = None
        self.matrix_products: list[Span] = []  # the right sides of `*` between matrices, which print as `@`
        self.scalings: list[Span] = []

    # ------------------------------------------------------------------------------------------ entry

    def value(self, syntax: tree.Expr, label: str, expected: Shape | None = None) -> Node:
        """The node of an expression; `expected` is the shape it fills, `label` names its random draws."""
        before = (self.label, self.draws, self.expected, self.local, self.calls)
        self.label, self.draws, self.expected, self.local, self.calls = label, 0, expected, {}, []
        try:
            return self.read(syntax)
        finally:
            self.label, self.draws, self.expected, self.local, self.calls = before

    def size(self, syntax: tree.Expr, what: str) -> Size:
        """A size or number: an expression of sizes and hyper-parameters only."""
        node = self.read(syntax)
        if not isinstance(node, Scalar):
            raise SpecShapeError(
                f"{what} has to be made of sizes and hyper-parameters, but `{syntax.span.text}` is "
                f"{_article(shape_text(self.solver.shape(node.shape)))}", syntax.span,
            )  # fmt: skip
        return node.size

    def read(self, syntax: tree.Expr) -> Node:
        self.count += 1
        if self.count > limits.NODES:
            raise SpecLimitError(
                f"with its definitions written out the spec has more than {limits.NODES:,} parts", syntax.span
            )
        method: Callable[[Any], Node] = getattr(self, f"_read_{type(syntax).__name__.lower()}")
        try:
            node = method(syntax)
        except SpecLimitError as error:
            error.span = error.span or syntax.span
            raise
        self.solver.span = syntax.span
        if isinstance(node, Scalar):
            self._refuse_undefined(node.size, syntax)
        return node

    def _refuse_undefined(self, size: Size, syntax: tree.Expr) -> None:
        """Numbers of hyper-parameters alone have a value now; `1/(r - 8)` at `r = 8` has none."""
        why = self.names.undefined(size)
        if why is not None:
            raise SpecShapeError(f"`{syntax.span.text}` has no value: {why}", syntax.span)

    @contextmanager
    def _without_expected(self) -> Iterator[None]:
        before, self.expected = self.expected, None
        try:
            yield
        finally:
            self.expected = before

    def _operand(self, syntax: tree.Expr) -> Node:
        with self._without_expected():
            return self.read(syntax)

    # --------------------------------------------------------------------------------------- the leaves

    def _read_number(self, syntax: tree.Number) -> Node:
        return scalar(Size.of(syntax.value))

    def _read_text(self, syntax: tree.Text) -> Node:
        raise SpecSyntaxError("a text in quotes is no value", syntax.span, "patterns belong to `on` and `train`")

    def _read_name(self, syntax: tree.Name) -> Node:
        if syntax.name in self.local:
            return self.local[syntax.name]
        operator = find_operator(syntax.name)
        if operator is not None and syntax.name not in self.names.known():
            if operator.is_start or operator.name == "eye":
                return self._call_operator(operator, tree.Call(syntax.span, syntax.name, ()))
            raise SpecSyntaxError(
                f"`{syntax.name}` is an operator and needs arguments", syntax.span, f"write `{syntax.name}(...)`"
            )
        return self.names.look_up(syntax.name, syntax.span)

    def _read_primed(self, syntax: tree.Primed) -> Node:
        return self.names.primed(syntax.name, syntax.span)

    def _read_group(self, syntax: tree.Group) -> Node:
        return self.read(syntax.body)

    # ------------------------------------------------------------------------------ sums and products

    def _read_sum(self, syntax: tree.Sum) -> Node:
        nodes: list[Node] = []
        for position, term in enumerate(syntax.terms):
            node = self._operand(term)
            nodes.append(negated(node) if position and syntax.signs[position - 1] == "-" else node)
        if all(isinstance(node, Scalar) for node in nodes):
            total = Size.of(0)
            for node in nodes:
                assert isinstance(node, Scalar)
                total = total + node.size
            return scalar(total)
        self._warn_of_products_with_W(syntax)
        shape = nodes[0].shape
        for term, node in zip(syntax.terms[1:], nodes[1:], strict=True):
            self.solver.span = term.span
            shape = elementwise_shape(self.solver, "+", shape, node.shape, syntax.terms[0], term)
        return apply("add", nodes, shape)

    def _warn_of_products_with_W(self, syntax: tree.Sum) -> None:
        for term in syntax.terms:
            if isinstance(term, tree.Product) and "*" in term.operators and len(syntax.terms) > 1:
                for left, sign, right in zip(term.operands, term.operators, term.operands[1:], strict=False):
                    pair = [side.name for side in (left, right) if isinstance(side, tree.Name)]
                    if sign == "*" and len(pair) == 2 and "W" in pair and all(name.isupper() for name in pair):
                        self.names.warn(f"`{left.span.text}*{right.span.text}` is a matrix product; "
                                        "the elementwise product is `.*`", term.span)  # fmt: skip

    def _read_product(self, syntax: tree.Product) -> Node:
        self._refuse_unclear_chain(syntax)
        expected = self.expected
        node = self._factor_of(syntax.operands[0], expected)
        written = syntax.operands[0]
        for sign, operand in zip(syntax.operators, syntax.operands[1:], strict=True):
            right = self._factor_of(operand, expected)
            span = written.span.to(operand.span)
            self.solver.span = span
            node = self._multiply(sign, node, right, written, operand, span)
            written = tree.Group(span, operand)
        return node

    def _factor_of(self, syntax: tree.Expr, expected: Shape | None) -> Node:
        """A factor of a product; `0.1 * kaiming` passes on the shape that is to be filled."""
        inner = syntax
        while isinstance(inner, tree.Group):
            inner = inner.body
        name = inner.name if isinstance(inner, tree.Name) else inner.function if isinstance(inner, tree.Call) else ""
        operator = find_operator(name)
        if operator is not None and operator.is_start:
            before, self.expected = self.expected, expected
            try:
                return self.read(syntax)
            finally:
                self.expected = before
        return self._operand(syntax)

    def _refuse_unclear_chain(self, syntax: tree.Product) -> None:
        signs = syntax.operators
        for place, sign in enumerate(signs):
            if sign in (".*", "./") and "@" in signs[place + 1 :]:
                raise SpecSyntaxError(
                    f"`@` to the right of `{sign}` without brackets can be read two ways", syntax.span,
                    "write the brackets",
                )  # fmt: skip

    def _multiply(
        self, sign: str, left: Node, right: Node, left_syntax: tree.Expr, right_syntax: tree.Expr, span: Span
    ) -> Node:
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return scalar(self._size_product(sign, left.size, right.size, span))
        match sign:
            case "*":
                return self._star(left, right, left_syntax, right_syntax, span)
            case "@":
                return self._matmul(left, right, left_syntax, right_syntax)
            case "/":
                if right.ndim:
                    raise SpecShapeError(
                        f"`/` divides by a number, but `{right_syntax.span.text}` is "
                        f"{shape_text(self.solver.shape(right.shape))}", right_syntax.span,
                        "`./` divides entry by entry",
                    )  # fmt: skip
                return divided(left, self._divisor(right, right_syntax))
            case ".*" | "./":
                shape = elementwise_shape(self.solver, sign, left.shape, right.shape, left_syntax, right_syntax)
                if sign == "./":
                    return divided(left, self._divisor(right, right_syntax), shape)
                if isinstance(left, Scalar) or isinstance(right, Scalar):
                    return scaled(*((left, right) if isinstance(left, Scalar) else (right, left)))
                return apply("times", (left, right), shape)
            case _:
                raise SpecShapeError(f"`{sign}` is for sizes and hyper-parameters only", span)

    def _divisor(self, node: Node, syntax: tree.Expr) -> Node:
        if isinstance(node, Scalar) and not node.size.terms:
            raise SpecShapeError("division by zero", syntax.span)
        if isinstance(node, Scalar):
            self._refuse_undefined(Size.of(1) / node.size, syntax)
        return node

    def _size_product(self, sign: str, left: Size, right: Size, span: Span) -> Size:
        if sign in ("*", ".*", "@"):
            return left * right
        if not right.terms:
            raise SpecShapeError("division by zero", span)
        if sign in ("/", "./"):
            return left / right
        return left // right if sign == "//" else left % right

    def _star(self, left: Node, right: Node, left_syntax: tree.Expr, right_syntax: tree.Expr, span: Span) -> Node:
        if left.ndim == 0 or right.ndim == 0:
            self.scalings.append(right_syntax.span)
            return scaled(left, right) if left.ndim == 0 else scaled(right, left)
        if left.ndim == 1 and right.ndim == 1:
            raise SpecShapeError(
                f"`*` between two vectors, `{left_syntax.span.text}` and `{right_syntax.span.text}`, is unclear",
                span, "`u .* v` multiplies entry by entry, `outer(u, v)` gives a matrix",
            )  # fmt: skip
        if left.ndim == 1 and isinstance(left_syntax, tree.Name) and self._is_undeclared(left):
            name = left_syntax.name
            raise SpecShapeError(
                f"`{name}` is not declared, and a small letter times a matrix could be a number or a row", span,
                f"write `{name} = alpha/r` or `{name} : 1 ~ 1` for a number, `{name}@...` for a row",
            )  # fmt: skip
        self.matrix_products.append(right_syntax.span)
        return self._matmul(left, right, left_syntax, right_syntax)

    def _is_undeclared(self, node: Node) -> bool:
        return bool(getattr(self.names, "is_undeclared", lambda node: False)(node))

    def _matmul(self, left: Node, right: Node, left_syntax: tree.Expr, right_syntax: tree.Expr) -> Node:
        shape = matmul_shape(self.solver, left.shape, right.shape, left_syntax, right_syntax)
        factor, left, right = _numbers_in_front(left, right)
        parts: list[Node] = []
        parts += left.arguments if isinstance(left, Apply) and left.operator == "matmul" else [left]
        product = apply("matmul", (*parts, right), shape)
        return product if factor is None else scaled(scalar(factor), product)

    def _read_negative(self, syntax: tree.Negative) -> Node:
        return negated(self.read(syntax.body))

    def _read_power(self, syntax: tree.Power) -> Node:
        base = self._operand(syntax.base)
        exponent = self.size_of(self._operand(syntax.exponent), syntax.exponent, "an exponent")
        number = exponent.constant
        if number is not None and abs(number) > limits.EXPONENT:
            raise SpecLimitError(f"an exponent is at most {limits.EXPONENT}", syntax.exponent.span)
        if isinstance(base, Scalar):
            if not base.size.terms and (number is None or number <= 0):
                raise SpecShapeError("division by zero", syntax.span)
            return scalar(base.size.power(number) if number is not None else
                          Size.opaque("power", base.size, exponent))  # fmt: skip
        if syntax.operator == ".^" or base.ndim == 0:
            return apply("elpower", (base,), base.shape, exponent=exponent)
        return self._matrix_power(base, number, syntax)

    def _matrix_power(self, base: Node, number: Fraction | None, syntax: tree.Power) -> Node:
        if base.ndim == 1:
            raise SpecShapeError(
                f"`^` is for numbers and square matrices; `{syntax.base.span.text}` is a vector", syntax.span,
                "`.^` is the power of every entry",
            )  # fmt: skip
        if number is None or number.denominator != 1 or (number < 1 and number != -1):
            raise SpecShapeError(
                "the power of a matrix is -1 or a whole number from 1 on", syntax.exponent.span,
                "`.^` is the power of every entry",
            )  # fmt: skip
        self.solver.span = syntax.span
        self.solver.same(base.shape[-2], base.shape[-1], f"`{syntax.span.text}` needs a square matrix")
        if number == -1:
            return apply("inverse", (base,), base.shape)
        return base if number == 1 else apply("matpower", (base,), base.shape, exponent=Size.of(number))

    def size_of(self, node: Node, syntax: tree.Expr, what: str) -> Size:
        if not isinstance(node, Scalar):
            raise SpecShapeError(f"{what} is made of numbers, sizes and hyper-parameters", syntax.span)
        return node.size

    def _read_transpose(self, syntax: tree.Transpose) -> Node:
        node = self._operand(syntax.body)
        if node.ndim < 2:
            what = "a vector acts as a row" if node.ndim else "a number"
            raise SpecShapeError(
                f"`{syntax.span.text}`: {what} and has no transpose", syntax.span,
                "`outer(u, v)`, `diag(v)` or `.*` say what is meant",
            )  # fmt: skip
        shape = (*node.shape[:-2], node.shape[-1], node.shape[-2])
        if isinstance(node, Apply) and node.operator == "transpose":
            return node.arguments[0]
        return apply("transpose", (node,), shape)

    # ------------------------------------------------------------------------------- slices and blocks

    def _read_subscript(self, syntax: tree.Subscript) -> Node:
        node = self._operand(syntax.body)
        if len(syntax.items) > max(node.ndim, 1) or not node.ndim:
            raise SpecShapeError(
                f"`{syntax.body.span.text}` has {node.ndim} axes, but {len(syntax.items)} are indexed", syntax.span
            )
        shape: list[Size] = []
        items: list[Any] = []
        for axis, item in enumerate(syntax.items):
            size = node.shape[axis]
            if isinstance(item, tree.Range):
                length, entry = self._range(item, size, syntax)
                shape.append(length)
                items.append(entry)
                continue
            index = self._operand(item)
            if isinstance(index, Scalar):
                items.append(index.size)
            elif index.ndim == 1 and len(syntax.items) == 1 + sum(
                isinstance(other, tree.Range) and other.start is other.stop is other.step is None
                for other in syntax.items
            ) and axis == 0:  # fmt: skip
                return apply("take", (node, index), (index.shape[0], *node.shape[1:]))
            else:
                raise SpecShapeError(
                    f"`{item.span.text}` cannot be an index here", item.span,
                    "an index is a number, a range `a:b`, or an index vector for the rows `M[I, :]`",
                )  # fmt: skip
        shape += node.shape[len(items) :]
        return apply("slice", (node,), tuple(shape), items=tuple(items))

    def _range(self, item: tree.Range, size: Size, syntax: tree.Subscript) -> tuple[Size, Any]:
        start = self._bound(item.start, size, Size.of(0))
        stop = self._bound(item.stop, size, size)
        self.solver.span = syntax.span
        written = f"`{syntax.span.text}` takes more than there is"
        if item.stop is not None:
            self.solver.at_most(stop, size, written)
        if item.start is not None:
            self.solver.at_most(Size.of(0), start, written)
        length = stop - start
        self.solver.whole(length, f"`{syntax.span.text}` has to take something")
        step = Size.of(1)
        if item.step is not None:
            step = self.size_of(self._operand(item.step), item.step, "a step")
            if step.constant is None or step.constant < 1 or step.constant.denominator != 1:
                raise SpecShapeError("a step is a positive whole number", item.step.span)
            length = Size.opaque("ceil", length / step)
        return length, (start, stop, step)

    def _bound(self, syntax: tree.Expr | None, size: Size, default: Size) -> Size:
        if syntax is None:
            return default
        bound = self.size_of(self._operand(syntax), syntax, "the bound of a slice")
        from_the_end = isinstance(syntax, tree.Negative)
        return size + bound if from_the_end else bound

    def _read_block(self, syntax: tree.Block) -> Node:
        rows: list[Node] = []
        for row in syntax.rows:
            entries = [self._operand(entry) for entry in row]
            rows.append(self._beside(entries, syntax) if len(entries) > 1 or not entries[0].ndim else entries[0])
        if len(rows) == 1:
            return rows[0]
        if any(reads(row) & {"x", "y"} for row in rows):
            raise SpecNotBuiltError("adding rows to the tokens (`[P; y]`) is not built yet", syntax.span)
        if any(row.ndim != 2 for row in rows):
            raise SpecShapeError("`[A; B]` puts matrices one above the other", syntax.span)
        for part in rows[1:]:
            self.solver.span = syntax.span
            self.solver.same(rows[0].shape[1], part.shape[1], f"`{syntax.span.text}`: the widths differ")
        height = sum((row.shape[0] for row in rows[1:]), rows[0].shape[0])
        return apply("vcat", rows, (height, rows[0].shape[1]))

    def _beside(self, entries: list[Node], syntax: tree.Block) -> Node:
        dimensions = {entry.ndim for entry in entries}
        if len(dimensions) != 1 or max(dimensions) > 2:
            raise SpecShapeError("`[A, B]` joins matrices, or vectors, or numbers", syntax.span)
        if dimensions == {0}:
            return apply("numbers", entries, (Size.of(len(entries)),))
        width = entries[0].shape[-1]
        for entry in entries[1:]:
            if entry.ndim == 2:
                self.solver.span = syntax.span
                self.solver.same(entries[0].shape[0], entry.shape[0], f"`{syntax.span.text}`: the heights differ")
            width = width + entry.shape[-1]
        return apply("hcat", entries, (*entries[0].shape[:-1], width))

    def _read_stack(self, syntax: tree.Stack) -> Node:
        raise SpecNotBuiltError("stacks (`[E for i < k]`) are not built yet", syntax.span)

    # --------------------------------------------------------------------------------------- decisions

    def _read_compare(self, syntax: tree.Compare) -> Node:
        left = self.size(syntax.left, "a comparison")
        right = self.size(syntax.right, "a comparison")
        return scalar(Size.opaque(syntax.operator, left, right))

    def _read_choose(self, syntax: tree.Choose) -> Node:
        condition = self._operand(syntax.condition)
        if not isinstance(condition, Scalar):
            raise SpecShapeError("a condition compares sizes and hyper-parameters", syntax.condition.span)
        yes, no = self.read(syntax.yes), self.read(syntax.no)
        if isinstance(yes, Scalar) and isinstance(no, Scalar):
            return scalar(Size.opaque("if", condition.size, yes.size, no.size))
        if yes.ndim != no.ndim:
            raise SpecShapeError("the two sides of `if ... else` have different shapes", syntax.span)
        for left, right in zip(yes.shape, no.shape, strict=True):
            self.solver.span = syntax.span
            self.solver.same(left, right, "the two sides of `if ... else` have different shapes")
        if condition.size.constant is not None:
            return yes if condition.size.constant else no
        return interned(Choice(yes.shape, condition.size, yes, no))

    # ------------------------------------------------------------------------------------------- calls

    def _read_call(self, syntax: tree.Call) -> Node:
        name = syntax.function
        if syntax.eaches:
            raise SpecNotBuiltError(f"folds (`{name}(E for i < k)`) are not built yet", syntax.span)
        function = self.names.function(name)
        if function is not None:
            return self._call_function(syntax, *function)
        if name == "init":
            return self._call_init(syntax)
        if name == "top" and syntax.arguments and _is_layers(syntax.arguments[0]):
            raise SpecNotBuiltError("ranking over the modules (`top(layers(...), k)`) is not built yet", syntax.span)
        if name == "layers":
            raise SpecSyntaxError(
                "`layers(...)` is a list and stands inside max, min, sum, mean or top", syntax.span,
                "for example `max(layers(n))`",
            )  # fmt: skip
        if name in _REDUCTIONS and len(syntax.arguments) == 1 and _is_layers(syntax.arguments[0]):
            return self._reduce_layers(name, syntax)
        if name in DATA_STATISTICS or (name == "mean" and _reads_input(syntax)):
            raise SpecNotBuiltError(f"statistics of data (`{name}(...)`) are not built yet", syntax.span)
        if name in EVENT_FUNCTIONS:
            raise SpecNotBuiltError(f"`{name}` belongs to events and calibration, which are not built yet", syntax.span)
        operator = find_operator(name)
        if name in SIZE_FUNCTIONS:
            folded = self._size_function(syntax, operator)
            if folded is not None:
                return folded
        if operator is None:
            known = [*operator_names(), *SIZE_FUNCTIONS, "init", "layers", *self.names.known()]
            raise SpecNameError(f"there is no operator or function `{name}`", syntax.span, did_you_mean(name, known))
        return self._call_operator(operator, syntax)

    def _call_function(self, syntax: tree.Call, parameters: tuple[str, ...], body: tree.Expr) -> Node:
        name = syntax.function
        if name in self.calls:
            raise SpecNameError(f"`{name}` is defined by itself", syntax.span)
        if len(syntax.arguments) != len(parameters) or syntax.keywords:
            raise SpecSyntaxError(
                f"`{name}` takes {len(parameters)} argument{'s' * (len(parameters) > 1)}, not "
                f"{len(syntax.arguments) + len(syntax.keywords)}", syntax.span,
            )  # fmt: skip
        values = [self._operand(argument) for argument in syntax.arguments]
        before = self.local
        self.local = dict(zip(parameters, values, strict=True))
        self.calls.append(name)
        try:
            return self.read(body)
        finally:
            self.local = before
            self.calls.pop()

    def _call_init(self, syntax: tree.Call) -> Node:
        if len(syntax.arguments) != 1 or syntax.keywords:
            raise SpecSyntaxError("`init` takes one expression", syntax.span)
        node = self._operand(syntax.arguments[0])
        return node if isinstance(node, Scalar) else interned(Initial(node.shape, node))

    def _reduce_layers(self, name: str, syntax: tree.Call) -> Node:
        call = syntax.arguments[0]
        assert isinstance(call, tree.Call)
        if len(call.arguments) != 1 or call.keywords:
            raise SpecSyntaxError("`layers` takes one expression", call.span)
        node = self._operand(call.arguments[0])
        if isinstance(node, Scalar):
            return scalar(Size.opaque(f"layers.{name}", node.size))
        stacked = interned(Layers((Size.symbol("layers"), *node.shape), node))
        return apply(name, (stacked,), ())

    def _size_function(self, syntax: tree.Call, operator: Operator | None) -> Node | None:
        """`min(n, m)` of sizes alone; None if an argument is an array, which the operator then takes."""
        if syntax.keywords:
            return None
        nodes = [self._operand(argument) for argument in syntax.arguments]
        if not nodes or not all(isinstance(node, Scalar) for node in nodes):
            return None
        sizes = [node.size for node in nodes if isinstance(node, Scalar)]
        wanted = 2 if syntax.function in ("min", "max") else 1
        if (len(sizes) < 2) if wanted == 2 else (len(sizes) != 1):
            raise SpecSyntaxError(f"`{syntax.function}` of sizes takes {wanted}", syntax.span)
        try:
            if syntax.function == "sqrt":
                return scalar(sizes[0].power(Fraction(1, 2)))
            return scalar(Size.opaque(syntax.function, *sizes))
        except (ValueError, OverflowError, StopIteration) as error:
            raise SpecShapeError(f"`{syntax.span.text}`: {error}", syntax.span) from None

    def _call_operator(self, operator: Operator, syntax: tree.Call) -> Node:
        expected = self.expected
        count = len(operator.inputs)
        texts = [argument for argument in syntax.arguments if isinstance(argument, tree.Text)]
        plain = [argument for argument in syntax.arguments if not isinstance(argument, tree.Text)]
        arrays_given = plain if operator.variadic else plain[:count]
        if len(arrays_given) < count:
            raise SpecSyntaxError(
                f"`{operator.name}` takes {count} array{'s' * (count > 1)}, not {len(arrays_given)}", syntax.span
            )
        nested_start = operator.is_start and count
        arrays = [self.read(one) if nested_start else self._operand(one) for one in arrays_given]
        rest = [] if operator.variadic else plain[count:]
        options = self._options(operator, syntax, [*texts, *rest], expected)
        if operator.draw is not None:
            options["label"] = f"{self.label}.{self.draws}"
            self.draws += 1
        self.solver.span = syntax.span
        if "shape" in options and operator.is_start:
            shape: Any = options["shape"]
        else:
            shape = operator_shape(self.solver, operator, [node.shape for node in arrays], options, syntax.span.text)
        for size in _sizes_of(shape):
            self.solver.whole(size, f"`{syntax.span.text}`")
        if len(operator.outputs) > 1:
            if syntax is not self.unpacked:
                names = ", ".join("abcd"[: len(operator.outputs)]).upper()
                raise SpecShapeError(
                    f"`{operator.name}` gives {len(operator.outputs)} values", syntax.span,
                    f"unpack them: `{names} = {syntax.span.text}`",
                )  # fmt: skip
            of = interned(Apply((), operator.name, tuple(arrays), _frozen(options)))
            return interned(Part(shape[0], of, 0))
        return apply(operator.name, arrays, shape, **options)

    def unpack(self, syntax: tree.Expr, position: int, count: int, label: str) -> Node:
        """One of the values of an operator that has several: `S` of `U, S, V = svd(W)`."""
        self.unpacked = syntax
        node = self.value(syntax, label)
        if not isinstance(node, Part) or not isinstance(node.of, Apply):
            raise SpecShapeError(f"`{syntax.span.text}` is one value, not {count}", syntax.span)
        operator = node.of.definition
        if len(operator.outputs) != count:
            raise SpecShapeError(f"`{operator.name}` gives {len(operator.outputs)} values, not {count}", syntax.span)
        self.solver.span = syntax.span
        shapes = operator_shape(
            self.solver, operator, [one.shape for one in node.of.arguments], dict(node.of.options), operator.name
        )
        shape = shapes[position]
        assert isinstance(shape, tuple)
        return interned(Part(shape, node.of, position))

    def _options(
        self, operator: Operator, syntax: tree.Call, plain: list[tree.Expr], expected: Shape | None
    ) -> dict[str, Any]:
        declared = [option for option in operator.options if option.name not in ("shape", "size")]
        sized = operator.is_start or operator.name == "eye"
        required = [option for option in declared if option.default is _REQUIRED]
        given: dict[str, Any] = {}
        sizes: list[tree.Expr] = []
        positional = [option for option in declared if option.name not in ("seed", "sizes")]
        if not sized and any(option.name == "shape" for option in operator.options):
            given["shape"] = tuple(self.size(size, f"a size of `{operator.name}`") for size in plain)
            plain = []
        if sized and (len(plain) > len(positional)):
            head = len(required)
            positional, sizes, plain = positional[:head], plain[head:], plain[:head]
        if len(plain) > len(positional):
            raise SpecSyntaxError(f"`{operator.name}` takes fewer arguments", plain[len(positional)].span)
        pairs = [(option.name, value) for option, value in zip(positional, plain, strict=False)]
        takes_any_size = any(option.name == "sizes" for option in declared)
        for name, value in [*pairs, *syntax.keywords]:
            option = next((one for one in operator.options if one.name == name and name != "sizes"), None)
            if option is None and takes_any_size:
                named = given.get("sizes", ())
                given["sizes"] = (*named, (name, self.size(value, f"the size `{name}`")))
                continue
            if option is None:
                raise SpecNameError(
                    f"`{operator.name}` has no option `{name}`", value.span,
                    did_you_mean(name, [one.name for one in operator.options]),
                )  # fmt: skip
            if name in given:
                raise SpecSyntaxError(f"`{operator.name}` is given `{name}` twice", value.span)
            given[name] = self._option(operator, option, value)
        for option in declared:
            if option.name not in given and option.name != "sizes":
                if option.default is _REQUIRED:
                    raise SpecSyntaxError(f"`{operator.name}` needs `{option.name}`", syntax.span)
                if option.default is not None and not isinstance(option.default, str):
                    given[option.name] = _default(option)
                elif isinstance(option.default, str) and option.kind in ("text",):
                    given[option.name] = option.default
        if sized:
            self._add_shape(operator, given, sizes, expected, syntax)
        return given

    def _option(self, operator: Operator, option: Option, value: tree.Expr) -> Any:
        what = f"`{option.name}` of `{operator.name}`"
        match option.kind:
            case "text":
                if not isinstance(value, tree.Text):
                    raise SpecSyntaxError(f"{what} is a text in double quotes", value.span)
                return value.value
            case "flag":
                if not isinstance(value, tree.Name) or value.name not in ("true", "false"):
                    raise SpecSyntaxError(f"{what} is true or false", value.span)
                return value.name == "true"
            case "axis":
                return self._axis(what, value)
            case _:
                with self._without_expected():
                    return self.size(value, what)

    def _axis(self, what: str, value: tree.Expr) -> int:
        if isinstance(value, tree.Name) and value.name == "tokens":
            return 0
        number = self.size(value, what).constant
        if number is None or number.denominator != 1 or abs(number) > 8:
            raise SpecSyntaxError(f"{what} is an axis: 0, 1 or tokens", value.span)
        return int(number)

    def _add_shape(
        self, operator: Operator, given: dict[str, Any], sizes: list[tree.Expr], expected: Shape | None,
        syntax: tree.Call,
    ) -> None:  # fmt: skip
        shape = tuple(self.size(size, f"a size of `{operator.name}`") for size in sizes)
        if operator.name == "eye":
            if len(shape) > 1 or (not shape and expected is not None and len(expected) != 2):
                raise SpecShapeError("`eye` takes one size and is a square matrix", syntax.span)
            size = shape[0] if shape else self.solver.fresh()
            if expected is not None and not shape:
                self.solver.span = syntax.span
                self.solver.same(expected[0], expected[1], "`eye` is square")
                size = expected[0]
            given["size"] = size
        elif operator.inputs:
            return
        elif shape:
            given["shape"] = shape
        elif expected is not None:
            given["shape"] = expected
        else:
            raise SpecShapeError(
                f"`{operator.name}` needs its sizes here", syntax.span, f"as in `{operator.name}(n, r)`"
            )


_REQUIRED = Option("", "size").default


def _default(option: Option) -> Any:
    if option.kind in ("size", "number") and not isinstance(option.default, bool):
        return Size.of(Fraction(str(option.default)))
    return option.default


def _article(text: str) -> str:
    return text if text.startswith("a ") else f"an array of shape {text}"


def _is_layers(syntax: tree.Expr) -> bool:
    return isinstance(syntax, tree.Call) and syntax.function == "layers"


def _reads_input(syntax: tree.Call) -> bool:
    return any(isinstance(argument, tree.Name) and argument.name in ("x", "y") for argument in syntax.arguments) and (
        not syntax.keywords
    )


def _sizes_of(shape: Any) -> Iterator[Size]:
    for entry in shape:
        if isinstance(entry, Size):
            yield entry
        else:
            yield from _sizes_of(entry)


def _frozen(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))


# ------------------------------------------------------------------------------------ building nodes


def apply(operator: str, arguments: Any, axes: Shape, /, **options: Any) -> Node:
    """An interned operator node."""
    return interned(Apply(tuple(axes), operator, tuple(arguments), _frozen(options)))


def scalar(size: Size) -> Scalar:
    return interned(Scalar((), size))


def _numbers_in_front(left: Node, right: Node) -> tuple[Size | None, Node, Node]:
    """`(s*A)@B` and `A@(s*B)` as `s * (A@B)`: the numbers of a product, and its matrices."""
    factor: Size | None = None
    sides = []
    for side in (left, right):
        if isinstance(side, Apply) and side.operator == "scale" and isinstance(side.arguments[0], Scalar):
            number = side.arguments[0].size
            factor = number if factor is None else factor * number
            side = side.arguments[1]
        sides.append(side)
    return factor, sides[0], sides[1]


def negated(node: Node) -> Node:
    if isinstance(node, Scalar):
        return scalar(-node.size)
    return apply("negative", (node,), node.shape)


def scaled(factor: Node, node: Node) -> Node:
    """`factor * node` for a number and an array; a numeric factor moves to the front of a chain of scalings."""
    if isinstance(factor, Scalar) and isinstance(node, Scalar):
        return scalar(factor.size * node.size)
    if isinstance(factor, Scalar) and factor.size == Size.of(1):
        return node
    return apply("scale", (factor, node), node.shape)


def divided(left: Node, right: Node, shape: Shape | None = None) -> Node:
    if isinstance(right, Scalar):
        return scaled(scalar(Size.of(1) / right.size), left)
    return apply("divide", (left, right), left.shape if shape is None else shape)


def count_nodes(node: Node) -> int:
    return len(topological([node]))
