"""Starts and constants of one module: the values of factors before training, and everything derived from W.

In a start a factor's name means its initial value, so the same evaluator serves starts, `init(E)` and all that reads
only W, b and frozen factors. It runs on numpy for the start check and on torch for attaching.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from specdsl.arrays import Array, Arrays
from specdsl.errors import SpecNotBuiltError, SpecSettingError
from specdsl.interpret import Sizes, concrete_options, evaluate
from specdsl.ir import Apply, Factor, Given, Initial, Layers, Measured, Node, Ranked, Site, SpecIR
from specdsl.measures import MEASURES
from specdsl.operators.registry import find_operator
from specdsl.printing.expression_text import expression_text
from specdsl.randomness import Stream

_NEEDS = {
    "calibration": "a calibration pass over data",
    "event": "events while training",
    "round": "the workers of a federation",
    "allocation": "an allocation of ranks over the modules",
}

Draw = Callable[[Apply, tuple[int, ...], dict[str, Any]], Array]
"""The array of a random start: its node, its concrete shape, its options."""


class Starting:
    """The initial values of a spec's factors in one module.

    Args:
        ir: the spec.
        xp: the array namespace.
        sizes: the module's sizes and hyper-parameters.
        site: the module's values, `W` and `b` (and `x`, `y` where a check has them).
        draw: draws random starts.
        given: values given from outside: an index, or factors that are known already.
        layers: the value of an expression in every adapted module, for `layers(E)`.
        ranked: this module's part of a ranking over all modules; by default this module is the only one.
        measured: the value of what the runtime measures, from its node and its shapes as numbers.
    """

    def __init__(
        self,
        ir: SpecIR,
        xp: Arrays,
        sizes: Sizes,
        site: Mapping[str, Array],
        draw: Draw,
        given: Mapping[str, Array] | None = None,
        layers: Callable[[Node], Array] | None = None,
        ranked: Callable[[Ranked], Array] | None = None,
        measured: Callable[[Measured, list[tuple[int, ...]]], Array] | None = None,
    ) -> None:
        self.ir = ir
        self.xp = xp
        self.sizes = sizes
        self.site = site
        self.draw = draw
        self.layers = layers
        self.ranked = ranked
        self.measured = measured
        self.factors: dict[str, Array] = dict(given or {})
        self.known: dict[Node, Array] = {}
        self.drawn: dict[str, Array] = {}

    def factor(self, name: str) -> Array:
        """The initial value of a factor, in its declared shape."""
        if name not in self.factors:
            factor = self.ir.factors[name]
            if factor.start is None:
                raise SpecSettingError(
                    f"the index `{name}` is given when attaching", factor.span, f"for example `{name}=[3, 17, 256]`"
                )
            value = self.constant(factor.start)
            if isinstance(value, float):
                value = self.xp.full((), value, self.site.get("W"))
            shape = self.sizes.shape(factor.shape)
            self.factors[name] = value if tuple(value.shape) == shape else self.xp.broadcast(value, shape)
        return self.factors[name]

    def given_value(self, name: str) -> Array:
        """A noise at its mean, an input at its default, unless another value is set in `drawn`."""
        if name not in self.drawn:
            given = self.ir.given[name]
            if given.rest is None:
                raise SpecSettingError(f"the input `{name}` is given at run time and has no default", given.span)
            value = self.constant(given.rest)
            shape = self.sizes.shape(given.shape)
            value = self.xp.full((), value, self.site.get("W")) if isinstance(value, float) else value
            self.drawn[name] = value if tuple(value.shape) == shape else self.xp.broadcast(value, shape)
        return self.drawn[name]

    def constant(self, node: Node) -> Array:
        """The value of `node` with every factor at its start."""
        if node not in self.known:
            self.known.update(evaluate([node], self.xp, self.sizes, self._leaf, self.known))
        return self.known[node]

    def _measured(self, node: Measured) -> Array:
        if self.measured is None:
            raise SpecNotBuiltError(
                f"`{expression_text(node)}` needs {_NEEDS[MEASURES[node.name].when]}, which attaching cannot do yet"
            )
        shapes = MEASURES[node.name].shapes([argument.shape for argument in node.arguments])
        given = (node.shape,) if len(shapes) == 1 else shapes
        return self.measured(node, [self.sizes.shape(shape) for shape in given])

    def _leaf(self, node: Node) -> Array:
        match node:
            case Site():
                return self.site[node.name]
            case Factor():
                return self.factor(node.name)
            case Given():
                return self.given_value(node.name)
            case Initial():
                return self.constant(node.of)
            case Layers():
                return self.layers(node.of) if self.layers else _alone(self.constant(node.of), self.xp)
            case Ranked():
                return self.ranked(node) if self.ranked else top_alone(self, node)
            case Measured():
                return self._measured(node)
            case Apply():
                shape = self.sizes.shape(node.shape)
                options = concrete_options(node, self.sizes)
                options.pop("shape", None)
                return self.draw(node, shape, options)
        raise AssertionError(node)


def top_alone(starting: Starting, node: Ranked) -> Array:
    """This module's part of a ranking in a model where it is the only one."""
    value, amount = starting.constant(node.of.of), starting.constant(node.amount)
    array = starting.xp.full((), value) if isinstance(value, float) else value
    definition = find_operator("top")
    assert definition is not None
    return definition.value(starting.xp, array, k=float(amount))


def _alone(value: Array, xp: Arrays) -> Array:
    return value if isinstance(value, float) else xp.reshape(value, (1, *value.shape))


def draw_numpy(node: Apply, shape: tuple[int, ...], options: dict[str, Any], *key: str | int) -> Any:
    """A random start as a float64 (or int64) numpy array.

    An explicit `seed=` decides alone, so that equal seeds give equal values everywhere; otherwise the draw is keyed
    by `key` (seed and module) and by the place of the draw in the spec.
    """
    seed = options.pop("seed", None)
    parts = ("seed", int(seed), node.operator) if seed is not None else (*key, node.option("label"))
    operator = node.definition
    assert operator.draw is not None
    return operator.draw(Stream(*parts), shape, **options)
