"""`explain` says what a spec leaves unsaid, and why."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings

import specdsl
from specdsl.library_specs import library_names
from specdsl.printing.explanation import WIDTH
from tests.spec_strategies import well_typed_specs


def section(text: str, title: str, **hyperparameters: float) -> dict[str, tuple[str, ...]]:
    """The rows of one section by their first cell; empty where the section is left out."""
    explanation = specdsl.parse(text, **hyperparameters).explain()
    rows = [row for one in explanation.sections if one.title == title for row in one.rows]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.filterwarnings("ignore::specdsl.SpecWarning")
@settings(derandomize=True, deadline=None, max_examples=40)
@given(well_typed_specs())
def test_it_is_plain_narrow_and_names_every_factor(text: str) -> None:
    spec = specdsl.parse(text)
    explanation = spec.explain()
    shown = str(explanation)
    rows = [row for one in explanation.sections if one.title.endswith("factors") for row in one.rows]
    assert [row[0] for row in rows] == [name for part in spec.parts or (spec,) for name in part.ir.factors]
    assert all(cell for row in rows for cell in row)
    assert max(map(len, shown.splitlines())) <= WIDTH + 2
    assert "\x1b" not in shown


@pytest.mark.parametrize("name", library_names() or ["b + d"])
def test_every_library_spec_is_explained(name: str) -> None:
    spec = specdsl.parse(name)
    explanation = spec.explain()
    assert str(explanation).startswith(spec.label)
    assert explanation._repr_html_().count("<table>") == len(explanation.sections)


def test_a_factor_has_its_shape_its_start_and_the_reasons() -> None:
    factors = section("W + A@G@B | orth(A)", "factors")
    assert factors["A"] == (
        "trained", "n x r", "from its use in `A@G@B`", "kaiming(fan=n)",
        "nothing else fixes it: Kaiming-uniform over the n inputs",
    )  # fmt: skip
    assert factors["B"][3:] == ("zeros", "its term is added, so it starts at zero")


def test_kinds_and_attributes_of_a_factor() -> None:
    text = "frozen shared A : max(layers(n)) x r ~ kaiming | B ~ zeros, lr = 16, float32 | W + A[:n, :]@B"
    factors = section(text, "factors")
    assert factors["A"][0] == "frozen, shared"
    assert factors["B"][0] == "trained, lr = 16, float32"


def test_equations_definitions_and_what_they_read() -> None:
    text = "U, S, V = svd(W) | f(Z) = 2*Z | s ~ S | W' = U@diag(s)@V + f(A@B)"
    assert section(text, "adapts") == {"W'": ("U@diag(s)@V + f(A@B)",)}
    definitions = section(text, "definitions")
    assert definitions["U, S, V"] == ("n x min(m, n), min(m, n), min(m, n) x m", "svd(W)")
    assert definitions["f(Z)"] == ("a function", "2*Z")
    assert section(text, "reads").keys() == {"W"}


def test_hyper_parameters_say_where_they_come_from() -> None:
    text = "W + s * A@B | s = alpha/r"
    assert section(text, "hyper-parameters", alpha=32) == {
        "r": ("8", "default"), "alpha": ("32", "set from outside"), "s": ("4", "as written: s = alpha/r"),
    }  # fmt: skip
    assert section("b + d", "hyper-parameters") == {}


def test_size_conditions_name_what_demands_them() -> None:
    assert section("k = 4 | W + kron(A, B) | A : n/k x m", "size conditions")["n/k is a whole number"] == ("`n/k`",)


def test_penalties_say_how_often_they_are_added() -> None:
    text = "shared A : max(layers(n)) x r | W + A[:n, :]@B | orth(A) | orth(B) | penalty mean(layers(norm(B)))"
    assert section(text, "penalties") == {
        "orth(A)": ("once per shared tensor",),
        "orth(B)": ("once per module",),
        "mean(layers(norm(B)))": ("once: it reads all modules",),
    }


@pytest.mark.parametrize(
    ("text", "fact", "sentence"),
    [
        ("W + A@B", "mergeable", "yes: the adapted weight does not depend on the input"),
        ("y + relu(x@A)@B", "mergeable", "no: `relu(x@A)` is not linear in the input"),
        ("y + x@A@B", "mergeable", "yes: the output is affine in the input"),
        ("y + x@A@B", "  W'", "W + A@B"),
        ("W + A@B", "rank", "W' - W has rank at most r = 8, exactly a LoRA"),
        ("W + A@G@B", "rank", "W' - W has rank at most r = 8"),
        ("b + d", "rank", "the weight itself does not change"),
        ("W + A@G@B", "trained", "m*r + n*r + r^2 = 8*m + 8*n + 64 per module"),
        ("W + A@B", "start", "W' = W: the adapted model starts as the base model (checked in float64)"),
        ("b + d", "bias", "b' is assigned, so a module without a bias gets one"),
        (
            "frozen A ~ kaiming(seed=1) | W + A@B",
            "regenerated",
            "A: drawn again from the seed, not in the saved adapter",
        ),
        ("frozen A ~ W[:, :r] | W + A@B", "computed", "A: from the loaded weights, once, at attach"),
        ("shared A : r x r | W + C@A@B", "trained, shared", "r^2 = 64, once per shared tensor"),
    ],
)
def test_facts_are_sentences(text: str, fact: str, sentence: str) -> None:
    assert section(text, "facts")[fact] == (sentence,)


def test_starting_elsewhere_is_said() -> None:
    text = "starts: elsewhere\nA, B ~ normal\nW + A@B"
    assert section(text, "facts")["start"] == ("not at the base model, as `starts: elsewhere` says",)


def test_places_headers_and_warnings() -> None:
    text = "title: T\ncite: C\nnote: N\nW' = W + A@B\non attention except attention.key layers 0..3\ntrain head, norm"
    assert section(text, "places") == {
        "on": ("attention except attention.key layers 0..3",), "train": ("head, norm (whole, saved with the adapter)",),
    }  # fmt: skip
    assert section(text, "headers") == {"cite": ("C",), "note": ("N",)}
    with pytest.warns(specdsl.SpecWarning):
        warned = section("W + W*A | A ~ zeros", "warnings")
    assert warned == {"line 1": ("`W*A` is a matrix product; the elementwise product is `.*`",)}


def test_explain_and_latex_are_imported_when_asked_for_and_no_printer_imports_torch() -> None:
    code = (
        "import sys, specdsl; spec = specdsl.parse('W + A@B');"
        "loaded = {'specdsl.printing.explain', 'specdsl.printing.latex'} & set(sys.modules);"
        "assert not loaded, loaded; str(spec), spec.latex(), str(spec.explain()), spec.explain()._repr_html_();"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
