from __future__ import annotations

import itertools

from specdsl.runtime.conform.axes import BATCHES, DTYPES, ORDERS, USUAL, Axes, full_axes, usual_axes
from specdsl.runtime.conform.suite import choices

VALUES = {"dtype": list(DTYPES), "has_bias": [True, False], "order": list(ORDERS), "batch": list(BATCHES)}


def met(chosen: list[Axes], one: str, other: str) -> set[tuple[object, object]]:
    return {(getattr(axes, one), getattr(axes, other)) for axes in chosen}


def test_at_full_depth_every_two_values_of_two_axes_meet() -> None:
    chosen = [axes for _, axes in choices(full=True)]
    for one, other in itertools.combinations(VALUES, 2):
        assert met(chosen, one, other) == set(itertools.product(VALUES[one], VALUES[other])), (one, other)


def test_at_usual_depth_every_two_values_of_two_axes_but_the_dtype_meet() -> None:
    chosen = [axes for _, axes in choices(full=False)]
    for one, other in itertools.combinations(["has_bias", "order", "batch"], 2):
        assert met(chosen, one, other) == set(itertools.product(VALUES[one], VALUES[other])), (one, other)
    assert {axes.dtype for axes in chosen} == set(DTYPES)


def test_every_layer_type_is_tried_once_in_float64_and_at_full_depth_in_another_dtype_too() -> None:
    for full in (False, True):
        exact = [layer.name for layer, axes in choices(full) if axes.dtype == "float64"]
        assert len(exact) == len(set(exact))
    others = {layer.name for layer, axes in choices(full=True) if axes.dtype != "float64"}
    assert others == set(exact)


def test_the_first_layer_is_tried_in_every_dtype() -> None:
    assert usual_axes(0)[0] == USUAL
    assert [axes.dtype for axes in usual_axes(0)] == list(DTYPES)
    assert set(usual_axes(0)) <= set(full_axes(0))


def test_factors_are_as_wide_as_float32_at_least() -> None:
    assert [str(Axes(dtype).factor_dtype) for dtype in DTYPES] == ["torch.float64"] + ["torch.float32"] * 3


def test_a_text_names_what_is_not_usual() -> None:
    assert str(USUAL) == ""
    assert str(Axes("bfloat16", False, "tall", ())) == "bfloat16, no bias, batch none"
