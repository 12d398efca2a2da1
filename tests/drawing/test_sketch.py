"""Pictures are made of the representation: what stands in a spec stands in its picture, whatever the method."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

import specdsl
from specdsl.drawing.picture import (
    COMPUTED,
    FROZEN,
    GIVEN,
    TOKENS,
    TRAINED,
    Frame,
    Grid,
    Matrix,
    Picture,
    Raised,
    Repeated,
    Row,
    Sketch,
    Word,
    parts_of,
    roles_in,
)
from specdsl.drawing.sketch import MOST_PARTS, sketches
from specdsl.drawing.symbols import shape_text
from specdsl.ir import Factor, topological
from specdsl.library_specs import library_names
from tests.spec_strategies import well_typed_specs


def drawn(text: str) -> Picture:
    """The right side of a spec's first equation."""
    return sketches(specdsl.parse(text))[0].equations[0].right


def matrices(found: tuple[Sketch, ...]) -> list[Matrix]:
    pending: list[Picture] = [part for one in found for eq in one.equations for part in (*eq.left, eq.right)]
    shown = []
    while pending:
        picture = pending.pop()
        pending += parts_of(picture)
        shown += [picture] if isinstance(picture, Matrix) else []
    return shown


def assert_every_factor_is_drawn(spec: specdsl.Spec) -> None:
    labels = " ".join(one.label for one in matrices(sketches(spec)))
    nodes = topological(node for part in spec.parts or (spec,) for node in part.ir.targets.values())
    assert all(node.name[0] in labels for node in nodes if isinstance(node, Factor) and len(node.name) == 1)


@pytest.mark.parametrize("name", library_names())
def test_every_factor_of_the_library_is_drawn(name: str) -> None:
    assert_every_factor_is_drawn(specdsl.parse(name))


@pytest.mark.filterwarnings("ignore::specdsl.SpecWarning")
@settings(derandomize=True, deadline=None, max_examples=60)
@given(well_typed_specs())
def test_every_factor_of_any_spec_is_drawn(text: str) -> None:
    assert_every_factor_is_drawn(specdsl.parse(text))


def test_a_sum_of_a_weight_and_a_product() -> None:
    whole = drawn("W + alpha/r * A@B")
    assert isinstance(whole, Row)
    assert whole.is_sum
    weight, added = whole.parts
    assert isinstance(weight, Matrix)
    assert weight.role == FROZEN
    assert isinstance(added, Row)
    scale, left, right = added.parts
    assert scale == Word("α/r")
    assert (shape_text(left.shape), shape_text(right.shape)) == ("n × r", "r × m")


def test_a_definition_is_drawn_once_and_read_by_name() -> None:
    (sketch,) = sketches(specdsl.parse("dora"))
    assert [[one.label for one in equation.left] for equation in sketch.equations] == [["W′"], ["V"]]


def test_values_of_one_function_are_one_equation() -> None:
    (sketch,) = sketches(specdsl.parse("sam_parser"))
    assert [one.label for one in sketch.equations[1].left] == ["U", "S", "V"]
    assert isinstance(sketch.equations[1].right, Frame)


def test_roles_say_who_moves() -> None:
    spec = specdsl.parse("frozen C ~ W | noise u : tokens x r ~ normal(1) | y' = y + (x@A .* u)@B + 0*x@C")
    found = {one.label: one.role for one in matrices(sketches(spec))}
    assert found == {"y′": COMPUTED, "y": TOKENS, "x": TOKENS, "A": TRAINED, "u": GIVEN, "B": TRAINED, "C": FROZEN}
    assert roles_in(sketches(spec)) == [TRAINED, COMPUTED, FROZEN, TOKENS, GIVEN]


def test_the_start_of_a_product_is_that_of_its_factors() -> None:
    labels = [one.label for one in matrices(sketches(specdsl.parse("pissa")))]
    assert {"A", "B", "A⁽⁰⁾", "B⁽⁰⁾"} <= set(labels)


def test_a_vector_on_a_diagonal_is_a_diagonal_matrix() -> None:
    whole = drawn("diag(s)@W")
    assert isinstance(whole, Row)
    assert isinstance(whole.parts[0], Matrix)
    assert whole.parts[0].is_diagonal


def test_slices_transposes_blocks_and_folds() -> None:
    assert isinstance(drawn("U, S, V = svd(W) | W' = U[:, :r]@D + W | D ~ zeros"), Row)
    cut = next(one for one in matrices(sketches(specdsl.parse("vera"))) if one.label.startswith("A"))
    assert (cut.label, shape_text(cut.shape)) == ("A[:n, :]", "n × r")
    assert isinstance(drawn("k = 2 | P : k x m ~ normal(1) | y' = [P; y] | on attention.key"), Grid)
    fold = drawn("k = 3 | A : k x n x r | B : k x r x m | W' = W + sum(A[i]@B[i] for i < k)")
    assert isinstance(fold, Row)
    assert isinstance(fold.parts[1], Repeated)
    assert fold.parts[1].bounds == "i < k"
    turned = drawn("loldu")
    assert isinstance(turned, Row)
    assert isinstance(turned.parts[1], Raised)
    assert turned.parts[1].mark == "ᵀ"


def test_a_sum_of_numbers_keeps_its_brackets_in_a_product() -> None:
    whole = drawn("lam = 2 | W + (1 - lam) * A@B")
    assert isinstance(whole, Row)
    added = whole.parts[1]
    assert isinstance(added, Row)
    assert added.parts[0] == Word("(1 − lam)")


def test_clauses_of_some_modules_are_sketches_of_their_own() -> None:
    places = [one.place for one in sketches(specdsl.parse("ia3_original"))]
    assert places == ["on attention.key, attention.value", "on mlp.down"]


def test_penalties_and_events_are_remarks() -> None:
    (sketch,) = sketches(specdsl.parse("adalora"))
    assert [remark.split()[0] for remark in sketch.remarks] == ["+", "at"]


def test_functions_of_functions_are_cut_short() -> None:
    nested = "A@B"
    for _ in range(11):
        nested = f"f({nested})"
    found = sketches(specdsl.parse(f"f(Z) = Z + 2*tanh(Z) | W' = W + {nested}"))
    labels = [one.label for one in matrices(found)]
    assert "…" in labels
    assert len(labels) < 2 * MOST_PARTS
