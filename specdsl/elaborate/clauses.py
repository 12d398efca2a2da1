"""The first pass: clauses sorted by what they say, names declared, impossible left-hand sides refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from specdsl import limits, tree
from specdsl.errors import (
    SpecError,
    SpecLimitError,
    SpecNameError,
    SpecNotBuiltError,
    SpecSyntaxError,
    SpecTargetError,
    did_you_mean,
)
from specdsl.operators.registry import find_operator
from specdsl.role_names import is_role, role_hint
from specdsl.sizes import SIZE_FUNCTIONS
from specdsl.source import Span

TARGETS = ("W", "b", "x", "y")
RESERVED = frozenset({"W", "b", "x", "y", "n", "m", "tokens", "layer", "role", "eye", "layers", "init"})
UNDECLARED = re.compile(r"[A-Za-z][0-9]*")
"""The names a factor may have without being declared: one letter, then digits."""

_ATTRIBUTES = ("orthonormal", "lr", "decay", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Definition:
    """`name = E`, `U, S, V = svd(W)` (`position` picks the value) or `f(Z) = E` (`parameters`)."""

    name: str
    value: tree.Expr
    span: Span
    parameters: tuple[str, ...] | None = None
    position: int | None = None
    together: tuple[str, ...] = ()


@dataclass
class Clauses:
    """The clauses of a spec by kind. Errors found on the way are gathered, not raised."""

    headers: dict[str, tree.Header] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)
    factors: dict[str, tuple[tree.FactorLine, Span]] = field(default_factory=dict)
    targets: dict[str, tuple[tree.Expr, Span]] = field(default_factory=dict)
    bare: list[tree.Expr] = field(default_factory=list)
    penalties: list[tree.Expr] = field(default_factory=list)
    on: tree.On | None = None
    homogeneous: bool = False
    """Whether `[W'; b'] = E` gives both targets: each holds E."""
    view: tuple[tree.Expr, ...] | None = None
    """The axes of W where the spec says so (`W : c x m x kh x kw`)."""
    events: list[tree.At] = field(default_factory=list)
    is_in_parts: bool = False
    """Whether some clauses are limited to some modules."""
    train: list[tree.Item] = field(default_factory=list)
    errors: list[SpecError] = field(default_factory=list)
    failed: dict[str, SpecError] = field(default_factory=dict)

    @staticmethod
    def of(spec: tree.SpecTree) -> Clauses:
        clauses = Clauses()
        for clause in spec.clauses:
            try:
                clauses._add(clause)
            except SpecError as error:
                clauses.errors.append(error)
                clauses.failed |= dict.fromkeys(_names_on_the_left(clause), error)
        clauses._choose_target(spec)
        return clauses

    def names(self) -> Iterator[str]:
        """Every name the spec introduces."""
        yield from self.definitions
        yield from self.factors

    def _add(self, clause: tree.Clause) -> None:
        match clause:
            case tree.Header():
                self._add_header(clause)
            case tree.On():
                if self.on is not None:
                    raise SpecSyntaxError("a spec has one `on`", clause.span, "join the items with commas")
                self.on = clause
                self._check_items((*clause.items, *clause.excluded))
            case tree.Train():
                self.train += clause.items
                self._check_items(clause.items)
            case tree.Penalty(value=value):
                self.penalties.append(value)
            case tree.Bare(values=values):
                self._add_bare(values)
            case tree.Equation():
                self._add_equation(clause)
            case tree.FactorLine():
                self._add_factors(clause)
            case tree.At():
                self.events.append(clause)
            case tree.OnClause(items=items, clause=inner):  # the whole of a spec in parts, see `placement`
                self.is_in_parts = True
                self._check_items(items)
                if isinstance(inner, tree.Header | tree.On | tree.Train):
                    raise SpecSyntaxError("only equations, factors and penalties are limited to modules", inner.span)

    def _check_items(self, items: tuple[tree.Item, ...]) -> None:
        """A bare word is a role of the language; whether a model has it is seen when there is one."""
        self.errors += [
            SpecTargetError(f"`{item.text}` is no role", item.span, role_hint(item.text))
            for item in items
            if not item.is_pattern and not is_role(item.text)
        ]

    def _add_header(self, clause: tree.Header) -> None:
        if clause.key in self.headers and clause.key != "note":
            raise SpecSyntaxError(f"`{clause.key}:` is given twice", clause.span)
        if clause.key == "starts" and clause.text != "elsewhere":
            raise SpecSyntaxError(f"`starts: {clause.text}` is unknown", clause.span, "write `starts: elsewhere`")
        if clause.key == "note" and "note" in self.headers:
            joined = f"{self.headers['note'].text} {clause.text}"
            clause = tree.Header(self.headers["note"].span, "note", joined)
        self.headers[clause.key] = clause

    def _add_bare(self, values: tuple[tree.Expr, ...]) -> None:
        if len(values) > 1:
            raise SpecSyntaxError(
                "several expressions stand here without a meaning",
                values[0].span.to(values[-1].span),
                "a factor needs a shape or a start: `A, B : n x r` or `A, B ~ zeros`",
            )
        self.bare.append(values[0])

    def _add_equation(self, clause: tree.Equation) -> None:
        left, right = clause.left, clause.right
        if len(left) > 1 and all(isinstance(part, tree.Name) for part in left) and len(right) == 1:
            names = tuple(part.name for part in left if isinstance(part, tree.Name))
            for position, part in enumerate(left):
                assert isinstance(part, tree.Name)
                if part.name != "_":
                    self._define(Definition(part.name, right[0], part.span, None, position, names))
            return
        if len(left) != len(right):
            has_expression = not all(isinstance(part, tree.Name) for part in left)
            raise SpecSyntaxError(
                f"{len(left)} names on the left and {len(right)} values on the right", clause.span,
                "a comma joins names of one clause; clauses are set apart by `|`" if has_expression else None,
            )  # fmt: skip
        for part, value in zip(left, right, strict=True):
            self._equate(part, value, clause.span)

    def _equate(self, left: tree.Expr, value: tree.Expr, span: Span) -> None:
        match left:
            case tree.Primed(name=name):
                if name not in TARGETS:
                    raise SpecNameError(
                        f"`{name}'` is no value of a module", left.span, "the targets are W', b', x' and y'"
                    )
                if name in self.targets:
                    raise SpecNameError(f"`{name}'` is assigned twice", left.span)
                self.targets[name] = (value, span)
            case tree.Name(name=name) if name in TARGETS:
                raise SpecNameError(
                    f"`{name}` is the module's own and cannot be assigned", left.span,
                    f"write `{name}' = ...` for its adapted value",
                )  # fmt: skip
            case tree.Name(name=name):
                self._define(Definition(name, value, left.span))
            case tree.Call(function=name, arguments=arguments, keywords=()):
                self._define_function(left, name, arguments, value)
            case tree.Subscript(body=tree.Primed(name="W"), items=(index, *rest)):
                self._replace_rows(left, index, rest, value, span)
            case tree.Block(rows=((tree.Primed(name="W"),), (tree.Primed(name="b"),))):
                for name in ("W", "b"):
                    self._equate(tree.Primed(left.span, name), value, span)
                self.homogeneous = True
            case _:
                raise SpecSyntaxError(
                    f"`{left.span.text}` cannot be assigned", left.span, "a name, W', b', x' or y' stands before `=`"
                )

    def _replace_rows(
        self, left: tree.Subscript, index: tree.Expr | tree.Range, rest: list[tree.Expr | tree.Range],
        value: tree.Expr, span: Span,
    ) -> None:  # fmt: skip
        """`W'[I, :] = P`: W with its rows I replaced."""
        others = [(item.start, item.stop, item.step) if isinstance(item, tree.Range) else item for item in rest]
        if isinstance(index, tree.Range) or others not in ([], [(None, None, None)]):
            raise SpecSyntaxError(
                f"`{left.span.text}` cannot be assigned: whole rows are replaced, by an index", left.span,
                "for example `index I : r ~ choice(n)` and `W'[I, :] = P`",
            )  # fmt: skip
        rows = tree.Call(span, "put_rows", (tree.Name(left.span, "W"), index, value))
        self._equate(tree.Primed(left.span, "W"), rows, span)

    def _define_function(self, left: tree.Call, name: str, arguments: tuple[tree.Expr, ...], value: tree.Expr) -> None:
        parameters = [argument.name for argument in arguments if isinstance(argument, tree.Name)]
        if len(parameters) != len(arguments) or not arguments:
            raise SpecSyntaxError(
                f"the parameters of `{name}` have to be plain names", left.span, f"as in `{name}(Z) = ...`"
            )
        if len(set(parameters)) != len(parameters):
            raise SpecNameError(f"`{name}` has the same parameter twice", left.span)
        if find_operator(name) or name in SIZE_FUNCTIONS:
            raise SpecNameError(f"`{name}` is an operator and cannot be defined anew", left.span)
        self._define(Definition(name, value, left.span, tuple(parameters)))

    def _define(self, definition: Definition) -> None:
        self._introduce(definition.name, definition.span)
        self.definitions[definition.name] = definition

    def _introduce(self, name: str, span: Span) -> None:
        if name in RESERVED:
            raise SpecNameError(f"`{name}` has a fixed meaning and cannot be defined", span, "choose another name")
        if name in self.definitions or name in self.factors:
            raise SpecNameError(f"`{name}` is introduced twice", span, self._one_line_hint(name, span))

    def _one_line_hint(self, name: str, span: Span) -> str | None:
        """Shape and start of a factor are told in one clause."""
        line, _ = self.factors.get(name, (None, span))
        if line is None or (line.shape is None) == (line.start is None):
            return None
        return f"shape and start stand in one clause: `{name} : n x r ~ kaiming`"

    def _add_factors(self, line: tree.FactorLine) -> None:
        if [name.name for name in line.names if isinstance(name, tree.Name)] == ["W"] and line.shape is not None:
            return self._add_view(line)
        for name in line.names:
            if not isinstance(name, tree.Name):
                what = f"`{name.span.text}` is not a factor's name"
                hint = "write `W' = ...` to assign the target" if isinstance(name, tree.Primed) else None
                raise SpecSyntaxError(what, name.span, hint)
        self._refuse_unbuilt(line)
        self._check_attributes(line)
        for name in line.names:
            assert isinstance(name, tree.Name)
            self._introduce(name.name, name.span)
            self.factors[name.name] = (line, name.span)

    def _add_view(self, line: tree.FactorLine) -> None:
        if line.kinds or line.start is not None or line.attributes or line.each is not None:
            raise SpecSyntaxError(
                "W is the module's own: it has a view and no kind, start or attributes", line.span,
                "as in `W : c x m x kh x kw`",
            )  # fmt: skip
        if self.view is not None:
            raise SpecNameError("the axes of `W` are given twice", line.span)
        self.view = line.shape

    def _refuse_unbuilt(self, line: tree.FactorLine) -> None:
        words = [kind.word for kind in line.kinds]
        for kind in line.kinds:
            if words.count(kind.word) > 1:
                raise SpecSyntaxError(f"`{kind.word}` is said twice", kind.span)
        if "frozen" in words and "index" in words:
            raise SpecSyntaxError("an index is frozen already", line.span, "write `index` alone")
        if {"noise", "input"} & set(words) and len(words) > 1:
            word = "noise" if "noise" in words else "input"
            raise SpecSyntaxError(f"`{word}` is a kind of its own", line.span, f"write `{word}` alone")
        if {"noise", "input"} & set(words) and line.attributes:
            raise SpecSyntaxError("a value that is not trained has no attributes", line.attributes[0].span)
        if line.each is not None:
            raise SpecNotBuiltError("a family of factors (`for i < k`) is not built yet", line.each.span)
        if line.shape is not None and len(line.shape) > limits.AXES:
            raise SpecLimitError(f"a factor has at most {limits.AXES} axes", line.shape[0].span.to(line.shape[-1].span))

    def _check_attributes(self, line: tree.FactorLine) -> None:
        seen: set[str] = set()
        for attribute in line.attributes:
            if attribute.name not in _ATTRIBUTES:
                raise SpecNameError(
                    f"a factor has no attribute `{attribute.name}`", attribute.span,
                    did_you_mean(attribute.name, _ATTRIBUTES) or f"attributes are {', '.join(_ATTRIBUTES)}",
                )  # fmt: skip
            if attribute.name in seen:
                raise SpecNameError(f"`{attribute.name}` is said twice", attribute.span)
            if (attribute.value is None) == (attribute.name in ("lr", "decay")):
                form = f"{attribute.name} = ..." if attribute.value is None else attribute.name
                raise SpecSyntaxError(f"the attribute is written `{form}`", attribute.span)
            seen.add(attribute.name)

    def _choose_target(self, spec: tree.SpecTree) -> None:
        if not self.targets and not self.bare and not self.errors and not self.is_in_parts:
            text = "the spec is empty" if not spec.clauses else "the spec has no target"
            swallowing = next((header for header in self.headers.values() if "|" in header.text), None)
            hint = "say what is adapted, for example `W + A@B`"
            if swallowing is not None:
                hint = f"`{swallowing.key}:` takes the line to its end; what follows its `|` needs a line of its own"
            self.errors.append(SpecSyntaxError(text, Span(spec.span.source, 0, 0), hint))
        if self.targets:
            self.penalties += self.bare
            self.bare = []
        else:
            self.penalties += self.bare[1:]
            self.bare = self.bare[:1]


def _names_on_the_left(clause: tree.Clause) -> list[str]:
    """The names that a clause would have introduced."""
    match clause:
        case tree.FactorLine(names=parts) | tree.Equation(left=parts):
            names = [part.function if isinstance(part, tree.Call) else part.name
                     for part in parts if isinstance(part, tree.Name | tree.Call)]  # fmt: skip
            return [name for name in names if name not in RESERVED]
    return []
