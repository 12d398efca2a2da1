"""What is written of a form is the language, and reads back as the same form."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import specdsl
from specdsl.equivalence.cells import Cell, question
from specdsl.equivalence.conditions import Conditions
from specdsl.equivalence.forms.build import Builder
from specdsl.equivalence.forms.form import Form
from specdsl.equivalence.forms.text import form_text
from specdsl.equivalence.subject import Subject, subjects

PAIRS = Path(__file__).parents[1] / "pairs.tsv"
ROWS = csv.DictReader(PAIRS.read_text(encoding="utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
NEWLINE = "\n"
SVD = "U, S, V = svd(W)"
DORA = "V = W + A@B | g : m ~ colnorm(W) | W' = V@diag(g ./ stop(colnorm(V)))"
SPECS = list(dict.fromkeys([text for row in ROWS for text in (row["a"], row["b"])] + [
    "V = W - 3*A@B | g : m ~ colnorm(W) | W' = V@diag(g ./ colnorm(V))",
    "V = W + 2*A@B | g : n ~ rownorm(W) | W' = diag(g ./ rownorm(V))@V",
    "V = W + A@B | g : 1 ~ norm(W) | W' = V*(g / norm(V))",
    "W + [A, zeros(n, m - r)] | A : n x r ~ zeros",
    "W@diag(1 + u@A) | u : r ~ zeros | A : r x m ~ ones",
    "V = W + (A@B) .* W | g : m ~ colnorm(W) | W' = V@diag(g ./ colnorm(V))",
    f"{SVD} | W' = U@diag(relu(S + d))@V | d ~ zeros",
]))  # fmt: skip
WRITTEN = {
    DORA: "W@diag(g ./ colnorm(W + A@B)) + A@B@diag(g ./ colnorm(W + A@B))",
    "V = W + 2*A@B | g : n ~ rownorm(W) | W' = diag(g ./ rownorm(V))@V":
        "diag(g ./ rownorm(W + 2*A@B))@W + 2*diag(g ./ rownorm(W + 2*A@B))@A@B",
    "V = W + A@B | g : 1 ~ norm(W) | W' = V*(g / norm(V))": "g*W / norm(W + A@B) + g*A@B / norm(W + A@B)",
    "W + (A@B) .* (C@D)": "W + (A@B) .* (C@D)",
    "r = 1 | W + A@B": "W + outer(A, B)",
    "W + kron(A, B) | A : 2 x 2 ~ zeros | B : n/2 x m/2 ~ kaiming": "W + kron(A, B)",
    f"{SVD} | W' = W + U[:, :r]@R@V[:r, :] | R : r x r ~ zeros": "W + U[:, :r]@R@V[:r, :]",
    "W + [A, zeros(n, m - r)] | A : n x r ~ zeros": "W + [A, zeros(n, m - r)]",
}  # fmt: skip


def subject_of(text: str) -> Subject:
    spec = specdsl.parse(text)
    return subjects(spec, spec)[0]


def form_of(subject: Subject, cell: Cell) -> Form:
    node = subject.values["W'"]
    return Builder(subject, cell.world(), "svd" in str(subject.spec.tree), cell.resolved).form(node)


def is_plain(subject: Subject) -> bool:
    """Whether it has trained factors alone, and none with an axis of size 1."""
    factors = subject.ir.factors.values()
    return all(one.is_trained and not any(subject.size(size).constant == 1 for size in one.shape) for one in factors)


def with_target(subject: Subject, target: str) -> Subject:
    """A spec of the same factors with another expression of its weight."""
    lines = []
    for name, factor in subject.ir.factors.items():
        shape = " x ".join(f"({subject.size(size)})" for size in factor.shape) or "1"
        lines.append(f"{name} : {shape} ~ {'orthogonal, orthonormal' if factor.orthonormal else 'normal'}")
    parts = f"{SVD}\n" if re.search(r"\b[USV]\b", target) and "U" not in subject.ir.factors else ""
    return subject_of(f"{parts}{NEWLINE.join(lines)}\nW' = {target}\nstarts: elsewhere")


@pytest.mark.parametrize("text", SPECS)
def test_what_is_written_reads_back_as_the_same_form(text: str) -> None:
    subject = subject_of(text)
    cell = question(subject, subject, Conditions.of()).cells[-1]
    form = form_of(subject, cell)
    written = form_text(form)
    if not is_plain(subject) or "]_(" in written or "init(" in written:
        return
    again = with_target(subject, written)
    assert Builder(again, cell.world(), "svd" in text, cell.resolved).form(again.values["W'"]) == form


def test_few_forms_need_indices() -> None:
    forms = [form_of(one, question(one, one, Conditions.of()).cells[0]) for one in map(subject_of, SPECS)]
    assert sum("]_(" in form_text(form) for form in forms) <= 2


@pytest.mark.parametrize(("text", "written"), WRITTEN.items())
def test_forms_are_written_as_a_user_would(text: str, written: str) -> None:
    subject = subject_of(text)
    cell = question(subject, subject, Conditions.of()).cells[0]
    assert form_text(form_of(subject, cell)) == written
