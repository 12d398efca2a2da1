from __future__ import annotations

from specdsl.drawing.compose import at_start, diagonal, option_label, product, raised
from specdsl.drawing.picture import COMPUTED, FROZEN, TRAINED, Frame, Matrix, Raised, Row, Word
from specdsl.sizes import Size

N, R = Size.symbol("n"), Size.symbol("r")
A = Matrix("A", (N, R), TRAINED)
SUM = Row("+", ("", "+"), (A, A), (N, R))


def test_a_product_of_products_is_one() -> None:
    inner = product([Word("s"), A], (N, R))
    assert product([Word("2"), inner], (N, R)) == Row("", ("",) * 3, (Word("2"), Word("s"), A), (N, R))


def test_numbers_that_are_sums_keep_brackets() -> None:
    assert product([Word("1 − l"), A], (N, R)) == product([Word("(1 − l)"), A], (N, R))
    assert product([Word("a/(r + 1)"), A], (N, R)) != product([Word("(a/(r + 1))"), A], (N, R))


def test_a_named_matrix_is_marked_in_its_name_and_a_sum_in_brackets() -> None:
    assert raised(A, "ᵀ", (R, N)) == Matrix("Aᵀ", (R, N), TRAINED)
    assert raised(A, "⁻¹", (N, R)) == Matrix("A⁻¹", (N, R), COMPUTED)
    assert raised(SUM, "ᵀ", (R, N)) == Raised(SUM, "ᵀ", (R, N))


def test_a_diagonal_of_a_name_is_a_matrix_and_of_more_a_frame() -> None:
    vector = Matrix("g", (R,), TRAINED)
    assert diagonal(vector, (R, R)) == Matrix("g", (R, R), TRAINED, is_diagonal=True)
    assert diagonal(SUM, (R, R)) == Frame("diag", (SUM,), (R, R))


def test_values_at_the_start_do_not_move() -> None:
    start = Matrix("A⁽⁰⁾", (N, R), FROZEN)
    assert at_start(SUM) == Row("+", ("", "+"), (start, start), (N, R))
    assert at_start(start) == start


def test_options_are_labelled_without_repeating_themselves() -> None:
    assert [option_label(text) for text in ("bits=bits", 'pattern="a b -> b a"', "terms=5", "n")] == [
        "bits", "a b -> b a", "terms=5", "n",
    ]  # fmt: skip
