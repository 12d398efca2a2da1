"""Streams give the numbers that SHA-256, Philox and the written formulas give; nothing else moves them."""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specdsl.randomness import Stream, normal_quantile

KEY_TEXT = b'["seed", 0, "A", "encoder.layer.3"]'


def stream() -> Stream:
    return Stream("seed", 0, "A", "encoder.layer.3")


def key() -> int:
    """The first half of the digest of the key's JSON, lowest byte first."""
    return int.from_bytes(hashlib.sha256(KEY_TEXT).digest()[:16], "little")


def words(count: int) -> list[int]:
    """The stream's words, from numpy's Philox."""
    return [int(word) for word in np.random.Philox(key=key()).random_raw(count)]


def philox_block(counter: int) -> list[int]:
    """Four words of Philox4x64-10 (Salmon et al., SC 2011), computed with whole numbers."""
    low = 2**64 - 1
    c = [counter >> 64 * i & low for i in range(4)]
    k = [key() & low, key() >> 64]
    for _ in range(10):
        left, right = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
        c = [right >> 64 ^ c[1] ^ k[0], right & low, left >> 64 ^ c[3] ^ k[1], left & low]
        k = [k[0] + 0x9E3779B97F4A7C15 & low, k[1] + 0xBB67AE8584CAA73B & low]
    return c


def test_the_words_are_those_of_philox_from_counter_1_on() -> None:
    assert stream().words(12).tolist() == [*philox_block(1), *philox_block(2), *philox_block(3)]


def test_uniform_numbers_are_the_upper_53_bits_of_the_words() -> None:
    expected = [(word >> 11) / 2**53 for word in words(6)]
    assert_array_equal(stream().uniform((2, 3)), np.reshape(expected, (2, 3)))


def test_normal_numbers_are_the_quantiles_of_the_upper_52_bits() -> None:
    expected = [NormalDist().inv_cdf(((word >> 12) + 0.5) / 2**52) for word in words(2000)]
    assert_allclose(stream().normal((2000,)), expected, rtol=2e-15)


def test_integers_are_remainders_of_the_words() -> None:
    assert_array_equal(stream().integers(7, (5,)), [word % 7 for word in words(5)])


def test_a_permutation_is_the_order_of_the_words() -> None:
    drawn = words(9)
    assert_array_equal(stream().permutation(9), sorted(range(9), key=lambda i: drawn[i]))


def test_a_few_chosen_are_the_first_different_remainders() -> None:
    different = list(dict.fromkeys(word % 100 for word in words(500)))
    for count in (1, 20, 50):
        assert_array_equal(stream().choose(100, count), different[:count])


def test_many_chosen_are_the_beginning_of_a_permutation() -> None:
    drawn = words(10)
    assert_array_equal(stream().choose(10, 6), sorted(range(10), key=lambda i: drawn[i])[:6])
    assert sorted(stream().choose(10, 10)) == list(range(10))


def test_more_than_all_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="11 different numbers cannot be chosen out of 10"):
        stream().choose(10, 11)


def test_draws_continue_the_stream() -> None:
    running = stream()
    parts = [running.uniform((3,)), running.uniform((4,))]
    assert_array_equal(np.concatenate(parts), stream().uniform((7,)))


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 2), (2, 3, 4)])
def test_draws_have_their_shape(shape: tuple[int, ...]) -> None:
    for draw in (stream().uniform(shape), stream().normal(shape), stream().integers(5, shape)):
        assert draw.shape == shape


@pytest.mark.parametrize(
    ("one", "other"),
    [(("A", 0), ("A", 1)), ((1,), ("1",)), (("a", "b"), ("ab",)), (("a", "b"), ("b", "a")), (("é",), ("e",))],
)
def test_different_keys_give_different_numbers(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert not np.any(Stream(*one).uniform((8,)) == Stream(*other).uniform((8,)))


def test_the_global_seed_is_neither_read_nor_moved() -> None:
    np.random.seed(0)
    first, state = stream().normal((4,)), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    np.random.seed(1)
    assert_array_equal(stream().normal((4,)), first)
    np.random.seed(0)
    assert_array_equal(np.random.get_state()[1], state)  # type: ignore[index]


def test_keys_are_texts_and_whole_numbers() -> None:
    with pytest.raises(TypeError):
        Stream(object())  # type: ignore[arg-type]


def test_the_quantile_is_exact_from_the_centre_to_the_far_tails() -> None:
    small = 10.0 ** -np.arange(1.0, 300.0, 7.0)
    probabilities = np.concatenate([np.linspace(0.001, 0.999, 999), small, 1 - small[small > 1e-15]])
    expected = [NormalDist().inv_cdf(float(probability)) for probability in probabilities]
    assert_allclose(normal_quantile(probabilities), expected, rtol=2e-15, atol=1e-16)


def test_the_quantile_is_odd() -> None:
    probabilities = np.array([0.01, 0.03125, 0.25, 0.4375])
    assert_allclose(normal_quantile(1 - probabilities), -normal_quantile(probabilities), rtol=1e-14)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 5, 5), (1, 1)])
def test_orthonormal_matrices_have_orthonormal_columns_or_rows(shape: tuple[int, ...]) -> None:
    Q = stream().orthonormal(shape)
    assert Q.shape == shape
    tall = Q if shape[-2] >= shape[-1] else np.swapaxes(Q, -1, -2)
    identity = np.broadcast_to(np.eye(tall.shape[-1]), (*shape[:-2], tall.shape[-1], tall.shape[-1]))
    assert_allclose(np.swapaxes(tall, -1, -2) @ tall, identity, atol=1e-14)


def test_orthonormal_matrices_span_what_was_drawn() -> None:
    drawn, Q = stream().normal((6, 3)), stream().orthonormal((6, 3))
    triangle = Q.T @ drawn
    assert_allclose(Q @ triangle, drawn, atol=1e-13)
    assert_allclose(triangle, np.triu(triangle), atol=1e-13)
    assert np.all(np.diagonal(triangle) > 0)


def test_normal_numbers_have_the_moments_of_the_distribution() -> None:
    numbers = Stream("moments").normal((200_000,))
    moments = [np.mean(numbers**power) for power in (1, 2, 3, 4)]
    assert_allclose(moments, [0, 1, 0, 3], atol=6 * math.sqrt(96 / 200_000))
