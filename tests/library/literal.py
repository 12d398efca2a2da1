"""Specs held to formulas in numpy: random values of what a formula takes, and the spec computed with the same.

A formula takes `W`, `b`, for an activation `x` too, and by their names the factors, noises and inputs that it reads.
What it does not take it derives itself, as the spec does: frozen factors that start from W, values of `init(...)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np

import specdsl
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.interpret import Sizes, evaluate
from specdsl.ir import Factor, Given, Layers, Measured, Node, Site
from specdsl.spec import Spec
from specdsl.starting import Starting, draw_numpy
from tests.library.small_layers import Array, checked

R, ALPHA, TOKENS = 2, 5, 4
SCALE = ALPHA / R
RANK: dict[str, Any] = {"r": R}
SCALED: dict[str, Any] = {"r": R, "alpha": ALPHA}


@dataclass(frozen=True)
class Literal:
    """A formula and how the spec is set to meet it.

    Attributes:
        formula: of a weight `W', b'` (or `W'` alone, where b stays) from W and b; of an activation `y'` from x, W and
            b; with the factors that it reads as further arguments.
        settings: hyper-parameters.
        sizes: the (n, m) it is tried at.
        more: further sizes, as a convolution's.
        places: for an index, how many places there are.
        masks: the factors that are 0 or 1.
        measured: the values of measures, by their names, from a generator, n and m.
        part: of a spec with clauses limited to some modules, which of its parts.
    """

    formula: Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[tuple[int, int], ...] = ((7, 5), (5, 7))
    more: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, int] = field(default_factory=dict)
    masks: tuple[str, ...] = ()
    measured: Mapping[str, Callable[[Any, int, int], Any]] = field(default_factory=dict)
    part: int | None = None

    def spec(self, method: str) -> Spec:
        whole = checked(method, **self.settings)
        return whole if self.part is None else whole.parts[self.part]

    @property
    def takes(self) -> list[str]:
        """The names of the values that the formula reads, apart from those of the module."""
        return [name for name in signature(self.formula).parameters if name not in ("W", "b", "x")]

    def values(self, spec: Spec, n: int, m: int, random: Any) -> dict[str, Array]:
        """Random values of all that the formula takes."""
        sizes = self.numbers(spec, n, m)
        found: dict[str, Array] = {}
        for name in self.takes:
            if name in self.measured:
                found[name] = self.measured[name](random, n, m)
                continue
            declared: Any = spec.ir.factors.get(name) or spec.ir.given[name]
            shape = sizes.shape(declared.shape)
            if name in self.places:
                found[name] = random.permutation(self.places[name])[: shape[0]]
            else:
                value = random.normal(size=shape)
                found[name] = (value > 0) * 1.0 if name in self.masks else value
        return found

    def weights(self, W: Array, b: Array, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """`W', b'` by the formula, from values among which are those that it takes."""
        found = self.formula(W, b, **{name: values[name] for name in self.takes})
        return found if isinstance(found, tuple) else (found, b)

    def numbers(self, spec: Spec, n: int, m: int) -> Sizes:
        module = {"n": n, "m": m, "layer": 0, "layers": 1, "tokens": TOKENS, **self.more}
        return Sizes({**spec.ir.hyper_values(), **module})


def module_values(n: int, m: int, random: Any) -> dict[str, Array]:
    W, b, x = random.normal(size=(n, m)), random.normal(size=m), random.normal(size=(TOKENS, n))
    return {"W": W, "b": b, "x": x, "y": x @ W + b}


def starting(literal: Literal, spec: Spec, site: Mapping[str, Array], values: Mapping[str, Array]) -> Starting:
    """The starts of a spec in one module; frozen factors, indices and measures among `values` are taken from there."""
    frozen = {name: values[name] for name, one in spec.ir.factors.items() if name in values and not one.is_trained}
    sizes = literal.numbers(spec, *site["W"].shape)

    def measured(node: Measured, shapes: list[tuple[int, ...]]) -> Any:
        return values[node.name]

    found = Starting(spec.ir, NUMPY, sizes, dict(site), _draw, frozen, measured=measured)
    found.drawn.update({name: values[name] for name in spec.ir.given if name in values})
    return found


def evaluated(
    literal: Literal, spec: Spec, roots: Sequence[Node], site: Mapping[str, Array], values: Mapping[str, Array]
) -> list[Array]:
    """Expressions of a spec in one module, by the reference interpreter."""
    start = starting(literal, spec, site, values)

    def leaf(node: Node) -> Any:
        match node:
            case Site():
                return site[node.name]
            case Factor():
                return values[node.name] if node.name in values else start.factor(node.name)
            case Given():
                return start.given_value(node.name)
            case Layers():  # this module is the only one
                (value,) = evaluated(literal, spec, [node.of], site, values)
                return value[None]
        return start.constant(node)

    found = evaluate(roots, NUMPY, start.sizes, leaf)
    return [np.asarray(found[node]) for node in roots]


def computed(literal: Literal, spec: Spec, site: Mapping[str, Array], values: Mapping[str, Array]) -> dict[str, Array]:
    """The adapted values of a spec in one module, by the names of its targets."""
    names = list(spec.ir.targets)
    return dict(zip(names, evaluated(literal, spec, list(spec.ir.targets.values()), site, values), strict=True))


def _draw(node: Any, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    return draw_numpy(node, shape, options, 0, "")


def weight(literal: Literal, spec: Spec, site: Mapping[str, Array], values: Mapping[str, Array]) -> tuple[Any, Any]:
    """`W', b'` of a spec: by `specdsl.weight` where matrices, factors and hyper-parameters are all it needs."""
    if not (literal.more or literal.measured or set(values) & set(spec.ir.given)):
        return specdsl.weight(spec, site["W"], site["b"], values)
    found = computed(literal, spec, site, values)
    return found.get("W", site["W"]), found.get("b", site["b"])


def svd(W: Array) -> tuple[Array, Array, Array]:
    """`W = U diag(S) V`; in every column of U the entry of largest magnitude is positive."""
    U, S, V = np.linalg.svd(W, full_matrices=False)
    signs = np.sign([column[np.argmax(abs(column))] for column in U.T])
    return U * signs, S, V * signs[:, None]


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def relu(z: Any) -> Any:
    return np.maximum(z, 0)


def near_root(size: int) -> int:
    """The largest divisor that is not above the square root."""
    return max(p for p in range(1, size + 1) if size % p == 0 and p * p <= size)
