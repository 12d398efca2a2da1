"""`explain`: everything a spec leaves unsaid, and why it is so."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from specdsl import tree
from specdsl.affine import NotAffine, adapted_weight
from specdsl.elaborate.clauses import Definition
from specdsl.elaborate.solver import shape_text
from specdsl.ir import FactorIR, GivenIR, PenaltyIR, reads
from specdsl.measures import EVENTS
from specdsl.printing.clause_order import parts
from specdsl.printing.explanation import Explanation, Section
from specdsl.printing.expression_text import expression_text
from specdsl.printing.resolved import resolved_text, start_syntax, used_hyper_parameters
from specdsl.printing.size_syntax import condition_text
from specdsl.printing.syntax_text import SyntaxText
from specdsl.sizes import Size, format_number

if TYPE_CHECKING:
    from specdsl.spec import Spec

_SITE_VALUES = {
    "W": "the frozen weight, n x m",
    "b": "the frozen bias, m (zeros where there is none)",
    "x": "the input, tokens x n",
    "y": "the output x@W + b, tokens x m",
}
_PLACES = "every linear map of attention and MLP inside the repeated blocks (no `on` is written)"
_LONGEST = 200


def explain(spec: Spec) -> Explanation:
    """Every inferred shape, start, kind, size condition and fact of a spec, each with its reason.

    >>> import specdsl
    >>> explain(specdsl.parse("W + A@B")).sections[0].rows
    (("W'", 'W + A@B'),)
    """
    if spec.parts:
        return _of_parts(spec)
    sections = _sections(spec)
    return Explanation(spec.label, tuple(section for section in sections if section.rows), resolved_text(spec))


def _of_parts(spec: Spec) -> Explanation:
    """Each part under the items it is limited to; headers and warnings once."""
    found: list[Section] = []
    for part in spec.parts:
        place = limit_text(part)
        once = ("headers", "warnings", "places")
        found += [Section(f"{place}: {one.title}", one.rows, one.columns) for one in _sections(part)
                  if one.title not in once]  # fmt: skip
    rows = _Rows(spec)
    found += [Section("places", rows.places()), Section("headers", rows.headers()), rows.warnings()]
    resolved = "\n\n".join(f"# {limit_text(part)}\n{resolved_text(part)}" for part in spec.parts)
    return Explanation(spec.label, tuple(section for section in found if section.rows), resolved)


def limit_text(part: Spec) -> str:
    """Where a part of a spec holds: `on mlp.down`."""
    if not part.limit:
        return "elsewhere"
    return SyntaxText().clause(tree.On(part.tree.span, part.limit))


def _sections(spec: Spec) -> tuple[Section, ...]:
    rows = _Rows(spec)
    return (
        Section("adapts", rows.targets()),
        Section("reads", rows.site_values()),
        Section("definitions", rows.definitions(), ("name", "shape", "value")),
        Section("factors", rows.factors(), ("name", "kind", "shape", "shape from", "start", "because")),
        Section("given by every forward pass", rows.given(), ("name", "kind", "shape", "from")),
        Section("events", rows.events()),
        Section("hyper-parameters", rows.hyper_parameters(), ("name", "value", "from")),
        Section("size conditions", rows.conditions(), ("must hold", "because of")),
        Section("penalties", rows.penalties(), ("added to the loss", "how often")),
        Section("facts", rows.facts()),
        Section("places", rows.places()),
        Section("headers", rows.headers()),
        rows.warnings(),
    )


Rows = tuple[tuple[str, ...], ...]


class _Rows:
    """The rows of every section."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.ir = spec.ir
        self.printer = SyntaxText()

    def targets(self) -> Rows:
        written = self.spec.clauses.targets
        return tuple(self._target(name, written[name][0]) for name in self.ir.targets)

    def _target(self, name: str, value: tree.Expr) -> tuple[str, str]:
        if isinstance(value, tree.Call) and value.function == "put_rows":  # written as `W'[I, :] = P`
            _, rows, new = value.arguments
            return f"{name}'[{self.printer.expression(rows)}, :]", self.printer.expression(new)
        return f"{name}'", self.printer.expression(value)

    def site_values(self) -> Rows:
        return tuple((name, _SITE_VALUES[name]) for name in self.spec.facts.base_reads)

    def definitions(self) -> Rows:
        written = {one.together or (name,): one for name, one in self.spec.clauses.definitions.items()}
        kept = (one for (name, *_), one in written.items() if name not in self.ir.hyper)
        return tuple(self._definition(one) for one in kept)

    def _definition(self, definition: Definition) -> tuple[str, ...]:
        value = self.printer.expression(definition.value)
        if definition.parameters is not None:
            return f"{definition.name}({', '.join(definition.parameters)})", "a function", value
        names = definition.together or (definition.name,)
        shapes = [shape_text(self.ir.definitions[name].shape) for name in names if name in self.ir.definitions]
        return ", ".join(names), ", ".join(shapes), value

    def hyper_parameters(self) -> Rows:
        return tuple(self._hyper(name) for name in self.ir.hyper if name in used_hyper_parameters(self.ir))

    def _hyper(self, name: str) -> tuple[str, ...]:
        parameter = self.ir.hyper[name]
        source = "default" if parameter.is_default else "as written"
        if name in self.spec.settings:
            source = "set from outside"
        formula = "" if parameter.value.constant is not None else f": {name} = {parameter.value}"
        return name, format_number(self.spec.hyperparameters[name]), source + formula

    def warnings(self) -> Section:
        return Section("warnings", tuple((f"line {one.line}", one.message) for one in self.spec.warnings))

    def given(self) -> Rows:
        return tuple((one.name, one.kind, shape_text(one.shape), self._source(one)) for one in self.ir.given.values())

    def _source(self, given: GivenIR) -> str:
        start = self.spec.clauses.factors[given.name][0].start
        if start is None:
            return "has to be given at run time"
        how = "drawn anew in training, its mean in eval" if given.kind == "noise" else "its default"
        return f"{self.printer.expression(start)} ({how})"

    def events(self) -> Rows:
        return tuple((event.text, EVENTS[event.event]) for event in self.ir.events)

    # ---------------------------------------------------------------------------------------- factors

    def factors(self) -> Rows:
        return tuple(self._factor(factor) for factor in self.ir.factors.values())

    def _factor(self, factor: FactorIR) -> tuple[str, ...]:
        clause = self.spec.clauses.factors.get(factor.name)
        start = start_syntax(factor, None if clause is None else clause[0].start)
        shown = "given at attach" if start is None else self.printer.expression(start)
        shape_from = factor.shape_reason if clause is not None else f"{factor.shape_reason}{self._use(factor.name)}"
        return factor.name, _kind(factor), shape_text(factor.shape), shape_from, shown, factor.start_reason

    def _use(self, name: str) -> str:
        """Where a factor is first used: the smallest product, sum or call around it."""
        definitions = [one.value for one in self.spec.clauses.definitions.values()]
        for root in [*(value for value, _ in self.spec.clauses.targets.values()), *definitions]:
            for node in reversed(parts(root)):
                if isinstance(node, tree.Product | tree.Sum | tree.Call) and name in _names(tree.children(node)):
                    return f" in `{self.printer.expression(node)}`"
        return ""

    # --------------------------------------------------------------------- conditions, penalties, places

    def conditions(self) -> Rows:
        return tuple(
            (condition_text(condition), f"`{' '.join(condition.span.text.split())}`")
            for condition in self.ir.conditions
        )

    def penalties(self) -> Rows:
        return tuple((penalty.text, self._how_often(penalty)) for penalty in self.ir.penalties)

    def _how_often(self, penalty: PenaltyIR) -> str:
        if penalty.once:
            return "once: it reads all modules"
        factors = [self.ir.factors[name] for name in reads(penalty.value) if name in self.ir.factors]
        is_shared = all(factor.shared is not None for factor in factors) and not reads(penalty.value) & {"W", "b"}
        return "once per shared tensor" if is_shared else "once per module"

    def places(self) -> Rows:
        on = self.spec.clauses.on
        places = _PLACES if on is None else self.printer.clause(on).removeprefix("on ")
        if self.spec.parts and on is None:
            limits = [limit_text(part).removeprefix("on ") for part in self.spec.parts if part.limit]
            places = "; ".join(limits) if all(part.limit for part in self.spec.parts) else _PLACES
        rows = [("on", places)]
        if self.spec.clauses.train:
            train = tree.Train(self.spec.tree.span, tuple(self.spec.clauses.train))
            items = self.printer.clause(train).removeprefix("train ")
            rows.append(("train", f"{items} (whole, saved with the adapter)"))
        return tuple(rows)

    def headers(self) -> Rows:
        headers = self.spec.clauses.headers.values()
        return tuple((header.key, header.text) for header in headers if header.key != "title")

    # ------------------------------------------------------------------------------------------ facts

    def facts(self) -> Rows:
        facts = self.spec.facts
        rows = [self._start(), *self._mergeable(), *self._rank()]
        rows.append(("trained", self._count(facts.trained) + " per module"))
        if facts.shared.terms:
            rows.append(("trained, shared", self._count(facts.shared) + ", once per shared tensor"))
        if facts.derived:
            rows.append(("computed", f"{', '.join(facts.derived)}: from the loaded weights, once, at attach"))
        if facts.regenerated:
            names = ", ".join(facts.regenerated)
            rows.append(("regenerated", f"{names}: drawn again from the seed, not in the saved adapter"))
        if facts.creates_bias:
            rows.append(("bias", "b' is assigned, so a module without a bias gets one"))
        if facts.added_rows is not None:
            rows.append(("tokens", f"{self._count(facts.added_rows)} rows are added before those of the tokens"))
        if facts.needs:
            rows.append(("needs", "; ".join(facts.needs)))
        return tuple(rows)

    def _start(self) -> tuple[str, str]:
        names = " and ".join(f"{name}' = {name}" for name in self.ir.targets)
        if self.ir.starts_elsewhere:
            return "start", "not at the base model, as `starts: elsewhere` says"
        if self.spec.facts.added_rows is not None:
            return "start", f"{names} in the rows of the tokens (checked in float64); the added rows are new"
        return "start", f"{names}: the adapted model starts as the base model (checked in float64)"

    def _mergeable(self) -> list[tuple[str, str]]:
        facts = self.spec.facts
        if not facts.mergeable:
            return [("mergeable", f"no: {facts.why_not}")]
        if not facts.reads_tokens:
            return [("mergeable", "yes: the adapted weight does not depend on the input")]
        rows = [("mergeable", "yes: the output is affine in the input")]
        return rows + [row for row in self._merged() if len(row[1]) <= _LONGEST]

    def _merged(self) -> list[tuple[str, str]]:
        try:
            return [(f"  {name}'", expression_text(node)) for name, node in adapted_weight(self.ir).items()]
        except NotAffine:
            return []

    def _rank(self) -> list[tuple[str, str]]:
        facts = self.spec.facts
        if facts.rank_bound is None:
            return []
        if not facts.rank_bound.terms:
            return [("rank", "the weight itself does not change")]
        lora = ", exactly a LoRA" if facts.exactly_lora else ""
        return [("rank", f"W' - W has rank at most {self._count(facts.rank_bound)}{lora}")]

    def _count(self, size: Size) -> str:
        """A size, and what it is with the values of the hyper-parameters."""
        values = {
            name: Size.of(Fraction(value))
            for name, value in self.spec.hyperparameters.items()
            if not isinstance(value, float)
        }
        put_in = size.substitute(values)
        return str(size) if put_in == size else f"{size} = {put_in}"


def _names(nodes: list[tree.Syntax]) -> set[str]:
    return {node.name for node in nodes if isinstance(node, tree.Name)}


def _kind(factor: FactorIR) -> str:
    words = [factor.kind]
    if factor.shared is not None:
        words.append(f"shared by {', '.join(map(str, factor.shared))}" if factor.shared else "shared")
    words += ["orthonormal"] if factor.orthonormal else []
    words += [f"lr = {factor.lr:g}"] if factor.lr is not None else []
    words += [f"decay = {factor.decay:g}"] if factor.decay is not None else []
    words += [factor.dtype] if factor.dtype is not None else []
    return ", ".join(words)
