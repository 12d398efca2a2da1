"""A syntax tree to a checked spec: names, shapes, starts.

The passes, in order: clauses are sorted (`clauses`), targets, penalties and starts become typed expressions
(`expressions`), sizes are solved (`solver`), factors without a start get their default (`starts`). The numeric check
of the start is a step of its own (`start_check`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from specdsl import limits, tree
from specdsl.elaborate.clauses import TARGETS, UNDECLARED, Clauses, Definition
from specdsl.elaborate.events import Events
from specdsl.elaborate.expressions import Expressions
from specdsl.elaborate.factor_lines import Draft, FactorLines
from specdsl.elaborate.hyperparameters import HyperParameters, check_rank, check_settings, setting_size
from specdsl.elaborate.measuring import allocated
from specdsl.elaborate.slips import CLAUSES_ELSEWHERE, TRANSPOSED, bars_hint, slip_hint
from specdsl.elaborate.solver import ShapeSolver, shape_text
from specdsl.elaborate.starts import settle_starts
from specdsl.elaborate.targets import check_targets, refuse_input, relabelled, target_of
from specdsl.elaborate.views import KERNEL, WeightView
from specdsl.elaborate.walks import all_syntax, reading_order, reads_own_module
from specdsl.errors import (
    SpecError,
    SpecLimitError,
    SpecNameError,
    SpecNotBuiltError,
    SpecShapeError,
    did_you_mean,
    raise_all,
)
from specdsl.ir import (
    EventIR,
    Factor,
    Given,
    HyperParameter,
    Layers,
    Node,
    PenaltyIR,
    Scalar,
    Site,
    SpecIR,
    interned,
    reads,
    topological,
)
from specdsl.node_sizes import with_sizes
from specdsl.nodes import apply, scalar
from specdsl.operators.registry import Shape, all_operators, operator_names
from specdsl.printing.syntax_text import SyntaxText
from specdsl.sizes import Number, Size
from specdsl.source import Span

N_SIZE, M_SIZE, TOKENS = Size.symbol("n"), Size.symbol("m"), Size.symbol("tokens")
SITE_SHAPES: dict[str, Shape] = {
    "W": (N_SIZE, M_SIZE), "b": (M_SIZE,), "x": (TOKENS, N_SIZE), "y": (TOKENS, M_SIZE),
}  # fmt: skip


@dataclass(frozen=True)
class Elaborated:
    """What elaboration gives: the IR, the clauses it came from, and warnings with their places."""

    ir: SpecIR
    clauses: Clauses
    warnings: tuple[SpecError, ...]
    matrix_products: tuple[Span, ...]
    settings_read: frozenset[str]
    calls: Mapping[Node, Span] = field(default_factory=dict)


def elaborate(spec: tree.SpecTree, settings: Mapping[str, Number] | None = None, is_part: bool = False) -> Elaborated:
    """Check a spec and make its meaning explicit.

    Args:
        spec: the syntax tree.
        settings: values of hyper-parameters that replace those in the text.
        is_part: whether it is one of several parts of a spec, which need not read every setting.

    Raises:
        SpecError: the first mistake, or `SpecErrors` with all independent ones.
    """
    return Elaborator(spec, dict(settings or {}), is_part).run()


@dataclass
class Elaborator:
    """The state of one elaboration; it is also where `Expressions` looks names up."""

    spec: tree.SpecTree
    settings: dict[str, Number]
    is_part: bool = False
    clauses: Clauses = field(init=False)
    solver: ShapeSolver = field(init=False)
    expressions: Expressions = field(init=False)
    drafts: dict[str, Draft] = field(default_factory=dict)
    hyper: HyperParameters = field(default_factory=HyperParameters)
    values: dict[str, Node] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    warnings: list[SpecError] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)
    _may_introduce: bool = False
    measured_sizes: dict[str, Node] = field(default_factory=dict)
    _weight_view: WeightView | None = None

    def __post_init__(self) -> None:
        self.clauses = Clauses.of(self.spec)
        self.solver = ShapeSolver(self.hyper.number)
        self.expressions = Expressions(self, self.solver)

    # -------------------------------------------------------------------------------------------- run

    def run(self) -> Elaborated:
        errors = list(self.clauses.errors)
        raise_all([error for error in errors if isinstance(error, SpecLimitError)])
        if any(isinstance(error, SpecNotBuiltError) for error in errors):
            raise_all(errors)
        self._default_hyper_parameters(errors)
        targets = self._targets(errors)
        penalties = self._penalties(errors)
        self._starts(errors)
        if not errors:
            self._attempt(errors, self._settle_sizes)
        events = self._events(errors)
        self._unread_names(errors)
        if not errors:
            self._attempt(errors, lambda: self._check_added_rows(targets))
        if not errors and not self.is_part:
            self._attempt(errors, lambda: check_rank(self.clauses, self._reads_rank()))
        raise_all(sorted(_distinct(errors), key=lambda error: error.span.start if error.span else 0))
        if not self.is_part:
            check_settings(self.settings, self._read_hyper())
        ir = self._finish(targets, penalties, events)
        products = self.expressions.known_products()
        read = frozenset(self._read_hyper())
        return Elaborated(ir, self.clauses, tuple(self.warnings), products, read, self._places_of_calls())

    def _attempt(self, errors: list[SpecError], step: Any) -> Any:
        try:
            return step()
        except SpecError as error:
            errors.append(error)
            return None

    # ---------------------------------------------------------------------------------------- targets

    def _targets(self, errors: list[SpecError]) -> dict[str, Node]:
        self._may_introduce = True
        found: dict[str, Node] = {}
        if self.clauses.bare:
            syntax = self.clauses.bare[0]
            node = self._attempt(errors, lambda: self.expressions.value(syntax, "target"))
            if node is not None:
                name = target_of(node)
                node = relabelled(node, name)
                self._attempt(errors, lambda: self._fit_target(name, node, syntax.span))
                self.clauses.targets[name] = (syntax, syntax.span)
                found[name] = node
        else:
            for name in (target for target in TARGETS if target in self.clauses.targets):
                node = self._attempt(errors, lambda name=name: self._target_value(name))
                if node is not None:
                    found[name] = node
        self._may_introduce = False
        if not errors:
            self._attempt(errors, lambda: check_targets(found, self.clauses, self.used))
        return {name: found[name] for name in TARGETS if name in found}

    def _target_value(self, name: str) -> Node:
        key = f"{name}'"
        if key in self.values:
            return self.values[key]
        syntax, span = self.clauses.targets[name]
        self._enter(key, span)
        try:
            node = self._homogeneous_part(name) if self.clauses.homogeneous else self.expressions.value(syntax, key)
            self._fit_target(name, node, syntax.span)
        finally:
            self._open.pop()
        self.values[key] = node
        return node

    def _homogeneous_part(self, name: str) -> Node:
        """W' or b' of `[W'; b'] = E`: the first n rows of E, or its last."""
        syntax, _ = self.clauses.targets[name]
        key = "[W'; b']"
        if key not in self.values:
            node = self.expressions.value(syntax, key)
            self.solver.span = syntax.span
            wanted = (N_SIZE + 1, M_SIZE)
            written = f"[W'; b'] is {shape_text(wanted)}, but this is {_described(self.solver.shape(node.shape))}"
            if node.ndim != len(wanted):
                raise SpecShapeError(written, syntax.span)
            for left, right in zip(node.shape, wanted, strict=True):
                self.solver.same(left, right, written)
            self.values[key] = node
        whole, columns = self.values[key], (Size.of(0), M_SIZE, Size.of(1))
        if name == "b":
            return apply("slice", (whole,), (M_SIZE,), items=(N_SIZE, columns))
        return apply("slice", (whole,), (N_SIZE, M_SIZE), items=((Size.of(0), N_SIZE, Size.of(1)), columns))

    @property
    def _view(self) -> WeightView | None:
        """How the spec sees W, if not as a matrix."""
        if self.clauses.view is not None and self._weight_view is None:
            axes = self.clauses.view
            span = axes[0].span.to(axes[-1].span)
            sizes = tuple(self.expressions.size(axis, "an axis of W") for axis in axes)
            self._weight_view = WeightView(sizes, self.solver, span)
        return self._weight_view

    def _as_matrices(self, targets: dict[str, Node]) -> dict[str, Node]:
        """The targets with W' as a matrix, whatever view the spec has of it."""
        view = self._view
        return targets if view is None or "W" not in targets else targets | {"W": view.as_matrix(targets["W"])}

    def _fit_target(self, name: str, node: Node, span: Span) -> None:
        wanted = self._view.shape if name == "W" and self._view is not None else SITE_SHAPES[name]
        refuse_input(name, node, span)
        shape = self.solver.shape(node.shape)
        if name == "y" and len(shape) == 2 and TOKENS.symbols <= shape[0].symbols:
            wanted = (shape[0], M_SIZE)
        self.solver.span = span
        if len(shape) != len(wanted):
            raise SpecShapeError(f"{name}' is {shape_text(wanted)}, but this is {_described(shape)}", span)
        for left, right in zip(shape, wanted, strict=True):
            self.solver.same(left, right, f"{name}' is {shape_text(wanted)}, but this is {shape_text(shape)}")

    def _check_added_rows(self, targets: Mapping[str, Node]) -> None:
        """`y' = [P; y]` has rows beside those of the tokens: a number that is set, the same in every module."""
        rows = self.solver.resolved(targets["y"].shape[0]) - TOKENS if "y" in targets else Size.of(0)
        if rows.terms and (rows.symbols - self.hyper.keys() or rows.unknowns):
            span = self.clauses.targets["y"][0].span
            raise SpecShapeError(f"y' has {rows} more rows than y, which is no number that is set", span)

    # ------------------------------------------------------------------------------ penalties and starts

    def _penalties(self, errors: list[SpecError]) -> list[PenaltyIR]:
        found: list[PenaltyIR] = []
        for syntax in sorted(self.clauses.penalties, key=lambda value: value.span.start):
            penalty = self._attempt(errors, lambda syntax=syntax: self._penalty(syntax))
            if penalty is not None:
                again = sum(penalty.text == other.text.partition(" (again")[0] for other in found)
                suffix = "" if not again else " (again)" if again == 1 else f" (again {again})"
                found.append(replace(penalty, text=f"{penalty.text}{suffix}"))
        return found

    def _penalty(self, syntax: tree.Expr) -> PenaltyIR:
        node = self.expressions.value(syntax, "penalty")
        text = SyntaxText(self.expressions.known_products()).expression(syntax)
        shape = self.solver.shape(node.shape)
        if shape:
            raise SpecShapeError(
                f"a penalty is a number, but `{text}` is {_described(shape)}", syntax.span,
                bars_hint(syntax.span) or "`orth(A)`, `norm(A)^2` and `sum(A)` are numbers",
            )  # fmt: skip
        over_layers = any(isinstance(part, Layers) for part in topological([node])) and not reads_own_module(node)
        if isinstance(node, Scalar) or not any(name in self.drafts for name in reads(node)):
            raise SpecNameError(f"the penalty `{text}` reads no factor", syntax.span, "it would never change")
        return PenaltyIR(text, node, syntax.span, over_layers)

    def _starts(self, errors: list[SpecError]) -> None:
        waiting = list(self.clauses.factors)
        while read := [name for name in waiting if name in self.used]:  # a start may be the first to read a factor
            waiting = [name for name in waiting if name not in read]
            for name in read:
                self._attempt(errors, lambda name=name: self._factor_start(name))
        for name in [name for name in self.clauses.factors if name in self.drafts]:
            self._attempt(errors, lambda name=name: self._read_line_settings(name))
        if not errors:
            self._attempt(errors, self._refuse_circular_starts)

    def _read_line_settings(self, name: str) -> None:
        """Numbers in attributes and keys are names that something reads; `FactorLines` takes their values later."""
        line, _ = self.clauses.factors[name]
        for attribute in line.attributes:
            if attribute.value is not None:
                self.expressions.size(attribute.value, f"`{attribute.name}`")
        for key in (key for kind in line.kinds for key in kind.keys):
            if not (isinstance(key, tree.Name) and key.name == "role"):
                self.expressions.size(key, "a key of `shared`")

    def _refuse_circular_starts(self) -> None:
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                circle = " -> ".join([*path[path.index(name) :], name])
                raise SpecNameError(f"the start of `{name}` is defined by itself ({circle})", self.drafts[name].span)
            start = self.drafts[name].start if name in self.drafts else None
            if start is not None and name not in done:
                for other in sorted(reads(start)):
                    visit(other, (*path, name))
            done.add(name)

        for name in self.drafts:
            visit(name, ())

    def _factor_start(self, name: str) -> None:
        draft = self._draft(name)
        line = draft.line
        if line is None or line.start is None or draft.start is not None:
            return
        self._enter(f"start of {name}", draft.span)
        try:
            node = self.expressions.value(line.start, name, draft.shape)
            draft.start = self._filled(node, draft, line.start)
        finally:
            self._open.pop()

    def _filled(self, node: Node, draft: Draft, syntax: tree.Expr) -> Node:
        """A start brought to the factor's shape: a number fills it."""
        if not node.shape:
            return node if not draft.shape else apply("fill", (node,), draft.shape, shape=draft.shape)
        self.solver.span = syntax.span
        shape = self.solver.shape(node.shape)
        if len(shape) != len(draft.shape):
            raise SpecShapeError(
                f"`{draft.name}` is {_described(self.solver.shape(draft.shape))}, but its start is {_described(shape)}",
                syntax.span, _axes_hint(draft, shape),
            )  # fmt: skip
        for left, right in zip(draft.shape, node.shape, strict=True):
            self.solver.same(
                left, right,
                f"`{draft.name}` is {shape_text(self.solver.shape(draft.shape))}, but its start is {shape_text(shape)}",
            )  # fmt: skip
        return node

    # ------------------------------------------------------------------------------------- looking up

    def known(self) -> list[str]:
        introduced = [*self.clauses.names(), *self.drafts]
        return [*introduced, *SITE_SHAPES, "n", "m", "r", "alpha", "layer", "tokens"]

    def function(self, name: str) -> tuple[tuple[str, ...], tree.Expr] | None:
        self._refuse_failed(name)
        definition = self.clauses.definitions.get(name)
        if definition is None or definition.parameters is None:
            return None
        self.used.add(name)
        return definition.parameters, definition.value

    def warn(self, message: str, span: Span) -> None:
        self.warnings.append(SpecError(message, span))

    def undefined(self, size: Size) -> str | None:
        return self.hyper.undefined(size)

    def is_undeclared(self, node: Node) -> bool:
        return isinstance(node, Factor) and self.drafts[node.name].line is None

    def primed(self, name: str, span: Span) -> Node:
        if name not in self.clauses.targets:
            hint = None if name in TARGETS else TRANSPOSED.format(matrix=name)
            raise SpecNameError(f"`{name}'` is read, but no equation assigns it", span, hint)
        self.used.add(f"{name}'")
        return self._target_value(name)

    def look_up(self, name: str, span: Span) -> Node:
        self.used.add(name)
        self._refuse_failed(name)
        if name == "W" and self._view is not None:
            return self._view.base
        if name in SITE_SHAPES:
            return interned(Site(SITE_SHAPES[name], name))
        if name in self.clauses.definitions:
            return self._definition(name, span)
        if name in self.clauses.factors or name in self.drafts:
            draft = self._draft(name)
            return interned((Given if draft.is_given else Factor)(draft.shape, name))
        if name in ("n", "m", "tokens", "layer") or (name in KERNEL and self._reads_convolution()):
            return scalar(Size.symbol(name))
        if name in self.hyper:
            return scalar(Size.symbol(name))
        if self._may_introduce and UNDECLARED.fullmatch(name):
            return self._introduce(name, span)
        raise self._unknown(name, span)

    def _refuse_failed(self, name: str) -> None:
        """A name whose own clause is wrong is no second mistake: the same error again, which is shown once."""
        if name in self.clauses.failed and name not in self.clauses.names():
            raise self.clauses.failed[name]

    def _reads_convolution(self) -> bool:
        names = {"kh", "kw"}  # c alone may be a factor
        return any(isinstance(part, tree.Name) and part.name in names for part in all_syntax(self.spec))

    def _unknown(self, name: str, span: Span) -> SpecNameError:
        if name == "role":
            return SpecNameError("`role` is a key of `shared(role)` and no number", span)
        hint = did_you_mean(name, [known for known in self.known() if len(known) > 1]) or slip_hint(name)
        hint = hint or did_you_mean(name, self.known())
        if hint is None and self.expressions.label == "penalty" and not name[0].isupper():
            near = did_you_mean(name, operator_names())
            hint = near if near and len(name) > 5 else f"set its value: `{name} = 0.1`"
        hint = hint or did_you_mean(name, [one.name for one in all_operators() if one.is_start])
        if UNDECLARED.fullmatch(name):
            return SpecNameError(
                f"`{name}` is unknown here: penalties, starts and sizes introduce no names", span,
                hint or "declare it, or read it in the target",
            )  # fmt: skip
        return SpecNameError(
            f"`{name}` is not declared", span, hint or f"a factor with a long name is declared: `{name} : n x r`"
        )

    def _bound_factors(self, span: Span) -> None:
        if len(self.drafts) >= limits.FACTORS:
            raise SpecLimitError(f"the spec has more than {limits.FACTORS} factors", span)

    def _introduce(self, name: str, span: Span) -> Node:
        self._bound_factors(span)
        if name[0] in TARGETS and len(name) > 1:
            raise SpecNameError(
                f"`{name}` is not declared, and reads like the module's own `{name[0]}`", span,
                f"the frozen value is `{name[0]}`; a factor of that name has a line: `{name} : "
                + ("n x r`" if name[0].isupper() else "m`"),
            )  # fmt: skip
        axes = 2 if name[0].isupper() else 1
        shape = tuple(self.solver.fresh() for _ in range(axes))
        self.drafts[name] = Draft(name, shape, span, None, "from its use")
        return interned(Factor(shape, name))

    def _definition(self, name: str, span: Span) -> Node:
        if name in self.hyper:
            return scalar(Size.symbol(name))
        if name in self.values:
            return self.values[name]
        definition = self.clauses.definitions[name]
        if definition.parameters is not None:
            raise SpecNameError(f"`{name}` is a function", span, f"write `{name}(...)`")
        self._enter(name, span)
        try:
            node = self._evaluate(definition)
        finally:
            self._open.pop()
        until_then = allocated(node)
        if until_then is not None:
            self.measured_sizes[name] = node
            node = until_then
        if isinstance(node, Scalar) and not self._reads_sizes(node.size) and definition.position is None:
            size = node.size
            if name in self.settings:
                size = setting_size(name, self.settings[name])
            self.hyper.bound(name, size, definition.span)
            self.hyper[name] = HyperParameter(name, size, definition.span, measured=self.measured_sizes.get(name))
            node = scalar(Size.symbol(name))
        self.values[name] = node
        return node

    def _reads_sizes(self, size: Size) -> bool:
        return size.has_layers() or bool(size.symbols - self.hyper.keys())

    def _evaluate(self, definition: Definition) -> Node:
        if definition.position is not None:
            label = definition.together[0]
            return self.expressions.unpack(definition.value, definition.position, len(definition.together), label)
        return self.expressions.value(definition.value, definition.name)

    def _enter(self, name: str, span: Span) -> None:
        if name in self._open:
            if name.startswith("shape of "):
                raise SpecNameError(f"the shape of `{name.removeprefix('shape of ')}` is defined by itself", span)
            circle = " -> ".join([*self._open[self._open.index(name) :], name])
            raise SpecNameError(f"`{name}` is defined by itself ({circle})", span)
        self._open.append(name)

    # ---------------------------------------------------------------------------------------- factors

    def _draft(self, name: str) -> Draft:
        if name in self.drafts:
            return self.drafts[name]
        line, span = self.clauses.factors[name]
        self._bound_factors(span)
        self._enter(f"shape of {name}", span)
        try:
            shape, reason = self._declared_shape(name, line)
        finally:
            self._open.pop()
        draft = Draft(name, shape, span, line, reason)
        self.drafts[name] = draft
        if line.shape is None and line.start is not None and not UNDECLARED.fullmatch(name):
            self._shape_from_start(draft, line.start)
        return draft

    def _declared_shape(self, name: str, line: tree.FactorLine) -> tuple[Shape, str]:
        if line.shape is None:
            axes = 2 if name[0].isupper() else 1
            return tuple(self.solver.fresh() for _ in range(axes)), "from its start and its use"
        if len(line.shape) == 1 and isinstance(line.shape[0], tree.Number) and line.shape[0].value == 1:
            return (), "as declared: a number"
        sizes = []
        for syntax in line.shape:
            size = self.expressions.size(syntax, f"the shape of `{name}`")
            self.solver.span = syntax.span
            self.solver.whole(size, f"the shape of `{name}`")
            sizes.append(size)
        product = Size.of(1)
        for size in sizes:
            product = product * size
            self.hyper.bound_size(product, line.shape[0].span.to(line.shape[-1].span))
        return tuple(sizes), "as declared"

    def _shape_from_start(self, draft: Draft, start: tree.Expr) -> None:
        """A long name without a shape takes the axes of its start."""
        self._enter(f"start of {draft.name}", draft.span)
        try:
            before = draft.shape
            del self.drafts[draft.name]
            try:
                node = self.expressions.value(start, draft.name, before)
            finally:
                self.drafts[draft.name] = draft
            if node.shape:
                draft.shape = node.shape
            draft.start = self._filled(node, draft, start)
        finally:
            self._open.pop()

    # -------------------------------------------------------------------------------- hyper-parameters

    def _default_hyper_parameters(self, errors: list[SpecError]) -> None:
        for name, value in (("r", Size.of(8)), ("alpha", Size.symbol("r"))):
            if name not in self.clauses.definitions:
                given = name in self.settings
                size = setting_size(name, self.settings[name]) if given else value
                self.hyper.bound(name, size, Span(self.spec.span.source, 0, 0))
                self.hyper[name] = HyperParameter(name, size, None, not given)
        self._refuse_circular_defaults()
        for name in ("r", "alpha"):
            if name in self.clauses.definitions and self.clauses.definitions[name].parameters is None:
                node = self._attempt(errors, lambda name=name: self._definition(name, self.spec.span))
                if node is not None and name not in self.hyper:
                    errors.append(
                        SpecShapeError(
                            f"`{name}` is a hyper-parameter and cannot depend on the module's sizes",
                            self.clauses.definitions[name].span,
                        )
                    )

    def _refuse_circular_defaults(self) -> None:
        """`r = 2*alpha`, where alpha is r unless it is set."""
        definition = self.clauses.definitions.get("r")
        if definition is None or "alpha" in self.clauses.definitions or self.settings.keys() & {"alpha", "r"}:
            return
        read: set[str] = set()
        pending = [definition]
        while pending:
            one = pending.pop()
            names = {part.name for part in all_syntax(one.value) if isinstance(part, tree.Name)} - read
            read |= names
            pending += [self.clauses.definitions[name] for name in names if name in self.clauses.definitions]
        if "alpha" in read:
            raise SpecNameError(
                "`r` is defined by itself (r -> alpha -> r): alpha is r unless it is set", definition.span,
                "set alpha: `alpha = 16`",
            )  # fmt: skip

    def _read_hyper(self) -> set[str]:
        """The hyper-parameters that something reads: by name, `r` also as the rank that no shape fixes."""
        found = {name for name in self.hyper if name in self.used}
        return found | ({"r"} & self.hyper.keys() if self._reads_rank() else set())

    def _reads_rank(self) -> bool:
        by_alpha = "alpha" in self.used and "alpha" in self.hyper and "r" in self.hyper["alpha"].value.symbols
        return "r" in self.used or self.solver.takes_rank or by_alpha

    # -------------------------------------------------------------------------------------------- end

    def _unread_names(self, errors: list[SpecError]) -> None:
        if errors:
            return
        unread = {
            name: definition
            for name, definition in self.clauses.definitions.items()
            if name != "r" and not self.used & {name, *definition.together}
        }
        inside = {
            part.function if isinstance(part, tree.Call) else part.name
            for definition in unread.values()
            for part in all_syntax(definition.value)
            if isinstance(part, tree.Name | tree.Call)
        }
        for name, definition in unread.items():
            if name not in inside or unread.keys() <= inside:  # what only unread definitions read is no second mistake
                errors.append(SpecNameError(f"nothing reads `{name}`", definition.span, self._unread_hint(name)))
        for name, (_, span) in self.clauses.factors.items():
            if name not in self.used:
                errors.append(SpecNameError(f"nothing reads the factor `{name}`", span, self._unread_hint(name)))

    def _unread_hint(self, name: str) -> str | None:
        if name == "alpha":
            return "a scale is always written, as in `W + alpha/r * A@B`"
        if name in CLAUSES_ELSEWHERE:
            return CLAUSES_ELSEWHERE[name]
        if name in self.clauses.factors and name == "r":
            return "a rank is set by `=`, as in `r = 8`"
        others = [other for other in self.drafts if other != name and self.drafts[other].line is None]
        near = did_you_mean(name, others)
        return near.replace("did you mean", "is it read as") if near else None

    def _settle_sizes(self) -> None:
        self.solver.settle_inner()
        for draft in self.drafts.values():
            shape = self.solver.shape(draft.shape)
            free = [position for position, size in enumerate(shape) if size.unknowns]
            if free:
                shown = " x ".join("?" if size.unknowns else str(size) for size in shape)
                raise SpecShapeError(
                    f"the shape of `{draft.name}` is not determined ({shown})", draft.span,
                    f"declare it, for example `{draft.name} : {_suggested(shape)}`",
                )  # fmt: skip
            self.solver.span = draft.span
            if not draft.is_given and any("tokens" in size.symbols for size in shape):
                raise SpecShapeError(
                    f"the factor `{draft.name}` would have an entry for every token ({shape_text(shape)})",
                    draft.span,
                    "rows are samples: write `x@A`, not `A@x`, and add vectors to tokens",
                )
            for size in shape:
                self.solver.whole(size, f"the shape of `{draft.name}`")
        if self.solver.pending:
            _, _, why, span = self.solver.pending[0]
            raise SpecShapeError(f"{why}: the sizes cannot be found", span, "declare the shapes of the factors")

    def _events(self, errors: list[SpecError]) -> list[EventIR]:
        if errors or not self.clauses.events:
            return []
        reader = Events(self.expressions, self)
        read = [self._attempt(errors, lambda clause=clause: reader.event(clause)) for clause in self.clauses.events]
        self._starts(errors)  # an event may be the first to read a factor
        if not errors:
            self._attempt(errors, self._settle_sizes)
        return [event for event in read if event is not None]

    def _finish(self, targets: dict[str, Node], penalties: list[PenaltyIR], events: list[EventIR]) -> SpecIR:
        targets = self._as_matrices(targets)
        roots = [*targets.values(), *(penalty.value for penalty in penalties), *self.values.values()]
        roots += [value for event in events for value in event.values]
        roots += [draft.start for draft in self.drafts.values() if draft.start is not None]
        solved = with_sizes(roots, self.solver.resolved)
        lines = FactorLines(self.expressions, self.solver, self.hyper)
        starts = {name: None if draft.start is None else solved[draft.start] for name, draft in self.drafts.items()}
        factors = {
            name: lines.factor(draft, starts[name])
            for name, draft in self._in_reading_order(targets).items()
            if not draft.is_given
        }
        given = {name: lines.given(draft, starts[name]) for name, draft in self.drafts.items() if draft.is_given}
        definitions = {
            name: solved[node]
            for name, node in self.values.items()
            if name in self.clauses.definitions and name not in self.hyper
        }
        resolved = [
            replace(condition, left=self.solver.resolved(condition.left), right=self.solver.resolved(condition.right))
            for condition in self.solver.conditions
        ]
        conditions = tuple({str(condition): condition for condition in reversed(resolved)}.values())[::-1]
        ir = SpecIR(
            targets={name: solved[node] for name, node in targets.items()},
            factors=factors,
            penalties=tuple(replace(penalty, value=solved[penalty.value]) for penalty in penalties),
            conditions=conditions,
            hyper=dict(self.hyper),
            definitions=definitions,
            starts_elsewhere="starts" in self.clauses.headers,
            given=given,
            events=tuple(replace(event, values=tuple(solved[value] for value in event.values)) for event in events),
        )
        spans = {name: self.clauses.targets[name][0].span for name in targets}
        return settle_starts(ir, spans)

    def _places_of_calls(self) -> dict[Node, Span]:
        """Where each operator's value is written, the first place of equal ones."""
        calls = self.expressions.places
        solved = with_sizes(list(calls), self.solver.resolved)
        return {solved[node]: span for node, span in reversed(calls.items())}

    def _in_reading_order(self, targets: dict[str, Node]) -> dict[str, Draft]:
        order = {}
        for name in reading_order(targets.values()):
            order[name] = self.drafts[name]
        return order | {name: draft for name, draft in self.drafts.items() if name not in order}


def _described(shape: Shape) -> str:
    match len(shape):
        case 0:
            return "a number"
        case 1:
            return f"a vector of {shape_text(shape)}"
        case _:
            return shape_text(shape)


def _axes_hint(draft: Draft, shape: Shape) -> str | None:
    if draft.line is not None and draft.line.shape is None:
        return (
            f"a {'capital' if draft.name[0].isupper() else 'small'} letter is a "
            + ("matrix" if draft.name[0].isupper() else "vector")
            + f"; declare `{draft.name} : {shape_text(shape)}` or rename it"
        )
    return None


def _suggested(shape: Shape) -> str:
    return " x ".join("r" if size.unknowns else str(size) for size in shape)


def _distinct(errors: list[SpecError]) -> list[SpecError]:
    found: dict[tuple[str, int | None], SpecError] = {}
    for error in errors:
        found.setdefault((error.message, error.span.start if error.span else None), error)
    return list(found.values())
