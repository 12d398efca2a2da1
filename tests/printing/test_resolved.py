"""The resolved spec says what the spec means, with nothing left to defaults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

import specdsl
from specdsl import tree
from specdsl.library_specs import library_names
from specdsl.parser import parse_tree
from specdsl.printing.resolved import resolved_text, used_hyper_parameters
from tests.spec_strategies import meaning, well_typed_specs


def factor_lines(text: str) -> dict[str, tree.FactorLine]:
    lines = [clause for clause in parse_tree(text).clauses if isinstance(clause, tree.FactorLine)]
    return {name.name: line for line in lines for name in line.names if isinstance(name, tree.Name)}


@pytest.mark.filterwarnings("ignore::specdsl.SpecWarning")
@settings(derandomize=True, deadline=None, max_examples=60)
@given(well_typed_specs())
def test_it_means_the_same_and_declares_every_factor(text: str) -> None:
    spec = specdsl.parse(text)
    resolved = resolved_text(spec)
    again = specdsl.parse(resolved)
    assert meaning(again.ir) == meaning(spec.ir)
    lines = factor_lines(resolved)
    assert lines.keys() == spec.ir.factors.keys()
    assert all(line.shape is not None and line.start is not None for line in lines.values())


@pytest.mark.parametrize("name", [*library_names(), "U*diag(s)*W*diag(t)", "W + A@G@B | orth(A)"])
def test_resolved_library_specs_mean_the_same(name: str) -> None:
    spec = specdsl.parse(name)
    resolved = specdsl.parse(resolved_text(spec))
    assert meaning(resolved.ir) == meaning(spec.ir)
    assert resolved_text(resolved) == resolved_text(spec)


def test_settings_from_outside_are_written_in() -> None:
    spec = specdsl.parse("s, k = 3, 2 | W + s * A@B | A : n x k", s=0.5, k=4)
    assert resolved_text(spec).splitlines()[0] == "s, k = 1/2, 4"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A : n x 1 | W + A@diag(d)@B", "d : (1) ~ ones"),
        ("c : 1 | W + c*A@B", "c : 1 ~ 1"),
        ("A : n x r, orthonormal | W + A@B", "A : n x r ~ orthogonal, orthonormal"),
        ("W@U", "U : m x m ~ eye"),
        ("B ~ zeros, lr = 16 | W + A@B", "B : r x m ~ zeros, lr = 16"),
        ("shared(n) frozen A : n x r ~ kaiming | W + A@B", "shared(n) frozen A : n x r ~ kaiming"),
        ("index I : r | W + tile(W[I, :], n)*0 + D", "index I : r"),
    ],
)
def test_a_factor_line_says_kind_shape_and_start(text: str, line: str) -> None:
    assert line in resolved_text(specdsl.parse(text)).splitlines()


def test_factors_and_what_they_read_come_before_their_readers() -> None:
    text = "V = W + A@B | g ~ colnorm(V) | W' = V@diag(g ./ stop(colnorm(V)))"
    names = [line.split(" ")[0] for line in resolved_text(specdsl.parse(text)).splitlines()]
    assert names == ["r", "A", "B", "V", "g", "W'"]


def test_only_hyper_parameters_that_are_read_are_used() -> None:
    assert used_hyper_parameters(specdsl.parse("W + A@B").ir) == {"r"}
    assert used_hyper_parameters(specdsl.parse("W + alpha*A@B").ir) == {"r", "alpha"}
    assert used_hyper_parameters(specdsl.parse("b + d").ir) == set()
