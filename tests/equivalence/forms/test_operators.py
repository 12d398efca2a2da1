"""Every operator that has a form: the form's entries are the operator's value, on random legal arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.equivalence.forms.arrays import FormArrays
from specdsl.equivalence.forms.form import Form, Key, World, atom_form
from specdsl.equivalence.forms.index import ONE, NoForm, Order
from specdsl.operators import all_operators
from specdsl.sizes import Size
from tests.equivalence.form_values import Values
from tests.test_operators import random_case

ALL = {operator.name: operator for operator in all_operators()}
WITH_FORM = sorted(name for name, operator in ALL.items() if operator.form is not None)
WITHOUT = {
    "abs", "balanced", "bottom", "butterfly", "ceil", "choice", "circulant", "clamp", "cos", "count", "cubic", "eigh",
    "exp", "fft2", "floor", "gather", "gelu", "householder", "ifft2", "kaiming", "keep", "layernorm", "ldu", "log",
    "lower_from", "lu", "max", "min", "near_root", "normal", "orth", "orthogonal", "pairs", "pinv", "qr", "quantise",
    "real", "relu", "sigmoid", "sign", "silu", "sin", "skew_from", "softmax", "svd", "sym_from", "tanh", "times_kron",
    "top", "uniform", "xavier",
}  # fmt: skip
"""What stays an atom of its own: functions of entries, decompositions, choices, random starts."""
ROUNDS = 8
NUMBERS = World(Order(lambda a, b: (b - a).constant is not None and (b - a).constant >= 0,  # type: ignore[operator]
                      lambda size: size.constant is not None and size.constant.denominator == 1))  # fmt: skip


def as_form(name: str, array: Any) -> Form:
    axes = tuple(Size.of(int(size)) for size in np.shape(array))
    options = ("choice",) if np.asarray(array).dtype.kind == "i" and len(set(np.ravel(array))) == np.size(array) else ()
    return atom_form(Key("frozen", name, tuple(size for size in axes if size != ONE), options), axes, NUMBERS)


def form_of(name: str, arrays: list[Any], options: dict[str, Any]) -> Form | None:
    operator = ALL[name]
    forms = [as_form(f"X{place}", array) for place, array in enumerate(arrays)]
    try:
        rule = operator.value if operator.form == "value" else operator.form
        assert callable(rule)
        found = rule(FormArrays(NUMBERS), *forms, **options)
    except NoForm:
        return None
    return found if found is None or isinstance(found, Form) else FormArrays(NUMBERS).number(found)


def test_operators_without_a_form_are_known() -> None:
    assert set(ALL) - set(WITH_FORM) <= WITHOUT | {name for name in ALL if ALL[name].draw is not None}


@pytest.mark.parametrize("name", WITH_FORM)
def test_a_form_has_the_value_of_its_operator(name: str) -> None:
    made = 0
    for round in range(ROUNDS):
        case = random_case(name, round)
        arrays, options = list(case.arrays), dict(case.options)
        form = form_of(name, arrays, options)
        if form is None:
            continue
        wanted = np.asarray(ALL[name].value(NUMPY, *arrays, **options))
        found = Values({}, {f"X{place}": array for place, array in enumerate(arrays)}).form(form)
        assert_allclose(found, np.broadcast_to(wanted, found.shape), rtol=1e-9, atol=1e-9)
        made += 1
    assert made, "no legal arguments gave a form"
