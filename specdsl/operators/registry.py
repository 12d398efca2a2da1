"""What an operator is, and the table of all operators.

An operator is one registration: its name, its shape rule, its value over an array namespace, the facts that hold of
it and a line of documentation. Everything else (checking, printing, starts, training, equivalence) reads this table.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from inspect import signature as python_signature
from keyword import iskeyword
from string import Formatter
from typing import Any, Literal, Protocol, get_args

from specdsl.errors import SpecNameError, SpecOperatorError, did_you_mean
from specdsl.operators.signature_check import HINT, check_signature
from specdsl.sizes import Size

Shape = tuple[Size, ...]
"""The symbolic sizes of an array's axes; `()` is a number."""

REQUIRED: Any = object()
"""The default of an option that must be given."""

OptionKind = Literal["size", "number", "flag", "text", "axis"]

Fact = Literal[
    "elementwise",  # acts on every entry alone
    "linear",  # f(a*X + Y) = a*f(X) + f(Y), for operators of one array
    "multilinear",  # linear in each of its arrays
    "keeps_zero",  # zero where its first array is zero
    "nonnegative",  # no entry is below zero
    "symmetric",  # equals its transpose
    "skew",  # equals minus its transpose
    "diagonal",  # zero off the diagonal
    "lower",  # zero above the diagonal
    "upper",  # zero below the diagonal
    "orthogonal",  # square, and its transpose is its inverse
    "identity_at_zero",  # the identity matrix (or one) where its array is zero
    "idempotent",  # f(f(X)) = f(X)
    "involution",  # f(f(X)) = X
    "constant",  # its derivative is zero everywhere
    "places",  # its entries are whole numbers that count places
]


@dataclass(frozen=True)
class Option:
    """A named argument that is no array: a size, a number, a flag, a text or an axis.

    `default` may be the name of a size of the signature (`"b"`), which is then taken.
    """

    name: str
    kind: OptionKind
    default: Any = REQUIRED


class ShapeContext(Protocol):
    """What a shape rule may ask of the checker."""

    def fresh(self) -> Size:
        """A size still to be found."""
        ...

    def same(self, left: Size, right: Size, why: str) -> None:
        """Demand that two sizes are equal; solves unknown ones, else records a size condition or raises."""
        ...

    def whole(self, size: Size, why: str) -> None:
        """Demand that a size is a whole number, at least 1."""
        ...

    def at_most(self, small: Size, large: Size, why: str) -> None:
        """Demand `small <= large`."""
        ...

    def resolved(self, size: Size) -> Size:
        """The size with everything put in that is known so far."""
        ...


class ShapeRule(Protocol):
    def __call__(
        self, context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]
    ) -> Shape | tuple[Shape, ...]: ...


IndexRange = Callable[[Sequence[Shape], Mapping[str, Any]], Size]
"""From the shapes of an operator's arrays and its options: how many places an index picks from."""

FormRule = Callable[..., Any] | Literal["value"]
"""`"value"`, or a function over forms; see `Operator.form`."""

Samples = Callable[[Any], tuple[list[Any], dict[str, Any]]]
"""From a `numpy.random.Generator`: random legal arrays and options, for the test that holds every operator."""


@dataclass(frozen=True)
class Operator:
    """One operator of the language.

    Attributes:
        name: as written in a spec.
        signature: the axes of its arrays and of its value, `"n m, m k -> n k"`. Equal letters are equal sizes, `...`
            is any number of leading axes, `()` a number, and an axis of the value may be a size expression of letters
            and options (`a*c`, `min(a, b)`). A `shape` rule, where there is one, replaces it.
        value: `value(xp, *arrays, **options)` over an array namespace; sizes arrive as whole numbers.
        doc: one line, the formula first.
        facts: what holds of its value; each is tested against numbers.
        options: arguments that are no arrays, in the order in which they may be given without their names.
        shape: the shape rule where a signature cannot say it.
        samples: random legal arguments where any matrix of the signature's shape would not do.
        torch: how emitted code writes it: an expression over torch, `F` and `math`, such as `"torch.relu({0})"`, with
            `{0}`, `{1}` for its arrays, `{all}` for all of them with commas, `{k}` for an option, `{shape}` for the
            sizes of its value and `{like}` for a tensor of the layer's dtype and device. `{0:atom}` is an array that
            owns a method or an index. None where code depends on more than that; an operator of a user's without it
            cannot be emitted.
        latex: a format string over the printed arguments, `"{0}^{{-1}}"`; by default the name as a function.
        variadic: whether the last array of the signature may be repeated.
        outputs: the number of values; above one, the spec unpacks them (`U, S, V = svd(W)`).
        arrays: how many arrays it takes; None reads it off the signature.
        draw: for random starts, `draw(stream, shape, **options)`; the value is drawn once, at attach.
        is_start: whether it stands only where a value begins (a start or a derived value), taking the shape from there.
        index_ranges: by position, for arrays that are indices: how many places there are to pick from. An index that is
            given at attach is held to it.
        form: how the equivalence checker writes it as sums of tensor networks, for all sizes at once: `"value"` runs
            `value` itself over forms, where it is plain algebra; a function is run in its place, `form(forms, *arrays,
            **options)`. Without one the operator is an atom of its own, equal to itself over equal arguments.
    """

    name: str
    signature: str
    value: Callable[..., Any]
    doc: str
    facts: frozenset[Fact] = frozenset()
    options: tuple[Option, ...] = ()
    shape: ShapeRule | None = None
    samples: Samples | None = None
    latex: str | None = None
    variadic: bool = False
    draw: Callable[..., Any] | None = None
    is_start: bool = False
    torch: str | None = None
    index_ranges: Mapping[int, IndexRange] | None = None
    form: FormRule | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The axes of each array, as written in the signature."""
        left = self.signature.split("->")[0].strip()
        return tuple(part.strip() for part in left.split(",")) if left else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The axes of each value. Commas inside brackets belong to a size."""
        right, parts, depth, start = self.signature.split("->")[1], [], 0, 0
        for place, character in enumerate(right):
            depth += (character == "(") - (character == ")")
            if character == "," and depth == 0:
                parts.append(right[start:place].strip())
                start = place + 1
        return (*parts, right[start:].strip())

    def has(self, fact: Fact) -> bool:
        return fact in self.facts


_TABLE: dict[str, Operator] = {}
_BUILT_IN: set[str] = set()


def add_operator(operator: Operator, *, replace: bool = False) -> Operator:
    """Enter `operator` into the table.

    Args:
        replace: whether an operator of that name may be there already; those of the language stay.

    Raises:
        SpecNameError: the name is taken, or is no plain name.
        SpecOperatorError: a fact, an option or the signature is none, or the function does not take its arrays, or
            the form in torch reads what is not there.
    """
    if operator.name in _BUILT_IN:
        raise SpecNameError(f"`{operator.name}` is an operator of the language and stays", hint="choose another name")
    if operator.name in _TABLE and not replace:
        hint = "`replace=True` puts this one in its place"
        raise SpecNameError(f"an operator `{operator.name}` exists already", hint=hint)
    if _BUILT_IN:
        check_operator(operator)
    _check_form(operator)
    _TABLE[operator.name] = operator
    return operator


def _check_form(operator: Operator) -> None:
    """Raise SpecOperatorError unless the form in torch reads nothing but the operator's own arrays and options."""
    known = {"all", "shape", "like", *(option.name for option in operator.options)}
    try:
        pieces = list(Formatter().parse(operator.torch or "None"))
        ast.parse("".join(literal + ("_" if field is not None else "") for literal, field, _, _ in pieces), mode="eval")
    except (ValueError, SyntaxError) as error:
        raise SpecOperatorError(f"the form of `{operator.name}` in torch is no template: {error}") from None
    for _, field, _, _ in pieces:
        is_array = field is not None and field.isdecimal() and (operator.variadic or int(field) < len(operator.inputs))
        if field is not None and not is_array and field not in known:
            raise SpecOperatorError(
                f"the form of `{operator.name}` in torch reads `{{{field}}}`, which is none of its arrays and options",
                hint=f"`{{0}}` is its first array; options are {', '.join(sorted(known))}",
            )


def check_operator(operator: Operator) -> None:
    """Raise unless the registration is complete in itself.

    Raises:
        SpecNameError: the name is no plain name.
        SpecOperatorError: a fact, an option or the signature is none, or the function does not take its arrays.
    """
    name = operator.name
    if not name.isidentifier() or iskeyword(name) or name.startswith("_"):
        raise SpecNameError(f"`{name}` is no name for an operator", hint="use letters, digits and `_`")
    for fact in sorted(operator.facts - set(get_args(Fact))):
        hint = did_you_mean(fact, get_args(Fact)) or f"the facts are {', '.join(get_args(Fact))}"
        raise SpecOperatorError(f"`{name}`: there is no fact `{fact}`", hint=hint)
    for option in operator.options:
        if option.kind not in get_args(OptionKind):
            hint = f"the kinds are {', '.join(get_args(OptionKind))}"
            raise SpecOperatorError(f"`{name}`: its option `{option.name}` is of no kind `{option.kind}`", hint=hint)
    if operator.signature.count("->") != 1:
        raise SpecOperatorError(f"the signature of `{name}`, `{operator.signature}`, needs one `->`", hint=HINT)
    options = [option.name for option in operator.options]
    if operator.shape is None:
        check_signature(name, operator.signature, operator.inputs, operator.outputs, options)
    if not operator.variadic and operator.draw is None:
        _check_function(operator, options)


def _check_function(operator: Operator, options: Sequence[str]) -> None:
    try:
        taken = python_signature(operator.value)
    except (TypeError, ValueError):
        return  # a builtin of C without a readable signature
    try:
        taken.bind(None, *operator.inputs, **dict.fromkeys(options))
    except TypeError as error:
        count = len(operator.inputs)
        arrays = f"{count} array{'s' * (count != 1)}"
        shown = ", ".join(["xp", *(f"array{place}" for place in range(1, count + 1)), *options])
        raise SpecOperatorError(
            f"the function of `{operator.name}` does not take {arrays} as its signature says: {error}",
            hint=f"it is called as `{operator.name}({shown})`",
        ) from None


def seal_built_in() -> None:
    """Remember the operators registered so far as those of the language."""
    _BUILT_IN.update(_TABLE)


def is_built_in(name: str) -> bool:
    """Whether the language brings the operator."""
    return name in _BUILT_IN


def operator(
    name: str,
    signature: str,
    *,
    facts: Sequence[Fact] = (),
    options: Sequence[Option] | None = None,
    shape: ShapeRule | None = None,
    samples: Samples | None = None,
    latex: str | None = None,
    variadic: bool = False,
    draw: Callable[..., Any] | None = None,
    is_start: bool = False,
    torch: str | None = None,
    index_ranges: Mapping[int, IndexRange] | None = None,
    form: FormRule | None = None,
    replace: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as an operator's value; its docstring is the operator's line of documentation.

    Parameters of the function with a default are the operator's options, unless `options` says otherwise: a truth
    value is a flag, a text a text, a whole number a size (an axis if it is called `axis`), another number a number.
    `replace=True` registers a name anew, as a notebook does that runs a cell twice.

    Raises:
        SpecNameError: the name is taken, or is no plain name.
        SpecOperatorError: the registration is malformed; see `check_operator`.

    >>> from specdsl.operators.registry import operator, remove_operator
    >>> @operator("double_of", "... -> ...", facts=["elementwise", "linear"], torch="2 * {0}")
    ... def double_of(xp, X):
    ...     "`2 * X`."
    ...     return 2 * X
    >>> remove_operator("double_of")
    """

    def register(value: Callable[..., Any]) -> Callable[..., Any]:
        declared = _keyword_options(name, value) if options is None else tuple(options)
        made = Operator(
            name, signature, value, (value.__doc__ or "").strip(), frozenset(facts), declared, shape, samples, latex,
            variadic, draw, is_start, torch, index_ranges, form,
        )  # fmt: skip
        add_operator(made, replace=replace)
        return value

    return register


def _keyword_options(name: str, value: Callable[..., Any]) -> tuple[Option, ...]:
    """The options that the defaults of a function's parameters declare."""
    found = []
    for parameter in python_signature(value).parameters.values():
        default = parameter.default
        if default is Parameter.empty:
            continue
        match default:
            case bool():
                found.append(Option(parameter.name, "flag", default))
            case str():
                found.append(Option(parameter.name, "text", default))
            case int():
                found.append(Option(parameter.name, "axis" if parameter.name == "axis" else "size", default))
            case float():
                found.append(Option(parameter.name, "number", default))
            case _:
                hint = f'declare it: `options=[specdsl.Option("{parameter.name}", "number")]`'
                raise SpecOperatorError(f"`{name}`: the default of `{parameter.name}` is no number or text", hint=hint)
    return tuple(found)


def remove_operator(name: str) -> None:
    """Take an operator out again (for tests and notebooks that register one twice)."""
    del _TABLE[name]


def find_operator(name: str) -> Operator | None:
    return _TABLE.get(name)


def operator_names() -> list[str]:
    return sorted(_TABLE)


def all_operators() -> list[Operator]:
    return [_TABLE[name] for name in operator_names()]
