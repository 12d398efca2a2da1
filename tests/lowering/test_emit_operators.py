"""Every operator of the registry can be written in PyTorch, and what is written has its value and gradient."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from specdsl.errors import SpecNotBuiltError
from specdsl.interpret import Sizes
from specdsl.ir import Apply, Factor
from specdsl.lowering import emit_functions
from specdsl.lowering.emit_call import Call, template
from specdsl.lowering.emit_code import Code, Names
from specdsl.lowering.emit_operators import emission_of
from specdsl.lowering.emit_sizes import SizeNames, SizeWriter
from specdsl.operators.registry import Operator, Option
from specdsl.sizes import Size
from tests.operator_formulas import DRAWS
from tests.test_operators import ALL, COMPUTED, DRAWN, Case, as_tuple, random_cases

SCOPE = {
    **vars(emit_functions),
    "torch": torch,
    "nn": nn,
    "F": F,
    "math": math,
    "self": SimpleNamespace(training=False),
    "like": torch.zeros((), dtype=torch.float64),
}


def symbolic(operator: Operator, options: dict[str, Any], shapes: list[tuple[int, ...]]) -> dict[str, Any]:
    """Options as the checker leaves them: sizes and numbers are `Size`s."""
    kinds = {option.name: option for option in operator.options}
    return {name: _symbolic(kinds.get(name, Option(name, "size")), value, shapes) for name, value in options.items()}


def _symbolic(option: Option, value: Any, shapes: list[tuple[int, ...]]) -> Any:
    if option.name == "items":
        items = []
        for item, size in zip(value, shapes[0], strict=False):
            bounds = zip(item, (0, size, 1), strict=True) if isinstance(item, tuple) else ()
            sizes = tuple(Size.of(int(default if bound is None else bound)) for bound, default in bounds)
            items.append(sizes or Size.of(int(item)))
        return tuple(items)
    if option.name == "sizes":
        return tuple((name, Size.of(int(size))) for name, size in value)
    if isinstance(value, tuple):
        return tuple(Size.of(int(size)) for size in value)
    return Size.of(Fraction(value)) if option.kind in ("size", "number") else value


def written(case: Case, shape: tuple[int, ...]) -> str:
    """The code of an operator whose arrays are called a0, a1, ..."""
    places = [tuple(map(Size.of, one)) for one in case.shapes]
    arrays = tuple(Factor(one, f"a{i}") for i, one in enumerate(places))
    options = symbolic(case.operator, dict(case.options), case.shapes)
    node = Apply(tuple(map(Size.of, shape)), case.operator.name, arrays, tuple(sorted(options.items())))
    sizes = SizeWriter(SizeNames(Sizes({}), Names(), {}))
    codes = tuple(Code(array.name) for array in arrays)
    nothing = (None,) * len(arrays)
    return emission_of(node)(Call(node, codes, nothing, (False,) * len(arrays), sizes, "like")).text


def run(code: str, arrays: list[Tensor]) -> Any:
    return eval(code, SCOPE | {f"a{i}": array for i, array in enumerate(arrays)})


def real(value: Tensor) -> Tensor:
    value = torch.view_as_real(value) if value.is_complex() else value
    return torch.where(torch.isfinite(value), value, torch.zeros_like(value)) if value.is_floating_point() else value


@pytest.mark.parametrize("name", COMPUTED)
def test_it_has_the_value_and_the_gradient_of_the_operator(name: str) -> None:
    for case in random_cases(name):
        theirs, ours = ([array.requires_grad_(array.is_floating_point()) for array in case.tensors()] for _ in range(2))
        expected = case.in_torch(*theirs)
        found = as_tuple(run(written(case, expected[0].shape), ours))
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one.to(other.dtype), other, rtol=1e-12, atol=1e-12)
        floats = case.floats
        for one, other in zip(
            gradients(found, [ours[i] for i in floats]), gradients(expected, [theirs[i] for i in floats]), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def gradients(values: tuple[Tensor, ...], arrays: list[Tensor]) -> list[Tensor]:
    """The derivative of a fixed combination of all entries."""
    total = torch.zeros((), dtype=torch.float64)
    for value in values:
        entries = real(value).double().flatten()
        total = total + (entries * torch.linspace(1, 2, len(entries), dtype=torch.float64)).sum()
    if not total.requires_grad:
        return [torch.zeros_like(array) for array in arrays]
    found = torch.autograd.grad(total, arrays, allow_unused=True)
    return [torch.zeros_like(a) if g is None else g for g, a in zip(found, arrays, strict=True)]


@pytest.mark.parametrize("name", DRAWN)
def test_a_random_start_is_what_it_says(name: str) -> None:
    samples = ALL[name].samples
    assert samples is not None
    _, options = samples(np.random.default_rng(0))
    del options["shape"]
    options |= {"n": 4000} if "n" in options else {}
    for seed in ({}, {"seed": 7}):
        shape = (60, 50)
        code = written(Case(ALL[name], (), {**options, **seed, "shape": shape}), shape)
        values = run(code, []).numpy()
        assert values.shape == shape
        assert values.dtype == (np.int64 if "n" in options else np.float64)
        DRAWS[name](values, **options)
        assert np.array_equal(values, run(code, []).numpy()) == bool(seed)


def test_a_stack_of_orthogonal_matrices_is_drawn_one_by_one() -> None:
    shape = (3, 4, 2)
    values = run(written(Case(ALL["orthogonal"], (), {"shape": shape}), shape), [])
    torch.testing.assert_close(
        values.mT @ values, torch.eye(2, dtype=torch.float64).expand(3, 2, 2), atol=1e-12, rtol=0
    )


def test_an_operator_without_a_form_says_how_to_give_it_one() -> None:
    with pytest.raises(SpecNotBuiltError, match="has no form in plain PyTorch") as caught:
        emission_of(Apply((), "wavelet", ()))
    assert 'operator("wavelet", ..., torch="torch.f({0})")' in caught.value.render()


@pytest.mark.parametrize(
    ("form", "argument", "text"),
    [
        ("2 * {0}", "a + b", "2 * (a + b)"),
        ("torch.f({0})", "a + b", "torch.f(a + b)"),
        ("torch.f(2, {0}, 3)", "a + b", "torch.f(2, a + b, 3)"),
        ("({0}).T", "a + b", "(a + b).T"),
        ("{0}.abs()", "a + b", "(a + b).abs()"),
        ("{0}.abs()", "a", "a.abs()"),
        ("-{0:unary}", "a * b", "-(a * b)"),
        ("torch.zeros({shape})", "a", "torch.zeros(2, 3)"),
        ("{0:atom}.to({like})", "a + b", "(a + b).to(like)"),
        ("torch.cat([{all}])", "a + b", "torch.cat([a + b])"),
    ],
)
def test_a_form_puts_brackets_where_they_are_needed(form: str, argument: str, text: str) -> None:
    shape = (Size.of(2), Size.of(3))
    node = Apply(shape, "relu", (Factor(shape, "a"),))
    sizes = SizeWriter(SizeNames(Sizes({}), Names(), {}))
    assert template(form)(Call(node, (Code(argument),), (None,), (False,), sizes, "like")).text == text
