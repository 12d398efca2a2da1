from __future__ import annotations

from specdsl.equivalence.matrices import matrix_rows, named_blocks, side_by_side


def test_columns_are_aligned_to_the_right() -> None:
    assert matrix_rows((("1", "-2/3"), ("10", "0"))) == ["[  1  -2/3 ]", "[ 10     0 ]"]
    assert matrix_rows(("1", "2")) == ["[ 1  2 ]"]
    assert matrix_rows("5/2") == ["5/2"]
    assert matrix_rows(()) == ["[ ]"]


def test_matrices_of_a_stack_have_names_of_their_own() -> None:
    assert named_blocks({"A": ((("1",), ("2",)), (("3",), ("4",)))}) == [
        ["A[0] = [ 1 ]", "       [ 2 ]"],
        ["A[1] = [ 3 ]", "       [ 4 ]"],
    ]


def test_blocks_stand_side_by_side_as_far_as_the_width_allows() -> None:
    blocks = [["A = 1"], ["B = 22"], ["C = 3"]]
    assert side_by_side(blocks, 80) == ["A = 1    B = 22    C = 3"]
    assert side_by_side(blocks, 16) == ["A = 1    B = 22", "C = 3"]
    assert side_by_side(blocks, 3) == ["A = 1", "B = 22", "C = 3"]
    assert side_by_side([], 10) == []
