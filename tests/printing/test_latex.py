"""Specs as mathematics."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

import specdsl
from specdsl.library_specs import library_names
from tests.printing.latex_grammar import assert_is_latex
from tests.spec_strategies import well_typed_specs


def rows(text: str, **hyperparameters: float) -> list[str]:
    """The rows of the block, without its first and last line."""
    first, *inside, last = specdsl.parse(text, **hyperparameters).latex().splitlines()
    assert (first, last) == (r"\begin{aligned}", r"\end{aligned}")
    return [row.removesuffix(r" \\") for row in inside]


@pytest.mark.filterwarnings("ignore::specdsl.SpecWarning")
@settings(derandomize=True, deadline=None, max_examples=60)
@given(well_typed_specs())
def test_every_spec_gives_valid_latex(text: str) -> None:
    assert_is_latex(specdsl.parse(text).latex())


@pytest.mark.parametrize("name", [*library_names(), "U*diag(s)*W*diag(t)", "b + d"])
def test_library_specs_give_valid_latex(name: str) -> None:
    assert_is_latex(specdsl.parse(name).latex())


def test_low_rank_update() -> None:
    uniform = r"\mathcal{U}\left(-\frac{1}{\sqrt{n}}, \frac{1}{\sqrt{n}}\right)"
    assert rows("W + alpha/r * A@B") == [
        r"W' &= W + \frac{\alpha}{r}\, A B",
        rf"A &\in \mathbb{{R}}^{{n \times r}}, \quad A^{{(0)}} \sim {uniform}",
        r"B &\in \mathbb{R}^{r \times m}, \quad B^{(0)} = \mathbf{0}",
    ]


def test_definitions_stay_the_authors_own() -> None:
    text = "V = W + s * A@B | s = alpha/r | g ~ colnorm(V) | W' = V@diag(g ./ stop(colnorm(V)))"
    first, *others = rows(text)
    assert first == r"W' &= V \operatorname{diag}(g \oslash \operatorname{sg}(\operatorname{colnorm}(V)))"
    assert others[:2] == [r"V &= W + s\, A B", r"s &= \frac{\alpha}{r}"]
    assert r"g &\in \mathbb{R}^{m}, \quad g^{(0)} = \operatorname{colnorm}(V)" in others


def test_values_together_and_functions_are_definitions() -> None:
    assert rows("U, S, V = svd(W) | s ~ S | W' = U@diag(s)@V")[1] == r"U, S, V &= \operatorname{svd}(W)"
    assert rows("f(Z) = 2*Z | W' = W + f(A@B)")[1] == r"f(Z) &= 2\, Z"


def test_a_setting_from_outside_replaces_the_written_value() -> None:
    assert r"s &= 4" in rows("W + s * A@B | s = alpha/r", s=4)
    assert r"r &= 4" in rows("W + A@B", r=4)


def test_penalties_are_terms_of_the_loss() -> None:
    found = rows("W + A@G@B | orth(A) | orth(B) | penalty mean(layers(norm(G)))")[4:]
    assert found == [
        r"\mathcal{L}' &= \mathcal{L} + \sum_{\text{modules}} \left\lVert A^\top A - I \right\rVert_F^2",
        r"&\quad + \sum_{\text{modules}} \left\lVert B B^\top - I \right\rVert_F^2",
        r"&\quad + \operatorname{mean}_{\text{layers}} \left\lVert G \right\rVert_F",
    ]


def test_size_conditions_have_no_minus() -> None:
    spec = "k = 4 | U, S, V = svd(W) | A : n x k ~ U[:, -k:] | frozen C : n/k x m ~ zeros | W' = W + A@B + 0*tile(C, n)"
    assert rows(spec)[-2:] == [r"k &\le \min(m, n)", r"\frac{n}{k} &\in \mathbb{N}"]


def test_kinds_are_named() -> None:
    frozen = "frozen shared A : max(layers(n)) x r ~ normal(0.02) | index I : r ~ choice(n)"
    found = rows(f"{frozen} | W + A[:n, :]@P@W[I, :] | P : r x r ~ zeros, lr = 2")
    sizes = r"\left(\max_{\text{layers}} n\right) \times r"
    start = r"A \sim \operatorname{normal}(0.02)"
    assert rf"A &\in \mathbb{{R}}^{{{sizes}}}\ \text{{(frozen, shared)}}, \quad {start}" in found
    assert r"I &\in \mathbb{N}^{r}\ \text{(index)}, \quad I \sim \operatorname{choice}(n)" in found


def test_notebooks_show_the_block_as_display_mathematics() -> None:
    spec = specdsl.parse("b + d")
    assert spec._repr_latex_() == f"$$\n{spec.latex()}\n$$"
