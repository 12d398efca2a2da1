"""The numeric check of the start: W'(0) = W, and every factor moves something.

Run in float64 at two size orders and three seeds, with forward-mode derivatives, so `stop` counts as it does in
training. Large hyper-parameters that are only sizes are made small first: the algebra does not change with them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from specdsl import limits
from specdsl.arrays.dual import DUAL, Dual
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.elaborate.slips import bars_hint
from specdsl.errors import SpecError, SpecLimitError, SpecShapeError, SpecStartError
from specdsl.folds import outside_folds
from specdsl.interpret import Sizes, concrete_options, evaluate
from specdsl.ir import (
    Apply,
    Factor,
    Given,
    GivenIR,
    Initial,
    Layers,
    Measured,
    Node,
    Ranked,
    Scalar,
    Site,
    SpecIR,
    reads,
    topological,
)
from specdsl.measures import MEASURES
from specdsl.printing.expression_text import expression_text
from specdsl.randomness import Stream
from specdsl.sizes import Number, UnknownSize
from specdsl.source import Span
from specdsl.starting import Starting, draw_numpy, top_alone

SEEDS = (0, 1, 2)
TOLERANCE = 1e-9
STEP = 0.05
_SMALL = (4, 2, 3)
_LARGEST = 96


def check_start(ir: SpecIR, spans: Mapping[str, Span], calls: Mapping[Node, Span] | None = None) -> None:
    """Raise unless the spec starts where it says and every factor trains.

    Args:
        ir: the spec.
        spans: the place of each target, for the error.
        calls: the place of each operator's call, for an operator that fails.

    Raises:
        SpecStartError: the adapted value differs from the base at the start (or does not, under
            `starts: elsewhere`), is not finite, or a factor's derivative is zero.
        SpecShapeError: no sizes of a module meet the size conditions.
    """
    environments = list(example_sizes(ir))
    if not environments:
        demands = "; ".join(str(condition) for condition in ir.conditions)
        span = ir.conditions[0].span if ir.conditions else next(iter(spans.values()))
        raise SpecShapeError(f"no module can meet all size conditions together: {demands}", span)
    for environment in environments:
        _refuse_too_large(ir, Sizes(environment), next(iter(spans.values())))
    try:
        _check_trials(ir, environments, spans)
    except SpecShapeError as error:
        # Some demands on sizes hang on the index of a fold, and only show when an operator runs.
        others = [] if error.span is not None else list(example_sizes(ir, running=True))
        if not others:
            raise _placed(error, spans, calls) from None
        _check_trials(ir, others, spans)
    except SpecError as error:
        raise _placed(error, spans, calls) from None


def _check_trials(ir: SpecIR, environments: Sequence[Mapping[str, Number]], spans: Mapping[str, Span]) -> None:
    trials = [_Trial(ir, environment, seed) for environment in environments for seed in SEEDS]
    for name, span in spans.items():
        _check_target(ir, trials, name, span)
    _check_factors(ir, trials)


def _placed(error: SpecError, spans: Mapping[str, Span], calls: Mapping[Node, Span] | None) -> SpecError:
    """The error at the call that fails, or at the spec: an operator does not know where it stands."""
    if error.span is not None:
        return error
    place = _place(error.value, calls or {}) or next(iter(spans.values()))
    return type(error)(error.message, place, error.hint)


def _place(value: object, calls: Mapping[Node, Span]) -> Span | None:
    """Where the call is written whose value fails; that of a fold's term is the first of its operator."""
    if not isinstance(value, Apply):
        return None
    written = (span for node, span in calls.items() if isinstance(node, Apply) and node.operator == value.operator)
    return calls.get(value) or next(written, None)


def _refuse_too_large(ir: SpecIR, sizes: Sizes, span: Span) -> None:
    total = 0
    for node in topological(ir.roots()):
        try:
            total += math.prod(max(1, round(sizes.number(size))) for size in node.shape)
        except (UnknownSize, ZeroDivisionError, ValueError, OverflowError):
            continue
        if total > limits.CHECKED:
            raise SpecLimitError(
                f"the start cannot be checked: even in a small module the values have more than {limits.CHECKED:,} "
                "entries", span, "write large sizes as hyper-parameters, which the check makes small",
            )  # fmt: skip


def _check_target(ir: SpecIR, trials: list[_Trial], name: str, span: Span) -> None:
    worst, where = 0.0, trials[0]
    for trial in trials:
        difference = trial.difference(name)
        if not np.isfinite(difference):
            raise SpecStartError(f"{name}' is not finite at the start ({trial.shown})", span)
        if difference > worst:
            worst, where = difference, trial
    if ir.starts_elsewhere:
        if worst <= TOLERANCE and len(ir.targets) == 1:
            raise SpecStartError(
                f"`starts: elsewhere` is said, but {name}' starts at {name}", span, "delete the header"
            )
    elif worst > TOLERANCE:
        raise SpecStartError(
            f"{name}' does not start at {name}: the largest difference is {worst:.3g} ({where.shown})", span,
            bars_hint(span)
            or "start an added factor at zero (`~ zeros`), subtract `init(...)`, or say `starts: elsewhere`",
        )  # fmt: skip


def _check_factors(ir: SpecIR, trials: list[_Trial]) -> None:
    alive = set().union(*(trial.alive() for trial in trials))
    dead = [factor for factor in ir.factors.values() if factor.is_trained and factor.name not in alive]
    if dead:
        names = ", ".join(f"`{factor.name}`" for factor in dead)
        zeros = [factor.name for factor in dead if trials[0].starts_at_zero(factor.name)]
        what = f"the factor {names} never trains" if len(dead) == 1 else f"the factors {names} never train"
        raise SpecStartError(
            f"{what}: nothing changes with {'it' if len(dead) == 1 else 'them'}, at the start or after a step",
            dead[0].span, _dead_hint(zeros, len(dead) > 1),
        )  # fmt: skip


def _dead_hint(zeros: list[str], are_several: bool) -> str:
    if len(zeros) > 1:
        return f"{' and '.join(zeros)} both start at zero and block each other; start all but one at random"
    if zeros and not are_several:
        return f"`{zeros[0]}` starts at zero, where its term has no slope; start it at random and subtract `init(...)`"
    return "a function such as relu or stop lets no gradient through at the start"


# ------------------------------------------------------------------------------------------------ sizes


def example_sizes(ir: SpecIR, running: bool = False) -> Iterator[dict[str, Number]]:
    """Small sizes that meet the conditions: one with n < m and one with n > m, or two with n = m.

    Args:
        running: only sizes that no operator refuses, which is known when it runs.
    """
    actual = ir.hyper_values()
    for hyper in _small_values(ir, actual):
        found = [sizes for sizes in _module_sizes(ir, hyper, running) if _has_values(ir, sizes)]
        if found:
            yield from found
            return


def _has_values(ir: SpecIR, environment: Mapping[str, Number]) -> bool:
    """Whether the spec's numbers exist for these sizes: `1/(r - 4)` has no value at r = 4."""
    for node in outside_folds(ir.roots()):
        if isinstance(node, Scalar):
            try:
                node.size.value(environment, [environment])
            except (ZeroDivisionError, ValueError, OverflowError):
                return False
            except UnknownSize:
                continue
    return True


def _size_like(ir: SpecIR, actual: Mapping[str, Number]) -> list[str]:
    """Hyper-parameters that are used as sizes and are large."""
    names: set[str] = set()
    for factor in ir.factors.values():
        names.update(*(size.symbols for size in factor.shape))
    for node in topological(ir.roots()):
        names.update(*(size.symbols for size in node.shape))
    for condition in ir.conditions:
        names |= condition.left.symbols | condition.right.symbols
    whole = [name for name in sorted(names) if name in actual and float(actual[name]).is_integer()]
    return [name for name in whole if actual[name] > max(_SMALL)]


def _small_values(ir: SpecIR, actual: Mapping[str, Number]) -> Iterator[dict[str, Number]]:
    names = _size_like(ir, actual)
    chosen = list(itertools.islice(itertools.product(_SMALL, repeat=min(len(names), 3)), 27)) if names else []
    for values in chosen:
        given = dict(zip(names, values, strict=False))
        given |= dict.fromkeys(names[3:], values[-1])
        yield ir.hyper_values(given)
    yield dict(actual)


def _module_sizes(ir: SpecIR, hyper: Mapping[str, Number], running: bool) -> list[dict[str, Number]]:
    largest = max([float(value) for value in hyper.values() if float(value).is_integer()] + [0.0])
    bound = int(min(max(40, 3 * largest), max(_LARGEST, 1.5 * largest)))
    convolution = {"c", "kh", "kw"} & {
        name for node in topological(ir.roots()) for s in node.shape for name in s.symbols
    }
    wide = tall = None
    squares: list[dict[str, Number]] = []
    for total in range(10, 2 * bound):
        for n in range(max(5, total - bound), min(bound, total - 5) + 1):
            m = total - n
            if (n == m and len(squares) > 1) or (n < m and wide) or (n > m and tall):
                continue
            environment = {**hyper, "n": n, "m": m, "tokens": 6, "layer": 0, "layers": 1}
            if convolution:
                if n % 4:
                    continue
                environment |= {"c": n // 4, "kh": 2, "kw": 2}
            if not _meets(ir, environment) or (running and not takes_sizes(ir, environment)):
                continue
            if n == m:
                squares.append(environment)
            elif n < m:
                wide = environment
            else:
                tall = environment
        if wide and tall:
            return [wide, tall]
        if len(squares) == 2 and total > 60 and not wide and not tall:
            return squares
    return [environment for environment in (wide, tall) if environment] or squares


def _meets(ir: SpecIR, environment: Mapping[str, Number]) -> bool:
    try:
        return all(condition.holds(environment) for condition in ir.conditions)
    except (UnknownSize, ZeroDivisionError, ValueError):
        return False


def takes_sizes(ir: SpecIR, environment: Mapping[str, Number]) -> bool:
    """Whether every operator takes these sizes; some conditions depend on the index of a fold, and show only here."""
    trial = _Trial(ir, environment, SEEDS[0])
    try:
        for name in ir.targets:
            trial.difference(name)
    except SpecShapeError:
        return False
    return True


# --------------------------------------------------------------------------------------------- one trial


class _Trial:
    """The spec in one random module, at one size order and seed."""

    def __init__(self, ir: SpecIR, environment: Mapping[str, Number], seed: int) -> None:
        self.ir = ir
        self.seed = seed
        self.sizes = Sizes(environment)
        n, m, tokens = (int(environment[name]) for name in ("n", "m", "tokens"))
        self.shown = f"n={n}, m={m}"
        stream = self.stream = Stream("start check", seed)
        W, b, x = stream.normal((n, m)), stream.normal((m,)), stream.normal((tokens, n))
        self.site = {"W": W, "b": b, "x": x, "y": x @ W + b}
        indices = {
            factor.name: np.arange(self.sizes.integer(factor.shape[0])) % min(n, m)
            for factor in ir.factors.values()
            if factor.kind == "index" and factor.start is None
        }
        self.starting = Starting(
            ir,
            NUMPY,
            self.sizes,
            self.site,
            partial(_draw, seed),
            indices,
            ranked=self._ranked,
            measured=self._measured,
        )
        self.given = {name: self._drawn(given) for name, given in ir.given.items()}
        for name, given in ir.given.items():
            if given.kind == "noise" or given.start is None:  # an input that has a default starts there
                self.starting.drawn[name] = self.given[name]
        self.trained = [factor.name for factor in ir.factors.values() if factor.is_trained]
        self.constants = self._constants()

    def _measured(self, node: Measured, shapes: Sequence[tuple[int, ...]]) -> Any:
        """Something of the right kind: a covariance, principal directions, a gradient."""
        stream = Stream("measured", self.seed, expression_text(node))
        sample = MEASURES[node.name].sample
        return stream.normal(shapes[0]) if sample is None else _one_or_all(sample(stream, shapes))

    def _ranked(self, node: Ranked) -> Any:
        """In one seed what this module is alone, in the others all of its entries and none: what a model may leave."""
        if self.seed == SEEDS[0]:
            return top_alone(self.starting, node)
        return np.full(self.sizes.shape(node.shape), float(self.seed == SEEDS[1]))

    def _drawn(self, given: GivenIR) -> Any:
        """A noise as its draw, an input as anything; one that picks places (`C[task]`) as its default."""
        shape = self.sizes.shape(given.shape)
        if given.kind == "noise":
            assert isinstance(given.start, Apply)
            options = concrete_options(given.start, self.sizes)
            options.pop("shape", None)
            return _draw(self.seed, given.start, shape, options)
        if any(_is_index(given.name, node) for node in topological(self.ir.roots())):
            return np.zeros(shape)
        return self.stream.normal(shape)

    def _constants(self) -> dict[Node, Any]:
        """Values that no trained factor reaches, computed once."""
        trained = {*self.trained, *self.ir.given}
        known: dict[Node, Any] = {}
        for node in outside_folds(self.ir.targets.values()):
            is_value = not (isinstance(node, Apply) and len(node.definition.outputs) > 1)
            if is_value and not isinstance(node, Factor | Given | Site) and (
                isinstance(node, Initial | Layers | Measured | Ranked) or not (reads(node) & trained)
            ):  # fmt: skip
                known[node] = self.starting.constant(node)
        return known

    def difference(self, name: str) -> float:
        """The largest distance of the adapted value from the base at the start."""
        with np.errstate(all="ignore"):
            value = self.starting.constant(self.ir.targets[name])
        value = np.asarray(value)
        added = value.shape[0] - self.site[name].shape[0] if value.ndim == 2 else 0
        value = np.broadcast_to(value[added:] if added > 0 else value, self.site[name].shape)  # added rows are new
        if not np.all(np.isfinite(value)):
            return float("nan")
        return float(np.max(np.abs(value - self.site[name])))

    def starts_at_zero(self, name: str) -> bool:
        return not np.any(self.starting.factor(name))

    def alive(self) -> set[str]:
        """The factors that something changes with, at the start or after up to two small steps.

        As in training, only factors with a derivative take a step: two zero factors of one product never move.
        """
        moved = {name: np.asarray(self.starting.factor(name), dtype=float) for name in self.trained}
        found: set[str] = set()
        for _ in range(3):
            now = set()
            for name in self.trained:
                direction = self.stream.normal(moved[name].shape)
                if self._changes_with(name, direction, moved):
                    now.add(name)
            found |= now
            if len(found) == len(self.trained):
                break
            for name in now:
                moved[name] = moved[name] + STEP * self.stream.normal(moved[name].shape)
        return found

    def _changes_with(self, name: str, direction: Any, values: Mapping[str, Any]) -> bool:
        def leaf(node: Node) -> Any:
            if isinstance(node, Site):
                return Dual(self.site[node.name])
            if isinstance(node, Given):
                return Dual(self.given[node.name])
            assert isinstance(node, Factor)
            if node.name == name:
                return Dual(values[name], direction)
            return Dual(values[node.name] if node.name in values else self.starting.factor(node.name))

        roots = [*self.ir.targets.values()]
        if any(name in reads(target) for target in roots):  # what the output reads, a penalty may move first
            roots += [one.value for one in self.ir.penalties if name in reads(one.value) and not _lists(one.value)]
        known = {node: value if isinstance(value, float) else Dual(value) for node, value in self.constants.items()}
        with np.errstate(all="ignore"):
            found = evaluate(roots, DUAL, self.sizes, leaf, known)
        for target in roots:
            value = found[target]
            if isinstance(value, Dual) and np.any(np.abs(value.tangent) > 1e-14):
                return True
        return False


def _one_or_all(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def _lists(root: Node) -> bool:
    return any(isinstance(node, Layers) for node in topological([root]))


def _is_index(name: str, node: Node) -> bool:
    return isinstance(node, Apply) and node.operator == "take" and name in reads(node.arguments[1])


def _draw(seed: int, node: Apply, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    try:
        return draw_numpy(node, shape, options, "check", seed)
    except ValueError as error:
        raise SpecError(f"`{node.operator}`: {error}") from None
