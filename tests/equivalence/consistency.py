"""Verdicts against float64: what a verdict says has to hold of the specs' values and of their Jacobians."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from specdsl import tree
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.equivalence.cells import question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.subject import Subject, subjects, with_same_values
from specdsl.equivalence.verdict import Verdict
from specdsl.interpret import Sizes, evaluate
from specdsl.ir import Factor, Node, Site
from specdsl.parser import parse_tree
from specdsl.spec import parse
from specdsl.starting import Starting
from tests.equivalence.form_values import Values, reference
from tests.equivalence.rewritten import NOWHERE, changed, printed

TOLERANCE = 1e-7


def both(a: str, b: str) -> tuple[Subject, Subject]:
    return with_same_values(*subjects(parse(a), parse(b)))


class Module:
    """One spec at sizes, W and constants: a function of its trained factors.

    Args:
        subject: the spec.
        sizes: of the module.
        seed: of everything that is not trained; equal seeds are equal constants where names are equal.
    """

    def __init__(self, subject: Subject, sizes: Mapping[str, Any], seed: int = 0) -> None:
        self.subject = subject
        _, self.values = reference(subject, sizes, seed)
        self.sizes = Sizes(self.values.sizes)
        self.shapes = {name: self.sizes.shape(subject.ir.factors[name].shape) for name in subject.trained}
        site = {name: self.values.known[name] for name in "Wbxy"}
        self.starting = Starting(subject.ir, NUMPY, self.sizes, site, self._no_draw)
        for name in subject.ir.factors:
            known = self.values.known.get(name)
            start = next((v for k, v in self.values.known.items() if k.startswith(f"start {name} ")), None)
            if subject.ir.factors[name].kind != "trained":
                self.starting.factors[name] = known
            elif start is not None:
                self.starting.factors[name] = start

    def _no_draw(self, node: Any, shape: tuple[int, ...], options: Mapping[str, Any]) -> Any:
        raise AssertionError(f"a draw that is not known: {node}")

    def value(self, factors: Mapping[str, Any]) -> Any:
        """All compared values as one vector."""

        def leaf(node: Node) -> Any:
            match node:
                case Site():
                    return self.values.known[node.name]
                case Factor() if self.subject.ir.factors[node.name].is_trained:
                    return factors[node.name]
                case Factor():
                    return self.starting.factor(node.name)
            return self.starting.constant(node)

        found = evaluate(self.subject.values.values(), NUMPY, self.sizes, leaf)
        return np.concatenate([np.ravel(np.broadcast_to(found[node], self.sizes.shape(node.shape)))
                               for node in self.subject.values.values()])  # fmt: skip

    def factors(self) -> dict[str, Any]:
        return {name: self.values.known[name] for name in self.shapes}

    def dimension(self) -> int:
        """The rank of the Jacobian at a random point, by differences; of orthonormal factors along their moves."""
        base = self.factors()
        rows = []
        for name, value in base.items():
            for step in _moves(value, self.subject.ir.factors[name].orthonormal):
                ahead, behind = (self.value({**base, name: value + sign * 1e-5 * step}) for sign in (1, -1))
                rows.append((ahead - behind) / 2e-5)
        if not rows:
            return 0
        found = np.linalg.svd(np.array(rows), compute_uv=False)
        return int(np.sum(found > 1e-6 * max(found[0], 1e-30)))


def _moves(value: Any, is_orthonormal: bool) -> Iterator[Any]:
    for place in np.ndindex(*value.shape):
        step = np.zeros(value.shape)
        step[place] = 1
        if is_orthonormal:
            tall = value if value.shape[0] >= value.shape[1] else value.T
            move = step if tall is value else step.T
            inner = tall.T @ move
            move = move - tall @ (inner + inner.T) / 2
            step = move if tall is value else move.T
        yield step


def pairing(verdict: Verdict, a: Subject, b: Subject) -> dict[str, tuple[str, bool]]:
    """The factors of b by those of a, as a proof of pointwise equality writes them."""
    found = {name: (name, False) for name in b.trained}
    for piece in verdict.pointwise.certificate[0].split(", "):
        match = re.fullmatch(r"(\w+) = (\w+)(\.T)?", piece)
        if match:
            found[match[1]] = (match[2], match[3] is not None)
    assert set(found) == set(b.trained)
    assert {owner for owner, _ in found.values()} == set(a.trained)
    return found


def paired_draws(verdict: Verdict) -> dict[str, tuple[str, bool]]:
    """The frozen draws of b that are draws of a by another name, or transposed."""
    found = {}
    for text in {*verdict.pointwise.assumptions, *verdict.set.assumptions}:
        match = re.fullmatch(r"as draws, (\w+) of b is (\w+)(\.T)? of a.*", text)
        if match:
            found[match[1]] = (match[2], match[3] is not None)
    return found


def faults(a: str, b: str, verdict: Verdict) -> Iterator[str]:
    """What a verdict says and float64 does not."""
    one, other = both(a, b)
    for cell in question(one, other, Conditions.of()).cells:
        relation = verdict.set.by_shape.get(cell.name, verdict.set.relation)
        sizes = cell.samples[0]
        left, right = Module(one, sizes), Module(other, sizes)
        drawn = paired_draws(verdict)
        for name, factor in other.ir.factors.items():
            owner, flipped = drawn.get(name, (name, False))
            if factor.kind == "frozen" and owner in left.values.known:
                known = np.transpose(left.values.known[owner]) if flipped else left.values.known[owner]
                if np.shape(known) == np.shape(right.values.known[name]):
                    right.values.known[name] = right.starting.factors[name] = known
        if verdict.pointwise.relation == "=" and verdict.pointwise.status == "proved":
            names = pairing(verdict, one, other)
            base = left.factors()
            put = {name: np.reshape(base[owner].T if flipped else base[owner], right.shapes[name])
                   for name, (owner, flipped) in names.items()}  # fmt: skip
            wanted = left.value(base)
            gap = np.max(np.abs(right.value(put) - wanted)) / max(1.0, np.max(np.abs(wanted)))
            if not gap < TOLERANCE:
                yield f"pointwise equal, but {gap:.1e} apart at {cell.name}"
        if re.search(r"\b(relu|abs)\b", a + b):
            continue  # the rank differs from place to place
        points = [(left, right), *((Module(one, sizes, seed), Module(other, sizes, seed)) for seed in (1, 2))]
        dims = max(point.dimension() for point, _ in points), max(point.dimension() for _, point in points)
        if relation == "=" and dims[0] != dims[1]:
            yield f"equal sets of dimensions {dims} at {cell.name}"
        if (relation == "<" and dims[0] > dims[1]) or (relation == ">" and dims[0] < dims[1]):
            yield f"a relation {relation} of dimensions {dims} at {cell.name}"


# ------------------------------------------------------------------------------------------------ mutations


def mutated(text: str, seed: int) -> str | None:
    """The spec with one operator changed; None where there is nothing to change."""
    draw = random.Random(seed)
    places = [node for node in _nodes(parse_tree(text)) if _mutants(node)]
    if not places:
        return None
    chosen = draw.choice(places)
    mutant = draw.choice(_mutants(chosen))
    done = False

    def change(node: tree.Syntax) -> tree.Syntax:
        nonlocal done
        if not done and node == chosen:
            done = True
            return mutant
        return node

    return printed(changed(parse_tree(text), change))


def _nodes(node: Any) -> Iterator[tree.Syntax]:
    if isinstance(node, tuple):
        for entry in node:
            yield from _nodes(entry)
    elif isinstance(node, tree.Syntax):
        if isinstance(node, tree.FactorLine | tree.Header):
            return
        yield node
        for one in fields(node):
            yield from _nodes(getattr(node, one.name))


def _mutants(node: tree.Syntax) -> list[tree.Syntax]:
    match node:
        case tree.Sum() if len(node.signs) >= 1:
            flip = tuple("-" if sign == "+" else "+" for sign in node.signs[:1]) + node.signs[1:]
            return [replace(node, signs=flip), tree.Group(NOWHERE, tree.Sum(NOWHERE, node.terms[:-1], node.signs[:-1]))
                    if len(node.terms) > 2 else node.terms[0]]  # fmt: skip
        case tree.Product() if ".*" in node.operators:
            return [replace(node, operators=tuple("./" if one == ".*" else one for one in node.operators))]
        case tree.Transpose():
            return [node.body]
        case tree.Call() if node.function in ("relu", "exp", "lower", "sym", "skew"):
            swap = {"relu": "abs", "exp": "tanh", "lower": "upper", "sym": "skew", "skew": "sym"}
            return [replace(node, function=swap[node.function])]
    return []


__all__ = ["Module", "Values", "both", "faults", "mutated", "pairing"]
