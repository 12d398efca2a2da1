"""The formulas of a certificate, put into the spec that they are for, give the other one's weights in float64."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import specdsl
from specdsl import tree
from specdsl.equivalence.cells import question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.decide import equivalent
from specdsl.equivalence.subject import Subject, with_same_values
from tests.equivalence.consistency import Module, both
from tests.equivalence.rewritten import NOWHERE, changed, printed

ROWS = list(
    csv.DictReader(
        Path(__file__).with_name("pairs.tsv").read_text(encoding="utf-8").splitlines(),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
)
MORE = [
    ("flora", "lora"), ("lora", "dora"), ("moslora", "lora"), ("lora_fa", "lora"), ("lora_xs", "lora"),
    ("trilora", "lora"), ("lora", "full"), ("hydra", "W + A@B | A : n x 2*r"), ("svdiff", "svdiff"),
    ("W@diag(t) + A@B@diag(t)", "dora"), ("U*diag(s)*W*diag(t)", "diag(s)@W@diag(t)"),
    ("W + A@B + C@D", "W + A@B | A : n x 2*r"), ("W + A@diag(exp(e))@B", "W + A@B"),
]  # fmt: skip
PAIRS = [(row["a"], row["b"], [row["assume"]] if row["assume"] else []) for row in ROWS] + [(*one, []) for one in MORE]
LINE = re.compile(r"(?:(n[<=>]m), )?(a in b|b in a): (\w+) := (.+)")
SVD = "U, S, V = svd(W)"


@cache
def certificate(a: str, b: str, *assume: str) -> tuple[str, ...]:
    return equivalent(a, b, assume=assume, sense="set").set.certificate


def directions(certificate: tuple[str, ...]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The cell (none: all), the direction and the formulas of every map in a certificate of formulas alone."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for line in certificate:
        match = LINE.fullmatch(line)
        if match is None or "]_(" in line or "r - " in line:
            return  # a size that is negative for some modules has no value there
        found.setdefault((match[1] or "", match[2]), {})[match[3]] = match[4]
    for (cell, direction), formulas in found.items():
        yield cell, direction, formulas


def put_in(source: Subject, target: Subject, formulas: dict[str, str]) -> str:
    """The target spec over the factors of the source."""
    names = {name: f"{'Z' if name[0].isupper() else 'z'}{place + 70}" for place, name in enumerate(formulas)}
    lines = []
    for name, factor in source.ir.factors.items():
        if factor.is_trained:
            shape = " x ".join(f"({source.size(size)})" for size in factor.shape) or "1"
            lines.append(f"{name} : {shape} ~ {'orthogonal, orthonormal' if factor.orthonormal else 'normal'}")
    own = clauses(target, names)
    read = " ".join([*formulas.values(), *(text for _, text in own)])
    kept = [text for kind, text in clauses(source, {}) if kind == "frozen"]
    lines += [text for text in kept if re.search(rf"\b{re.split('[ :~]', text)[1]}\b", read)]
    lines += [text for kind, text in own if kind == "frozen" and text not in lines]
    lines += [f"{names[name]} = {formula}" for name, formula in formulas.items()]
    text = "\n".join([*lines, *(text for kind, text in own if kind == "equation")])
    needs = re.search(r"\b[US]\b", text) and "svd(W)" not in text and "U" not in source.ir.factors
    return f"{SVD}\n{text}" if needs else text


def clauses(subject: Subject, names: dict[str, str]) -> list[tuple[str, str]]:
    """What a spec consists of, with other names: equations and frozen factors; the rest is `left out`."""
    found = []
    for clause in subject.spec.tree.clauses:
        if isinstance(clause, tree.Header | tree.Penalty | tree.At | tree.On):
            continue
        text = renamed_clause(clause, names)
        is_factor = isinstance(clause, tree.FactorLine)
        found.append(("equation" if not is_factor else "frozen" if text.startswith("frozen") else "left out", text))
    return found


def renamed_clause(clause: tree.Syntax, names: dict[str, str]) -> str:
    def rename(node: tree.Syntax) -> tree.Syntax:
        return replace(node, name=names.get(node.name, node.name)) if isinstance(node, tree.Name) else node

    return printed(tree.SpecTree(NOWHERE, (changed(clause, rename),)))


CASES = [
    pytest.param(a, b, assume, id=f"{a} and {b}") for a, b, assume in PAIRS
    if "init(" not in a + b and not re.search(r"\br = 1\b", a + b)
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "assume"), CASES)
def test_formulas_give_the_same_weights(a: str, b: str, assume: list[str]) -> None:
    one, other = both(a, b)
    for cell_name, direction, formulas in directions(certificate(a, b, *assume)):
        source, target = (one, other) if direction == "a in b" else (other, one)
        text = put_in(source, target, formulas)
        try:
            (composed, _) = both(text, text)
        except specdsl.SpecStartError:
            composed, _ = both(f"{text}\nstarts: elsewhere", f"{text}\nstarts: elsewhere")
        composed, _ = with_same_values(composed, source)
        for cell in question(one, other, Conditions.of(assume)).cells:
            if cell_name in ("", cell.name):
                left, right = Module(source, cell.samples[0]), Module(composed, cell.samples[0])
                factors = {name: value for name, value in left.factors().items() if name in right.shapes}
                assert np.allclose(right.value(factors), left.value(left.factors())), (direction, cell.name)


def test_most_certificates_are_formulas_alone() -> None:
    proved = [found for a, b, assume in PAIRS[::3] if (found := certificate(a, b, *assume))]
    assert sum(bool(list(directions(one))) for one in proved) >= 0.6 * len(proved)


def test_a_column_of_constants_is_written_in_the_language() -> None:
    found = equivalent("W + A@B", "W + (A@B) .* (C@D)", sense="set").set
    assert "a in b: C := [ones(n), zeros(n, r - 1)]" in found.certificate
