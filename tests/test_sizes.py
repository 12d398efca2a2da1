"""Sizes as exact algebra."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specdsl.sizes import Size, UnknownSize, near_root

n, m, k, r = (Size.symbol(name) for name in "nmkr")


def test_equal_sizes_are_equal_objects() -> None:
    assert n / k * k == n
    assert k * (k - 1) / 2 == (k * k - k) / 2
    assert Size.opaque("min", n, m) == Size.opaque("min", m, n)
    assert n.power(Fraction(1, 2)) * n.power(Fraction(1, 2)) == n
    assert hash(n + m) == hash(m + n)


def test_known_numbers_fold() -> None:
    assert Size.opaque("min", Size.of(3), Size.of(5)) == Size.of(3)
    assert Size.opaque("near_root", Size.of(768)) == Size.of(24)
    assert Size.of(49).power(Fraction(1, 2)) == Size.of(7)
    assert (Size.of(7) // Size.of(2), Size.of(7) % Size.of(2)) == (Size.of(3), Size.of(1))


def test_a_linear_unknown_is_solved_for() -> None:
    unknown = Size.symbol("?1")
    assert (unknown + k - n).solve_for("?1") == n - k
    assert (unknown * k - n).solve_for("?1") == n / k
    assert (unknown * unknown - n).solve_for("?1") is None
    assert (Size.opaque("min", unknown, n) - m).solve_for("?1") is None


def test_values_are_exact_and_name_what_is_missing() -> None:
    size = Size.symbol("alpha") / (r + Size.of(Fraction(1, 100000)))
    assert size.value({"alpha": 8, "r": 8}) == Fraction(8) / (8 + Fraction(1, 100000))
    with pytest.raises(UnknownSize, match="alpha"):
        size.value({"r": 8})


def test_a_size_over_the_model_reads_every_module() -> None:
    widest = Size.opaque("layers.max", n)
    assert widest.value({"n": 3}, [{"n": 3}, {"n": 7}]) == 7
    assert widest.has_layers()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (n * r + r * m, "m*r + n*r"),
        (n / k, "n/k"),
        (n / 8, "n/8"),
        (k * (k - 1) / 2, "k^2/2 - k/2"),
        (n - k, "n - k"),
        (n.power(Fraction(1, 2)), "sqrt(n)"),
        (Size.opaque("//", n, Size.of(2)), "n // 2"),
        (Size.of(0), "0"),
        (Size.of(Fraction(1, 100000)), "1e-5"),
        (Size.symbol("alpha") / (r + Size.of(Fraction(1, 100000))), "alpha/(r + 1e-5)"),
        (n / (r + 1) / m, "n/m/(r + 1)"),
    ],
)
def test_sizes_are_written_as_a_user_writes_them(size: Size, text: str) -> None:
    assert str(size) == text


def sizes() -> st.SearchStrategy[Size]:
    leaves = st.sampled_from([n, m, k, Size.of(2), Size.of(3)])
    return st.recursive(
        leaves,
        lambda inner: st.tuples(inner, inner, st.sampled_from("+-*")).map(
            lambda part: {"+": part[0] + part[1], "-": part[0] - part[1], "*": part[0] * part[1]}[part[2]]
        ),
        max_leaves=6,
    )


@settings(derandomize=True, deadline=None, max_examples=100)
@given(sizes(), sizes(), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_arithmetic_commutes_with_values(left: Size, right: Size, a: int, b: int, c: int) -> None:
    at = {"n": a, "m": b, "k": c}
    assert (left * right + left).value(at) == left.value(at) * right.value(at) + left.value(at)
    assert (left - right).terms == () or left != right


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 5000))
def test_near_root_is_the_largest_divisor_up_to_the_root(value: int) -> None:
    found = near_root(value)
    assert value % found == 0
    assert found * found <= value
    assert all(value % other for other in range(found + 1, int(value**0.5) + 1))
