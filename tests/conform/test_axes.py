from __future__ import annotations

import itertools

from specdsl.runtime.conform.axes import BATCHES, DTYPES, ORDERS, Axes, covering_axes


def test_every_two_values_of_two_axes_meet() -> None:
    values = {"dtype": list(DTYPES), "has_bias": [True, False], "order": list(ORDERS), "batch": list(BATCHES)}
    chosen = covering_axes()
    for one, other in itertools.combinations(values, 2):
        met = {(getattr(axes, one), getattr(axes, other)) for axes in chosen}
        assert met == set(itertools.product(values[one], values[other])), (one, other)


def test_factors_are_as_wide_as_float32_at_least() -> None:
    assert [str(Axes(dtype).factor_dtype) for dtype in DTYPES] == ["torch.float64"] + ["torch.float32"] * 3
