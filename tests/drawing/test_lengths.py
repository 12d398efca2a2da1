from __future__ import annotations

import specdsl
from specdsl.drawing.lengths import Lengths
from specdsl.operators.registry import Shape
from specdsl.sizes import Size


def shape(*names: str) -> Shape:
    return tuple(map(Size.symbol, names))


LENGTHS = Lengths({"r": 8, "k": 4})


def test_factors_of_a_low_rank_product_are_thin_and_flat() -> None:
    (tall, high), (wide, low) = LENGTHS.sides(shape("n", "r")), LENGTHS.sides(shape("r", "m"))
    assert high > 3 * tall
    assert wide > 3 * low


def test_a_larger_rank_is_drawn_wider() -> None:
    wider, _ = Lengths({"r": 64}).sides(shape("n", "r"))
    assert wider > LENGTHS.sides(shape("n", "r"))[0]


def test_a_stack_shows_its_matrices_and_a_kernel_its_channels() -> None:
    assert LENGTHS.sides(shape("k", "n", "r")) == LENGTHS.sides(shape("n", "r"))
    assert LENGTHS.sides(shape("c", "m", "kh", "kw")) == LENGTHS.sides(shape("c", "m"))


def test_a_size_that_only_the_runtime_knows_has_a_length() -> None:
    assert LENGTHS.length(Size.symbol("n") / Size.symbol("unknown")) > 0


def test_sizes_of_all_modules_and_indices_of_folds_have_lengths() -> None:
    spec = specdsl.parse("vera")
    assert all(Lengths(spec.hyperparameters).length(size) > 10 for size in spec.ir.factors["A"].shape)
    assert LENGTHS.length(Size.symbol("n") - Size.symbol("i")) == LENGTHS.length(Size.symbol("n"))
