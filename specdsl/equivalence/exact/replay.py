"""A witness put into the float64 reference interpreter: whether it shows there what it says."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.equivalence.subject import Subject
from specdsl.equivalence.verdict import Witness
from specdsl.interpret import Sizes, evaluate
from specdsl.ir import Factor, Given, Node, Site
from specdsl.starting import Starting

TOLERANCE = 1e-9


class Replay(NamedTuple):
    """The values of both specs in float64.

    Attributes:
        a, b: by name, `W'`, `b'`, `y'`.
        agrees: whether they are the values that the witness states.
        differs: whether those of the two specs differ.
    """

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    agrees: bool
    differs: bool


def replay(witness: Witness, a: Subject, b: Subject) -> Replay:
    """Both specs at the witness, by the float64 interpreter; of a spec that does not reach the value there is none."""
    sides = ((a, witness.factors_a, witness.value_a), (b, witness.factors_b, witness.value_b))
    found_a, found_b = (_values(subject, witness, factors) if value else {} for subject, factors, value in sides)
    stated = [(found_a, witness.value_a), (found_b, witness.value_b)]
    agrees = all(
        np.allclose(found[name], numbers(texts), rtol=TOLERANCE, atol=TOLERANCE)
        for found, said in stated
        for name, texts in said.items()
    )
    differs = any(np.max(np.abs(found_a[name] - found_b[name])) > TOLERANCE for name in found_a if name in found_b)
    return Replay(found_a, found_b, agrees, bool(differs))


def numbers(texts: Any) -> Any:
    """The float64 array of nested tuples of exact text; decimals may end in `...`.

    >>> numbers((("1", "-3/5"), ("1.414...", "0")))
    array([[ 1.   , -0.6  ],
           [ 1.414,  0.   ]])
    """
    if isinstance(texts, str):
        return np.asarray(float(Fraction(texts.removesuffix("..."))))
    return np.array([numbers(part) for part in texts])


def _values(subject: Subject, witness: Witness, factors: Mapping[str, Any]) -> dict[str, Any]:
    ir = subject.ir
    given = {name: numbers(texts) for name, texts in factors.items()}
    environment = {name: Fraction(text) for name, text in witness.sizes.items()}
    open_rank = {"r": environment["r"]} if "r" in environment and "r" in ir.hyper and ir.hyper["r"].is_default else {}
    sizes = Sizes({"layer": 0, "layers": 1, **environment, **ir.hyper_values(open_rank)})
    W = numbers(witness.site["W"])
    bias = numbers(witness.site["b"]) if "b" in witness.site else np.zeros(W.shape[1])
    x = numbers(witness.site["x"]) if "x" in witness.site else np.zeros((1, W.shape[0]))
    site = {"W": W, "b": bias, "x": x, "y": x @ W + bias}
    starting = Starting(ir, NUMPY, sizes, site, lambda node, shape, options: given[f"~{node.option('label')}"])
    for name, factor in ir.factors.items():
        start = f"init({name})" if factor.is_trained else name
        if start in given:
            starting.factors[name] = given[start].astype(np.int64) if factor.kind == "index" else given[start]
    for name in ir.given:
        if name in witness.site:
            starting.drawn[name] = numbers(witness.site[name])

    def leaf(node: Node) -> Any:
        match node:
            case Site():
                return site[node.name]
            case Factor() if ir.factors[node.name].is_trained:
                return given[node.name]
            case Factor():
                return starting.factor(node.name)
            case Given():
                return starting.given_value(node.name)
            case _:
                return starting.constant(node)

    found = evaluate(subject.values.values(), NUMPY, sizes, leaf)
    return {
        name: np.broadcast_to(found[node], sizes.shape(node.shape)) for name, node in subject.values.items()
    }  # fmt: skip
