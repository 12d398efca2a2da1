"""Functions and operators: their arguments, options and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from specdsl import tree
from specdsl.elaborate.measuring import Measuring, is_layers
from specdsl.elaborate.signatures import operator_shape
from specdsl.elaborate.slips import slip_hint
from specdsl.elaborate.walks import all_syntax
from specdsl.errors import (
    SpecNameError,
    SpecShapeError,
    SpecSyntaxError,
    did_you_mean,
)
from specdsl.ir import Apply, Initial, Layers, Measured, Node, Part, Scalar, interned
from specdsl.measures import MEASURES
from specdsl.nodes import apply, scalar
from specdsl.operators.registry import Operator, Option, Shape, find_operator, operator_names
from specdsl.parser import parse_tree
from specdsl.sizes import SIZE_FUNCTIONS, Size

OWN_OPERATORS = "operators of your own are registered first: with `specdsl.operator`, or by `--import MODULE`"
_REDUCTIONS = ("max", "min", "sum", "mean")


def unknown_operators(text: str) -> list[str]:
    """The names that a spec's text calls and neither the language, a registration nor the spec itself brings.

    >>> unknown_operators("f(Z) = relu(Z) | W + quantised(f(A))@B")
    ['quantised']
    """
    try:
        syntax = parse_tree(text)
    except SpecSyntaxError:
        return []
    calls = [part.function for part in all_syntax(syntax) if isinstance(part, tree.Call) and not part.eaches]
    equations = [clause for clause in syntax.clauses if isinstance(clause, tree.Equation)]
    own = {left.function for clause in equations for left in clause.left if isinstance(left, tree.Call)}
    known = {*operator_names(), *SIZE_FUNCTIONS, *MEASURES, "hardest", "init", "layers", *own}
    return sorted(set(calls) - known)


class Calls(Measuring):
    """Reads `name(...)`."""

    def _read_call(self, syntax: tree.Call) -> Node:
        name = syntax.function
        if syntax.eaches:
            return self._read_fold(syntax)
        function = self.names.function(name)
        if function is not None:
            return self._call_function(syntax, *function)
        if name == "init":
            return self._call_init(syntax)
        self._refuse_whole_list(syntax)
        if name == "layers":
            raise SpecSyntaxError(
                "`layers(...)` is a list and stands inside max, min, sum, mean or top", syntax.span,
                "for example `max(layers(n))`",
            )  # fmt: skip
        if name in _REDUCTIONS and len(syntax.arguments) == 1 and is_layers(syntax.arguments[0]):
            return self._reduce_layers(name, syntax)
        measure = self._reads_measure(syntax)
        if measure is not None:
            return self._read_measure(measure, syntax)
        operator = find_operator(name)
        if name in SIZE_FUNCTIONS:
            folded = self._size_function(syntax, operator)
            if folded is not None:
                return folded
        if operator is None:
            known = [*operator_names(), *SIZE_FUNCTIONS, "init", "layers", *self.names.known()]
            hint = slip_hint(name) or did_you_mean(name, known) or OWN_OPERATORS
            raise SpecNameError(f"there is no operator or function `{name}`", syntax.span, hint)
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
        takes_vectors = operator.shape is None and operator.inputs and operator.inputs[0].split()[:-1] in ([], ["..."])
        if takes_vectors and len(operator.outputs) == 1 and arrays and arrays[0].ndim == 2 < len(shape):
            raise SpecShapeError(
                f"`{operator.name}` takes a vector, but `{arrays_given[0].span.text}` is a matrix", syntax.span,
                "a vector is a small letter; the diagonal blocks of a stack are `blockdiag`",
            )  # fmt: skip
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

    def unpack(
        self, syntax: tree.Expr, position: int, count: int, label: str, local: Mapping[str, Node] | None = None
    ) -> Node:
        """One of the values of an operator that has several: `S` of `U, S, V = svd(W)`."""
        self.unpacked = syntax
        node = self.value(syntax, label, local=local)
        if isinstance(node, Part) and isinstance(node.of, Measured):
            return self._unpack_measured(node.of, syntax, position, count)
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

    def _unpack_measured(self, of: Measured, syntax: tree.Expr, position: int, count: int) -> Node:
        shapes = MEASURES[of.name].shapes([argument.shape for argument in of.arguments])
        if len(shapes) != count:
            raise SpecShapeError(f"`{of.name}` gives {len(shapes)} values, not {count}", syntax.span)
        return interned(Part(shapes[position], of, position))

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
        self._refuse_numbers_as_sizes(operator, sizes, shape, syntax)
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

    def _refuse_numbers_as_sizes(
        self, operator: Operator, written: list[tree.Expr], shape: Shape, syntax: tree.Call
    ) -> None:
        """`normal(0, 0.02)` means a mean and a deviation elsewhere."""
        for size, one in zip(shape, written, strict=True):
            number = size.constant
            if number is None or (number >= 1 and number.denominator == 1):
                continue
            names = [option.name for option in operator.options if option.name not in ("seed", "shape", "size")]
            takes = f"takes one number, `{names[0]}`" if len(names) == 1 else f"takes {len(names) or 'no'} numbers"
            hint = f"`{operator.name}({syntax.arguments[-1].span.text})` is around zero" if len(names) == 1 else None
            raise SpecShapeError(f"`{one.span.text}` is no size: `{operator.name}` {takes}, and sizes", one.span, hint)


_REQUIRED = Option("", "size").default


def _default(option: Option) -> Any:
    if option.kind in ("size", "number") and not isinstance(option.default, bool):
        return Size.of(Fraction(str(option.default)))
    return option.default


def _sizes_of(shape: Any) -> Iterator[Size]:
    for entry in shape:
        if isinstance(entry, Size):
            yield entry
        else:
            yield from _sizes_of(entry)


def _frozen(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))
