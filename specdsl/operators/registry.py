"""What an operator is, and the table of all operators.

An operator is one registration: its name, its shape rule, its value over an array namespace, the facts that hold of
it and a line of documentation. Everything else (checking, printing, starts, training, equivalence) reads this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal, Protocol

from specdsl.errors import SpecNameError
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
"""From the shapes of an operator's arrays and its options: how many places its index picks from."""

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
        index_range: where the last array is an index, how many places there are; one given at attach is held to it.
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
    index_range: IndexRange | None = None

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


def add_operator(operator: Operator) -> Operator:
    """Enter `operator` into the table.

    Raises:
        SpecNameError: the name is taken, or is no plain name, or the form in torch reads what is not there.
    """
    if operator.name in _TABLE:
        raise SpecNameError(f"an operator `{operator.name}` exists already")
    if not operator.name.isidentifier():
        raise SpecNameError(f"`{operator.name}` is no name for an operator", hint="use letters, digits and `_`")
    _check_form(operator)
    _TABLE[operator.name] = operator
    return operator


def _check_form(operator: Operator) -> None:
    """Raise SpecNameError unless the form in torch reads nothing but the operator's own arrays and options."""
    known = {"all", "shape", "like", *(option.name for option in operator.options)}
    try:
        fields = [field for _, field, _, _ in Formatter().parse(operator.torch or "")]
    except ValueError as error:
        raise SpecNameError(f"the form of `{operator.name}` in torch is no template: {error}") from None
    for field in fields:
        is_array = field is not None and field.isdecimal() and (operator.variadic or int(field) < len(operator.inputs))
        if field is not None and not is_array and field not in known:
            raise SpecNameError(
                f"the form of `{operator.name}` in torch reads `{{{field}}}`, which is none of its arrays and options",
                hint=f"`{{0}}` is its first array; options are {', '.join(sorted(known))}",
            )


def operator(
    name: str,
    signature: str,
    *,
    facts: Sequence[Fact] = (),
    options: Sequence[Option] = (),
    shape: ShapeRule | None = None,
    samples: Samples | None = None,
    latex: str | None = None,
    variadic: bool = False,
    draw: Callable[..., Any] | None = None,
    is_start: bool = False,
    torch: str | None = None,
    index_range: IndexRange | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as an operator's value; its docstring is the operator's line of documentation.

    >>> from specdsl.operators.registry import operator, remove_operator
    >>> @operator("double_of", "... -> ...", facts=["elementwise", "linear"], torch="2 * {0}")
    ... def double_of(xp, X):
    ...     "`2 * X`."
    ...     return 2 * X
    >>> remove_operator("double_of")
    """

    def register(value: Callable[..., Any]) -> Callable[..., Any]:
        add_operator(
            Operator(
                name, signature, value, (value.__doc__ or "").strip(), frozenset(facts), tuple(options), shape, samples,
                latex, variadic, draw, is_start, torch, index_range,
            )
        )  # fmt: skip
        return value

    return register


def remove_operator(name: str) -> None:
    """Take an operator out again (for tests and notebooks that register one twice)."""
    del _TABLE[name]


def find_operator(name: str) -> Operator | None:
    return _TABLE.get(name)


def operator_names() -> list[str]:
    return sorted(_TABLE)


def all_operators() -> list[Operator]:
    return [_TABLE[name] for name in operator_names()]
