"""Forms at points in float64: every index is run through, so that nothing of the checker's own evaluation is used."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.equivalence.cells import question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.forms.build import Builder
from specdsl.equivalence.forms.form import Atom, Form, Key, Term
from specdsl.equivalence.forms.index import NoForm, Slot, Var
from specdsl.equivalence.subject import Subject, decomposes_base
from specdsl.interpret import Sizes, evaluate
from specdsl.ir import Apply, Factor, Initial, Node, Site, topological
from specdsl.operators.registry import find_operator
from specdsl.randomness import Stream
from specdsl.sizes import Size
from specdsl.starting import Starting

LARGEST_GRID = 300_000


class Values:
    """What stands for the atoms of forms: factors, sites and constants by name.

    Args:
        sizes: of every symbol.
        known: arrays by name; axes of size 1 may be there or not. `W` gives the parts of its decomposition.
    """

    def __init__(self, sizes: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        self.sizes = dict(sizes)
        self.known = dict(known)

    def integer(self, size: Size) -> int:
        return size.integer(self.sizes)

    def form(self, form: Form) -> Any:
        """The entries of a form."""
        total = np.zeros([self.integer(size) for size in form.axes])
        for term in form.terms.values():
            self._add(term, total)
        return total

    def _add(self, term: Term, total: Any) -> None:
        variables = sorted(term.vars, key=id)
        lengths = [self.integer(var.size) for var in variables]
        if math.prod(lengths) > LARGEST_GRID:
            raise TooLarge(f"{math.prod(lengths)} places")
        grid = dict(zip(variables, np.indices(lengths, sparse=True), strict=True))
        value = np.full(lengths, float(term.coefficient.value(self.sizes)))
        for atom in term.atoms:
            value = value * self._atom(atom, grid)
        out = tuple(np.broadcast_to(self._index(slot, grid), lengths) for slot in term.out)
        np.add.at(total, out, np.broadcast_to(value, lengths)) if out else total.__iadd__(value.sum())

    def _index(self, slot: Slot, grid: Mapping[Var, Any]) -> Any:
        index: Any = 0
        for place in slot:
            index = index * self.integer(place.var.size) + grid[place.var] + self.integer(place.offset)
        return index

    def _atom(self, atom: Atom, grid: Mapping[Var, Any]) -> Any:
        array = self.key(atom.key)
        places = tuple(self._index(slot, grid) for slot in atom.slots)
        return array[places] ** float(atom.power)

    def key(self, key: Key) -> Any:
        """The array of an atom, without axes of size 1."""
        shape = tuple(self.integer(size) for size in key.axes)
        return np.reshape(self._made(key, shape), shape)

    def _made(self, key: Key, shape: tuple[int, ...]) -> Any:
        match key.kind:
            case "part":
                svd = find_operator("svd")
                assert svd is not None
                return dict(zip("USV", svd.value(NUMPY, self.known["W"]), strict=True))[key.name]
            case "mask":
                return (np.tril if key.name == "lower" else np.triu)(np.ones(shape))
            case "wrap":
                return (np.arange(shape[0])[:, None] % shape[1] == np.arange(shape[1])).astype(float)
            case "select":
                places = np.ravel(self.form(key.arguments[0])).astype(int)
                return np.eye(math.prod(shape) // len(places))[places]
            case "operator" | "measured":
                return self._operator(key)
        if key.kind in ("draw", "start"):
            return self.known[f"{key.kind} {key.name} {_kept(shape)}"]
        return self.known[key.name]

    def _operator(self, key: Key) -> Any:
        arguments = [self.form(argument) for argument in key.arguments]
        if key.name == "entries":
            return arguments[0]
        name, _, output = key.name.partition(".")
        definition = find_operator(name)
        assert definition is not None
        value = definition.value(NUMPY, *arguments, **self._options(key))
        return np.asarray(value[int(output)] if output else value)

    def _options(self, key: Key) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for text in key.options:
            name, _, value = text.partition("=")
            found[name] = {"None": None, "True": True, "False": False}.get(value, value)
            if isinstance(found[name], str) and re.fullmatch(r"-?\d+(/\d+)?|-?\d+\.\d*(e-?\d+)?", value):
                number = Fraction(value)
                found[name] = int(number) if number.denominator == 1 else float(number)
            elif value.startswith("("):
                found[name] = tuple(self.integer(Size.symbol(one.strip())) for one in value[1:-1].split(","))
        return found


def reference(subject: Subject, sizes: Mapping[str, Any], seed: int = 0) -> tuple[dict[str, Any], Values]:
    """The values of a spec at a random point by the float64 interpreter, and what stands for the atoms there."""
    ir, random = subject.ir, np.random.default_rng(seed)
    full = Sizes({"layer": 0, "layers": 1, **sizes, **ir.hyper_values({"r": sizes["r"]} if "r" in sizes else {})})
    n, m = int(full.values["n"]), int(full.values["m"])
    W, bias, x = random.normal(size=(n, m)), random.normal(size=m), random.normal(size=(int(full.values["tokens"]), n))
    site = {"W": W, "b": bias, "x": x, "y": x @ W + bias}
    known: dict[str, Any] = dict(site)

    def draw(node: Apply, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
        given = options.pop("seed", None)
        key = (node.operator, str(given)) if given is not None else (str(node.option("label")), str(seed))
        assert node.definition.draw is not None
        value = node.definition.draw(Stream(*key), shape, **{k: v for k, v in options.items() if k != "label"})
        if given is not None:
            known[f"draw {node.operator}({given}) {_kept(shape)}"] = _unscaled(node.operator, value, options)
        return value

    starting = Starting(ir, NUMPY, full, site, draw)
    for name, node in ir.given.items():
        starting.drawn[name] = known[f"{name} (given)"] = random.normal(size=full.shape(node.shape))
    for name, factor in ir.factors.items():
        if factor.kind != "trained":
            known[name] = starting.factor(name)
            continue
        shape = full.shape(factor.shape)
        value = random.normal(size=shape)
        known[name] = np.linalg.qr(value)[0] if factor.orthonormal and shape[0] >= shape[1] else value
        if factor.orthonormal and shape[0] < shape[1]:
            known[name] = np.linalg.qr(value.T)[0].T
        if any(isinstance(node, Initial) for node in topological(ir.roots())):
            known[f"start {name} {_kept(shape)}"] = starting.factor(name)

    def leaf(node: Node) -> Any:
        match node:
            case Site():
                return site[node.name]
            case Factor():
                return known[node.name]
            case _:
                return starting.constant(node)

    found = evaluate(subject.values.values(), NUMPY, full, leaf)
    values = {name: np.broadcast_to(found[node], full.shape(node.shape)) for name, node in subject.values.items()}
    return values, Values({**full.values}, known)


def _unscaled(operator: str, value: Any, options: Mapping[str, Any]) -> Any:
    """A draw with a seed as forms have it: without its scale, which stands before it as a number."""
    match operator:
        case "normal":
            return value / float(options.get("std", 1))
        case "uniform":
            return (value - float(options["low"])) / (float(options["high"]) - float(options["low"]))
        case "kaiming":
            fan = options.get("fan") or (value.shape[-2] if value.ndim > 1 else value.size)
            return value * math.sqrt(fan)
    return value


def _kept(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


class TooLarge(Exception):
    """More places than a test runs through."""


def disagreement(subject: Subject, seed: int = 0) -> float | None:
    """The largest relative difference of form and interpreter over the cells; None without a form.

    Raises:
        TooLarge: the smallest sizes of the spec are too large to run through.
    """
    worst: float | None = None
    for cell in question(subject, subject, Conditions.of()).cells:
        for decompose in {False, decomposes_base(subject)}:
            try:
                builder = Builder(subject, cell.world(), decompose, cell.resolved)
                forms = {name: builder.form(node) for name, node in subject.values.items()}
            except NoForm:
                continue
            wanted, values = reference(subject, cell.samples[0], seed)
            for name, form in forms.items():
                gap = np.max(np.abs(values.form(form) - wanted[name])) / max(1.0, np.max(np.abs(wanted[name])))
                worst = max(worst or 0.0, float(gap))
    return worst
