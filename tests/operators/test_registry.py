"""Registrations from Python: what is refused, what their functions may do, how one is put in another's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import specdsl
from specdsl.errors import SpecOperatorError
from specdsl.operators import find_operator, remove_operator
from specdsl.operators.registry import is_built_in

Value = Callable[..., Any]


def same(xp: Any, M: Any) -> Any:
    "`M` itself."
    return M


@pytest.fixture(autouse=True)
def the_table_stays_as_it_was() -> Iterator[None]:
    yield
    if find_operator("mine") is not None:
        remove_operator("mine")


def register(value: Value = same, signature: str = "n m -> n m", **settings: Any) -> None:
    specdsl.operator("mine", signature, **settings)(value)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("n m", "needs one `->`"),
        ("n m -> n m -> n m", "needs one `->`"),
        ("n m ->", "has a value without axes"),
        (", n -> n", "has an array without axes"),
        ("n m -> n q", "does not say what `q` is"),
        ("n ... -> n", "has `...` behind another axis"),
        ("n m -> ... m", "has `...` in its value and in no array"),
        ("n m -> n+ m", "has the axis `n+`, which is no size"),
        ("n m -> n@m m", "has the axis `n@m`, which is no size"),
        ("n m -> half(n) m", "has no size function `half`"),
        ("n m, m k -> n k", "does not take 2 arrays"),
    ],
)
def test_a_malformed_signature_is_refused(signature: str, message: str) -> None:
    with pytest.raises(specdsl.SpecOperatorError) as caught:
        register(signature=signature)
    assert message in caught.value.message
    assert find_operator("mine") is None


def test_an_unknown_fact_is_refused_with_the_nearest() -> None:
    with pytest.raises(specdsl.SpecOperatorError) as caught:
        register(facts=["lineer"])
    assert (caught.value.message, caught.value.hint) == ("`mine`: there is no fact `lineer`", "did you mean `linear`?")


def test_an_unknown_kind_of_option_is_refused() -> None:
    with pytest.raises(specdsl.SpecOperatorError, match="of no kind `real`"):
        register(lambda xp, M, k: M, options=[specdsl.Option("k", "real")])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["two words", "class", "_hidden", ""])
def test_a_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(specdsl.SpecNameError, match="is no name for an operator"):
        specdsl.operator(name, "n m -> n m")(same)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda xp, M: M.T, "gives 6 x 5 where its signature says 5 x 6"),
        (lambda xp, M: None, "gives nothing where its signature says 5 x 6"),
        (lambda xp, M: M.no_such, "fails on 5 x 6: AttributeError"),
        (lambda xp, M: M @ M, "fails on 5 x 6: ValueError"),
    ],
)
def test_a_function_that_fails_is_named(value: Value, message: str) -> None:
    register(value)
    with pytest.raises(specdsl.SpecOperatorError) as caught:
        specdsl.parse("W + mine(A@B)")
    assert caught.value.message.startswith(f"the function of the operator `mine` {message}")
    assert caught.value.line == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [(lambda xp, M: (M, M), "gives 5 x 6 where its signature says 6 x 6"), (same, "gives no 2 values")],
)
def test_several_values_are_checked_too(value: Value, message: str) -> None:
    register(value, "n m -> m m, n m")
    with pytest.raises(specdsl.SpecOperatorError, match=message):
        specdsl.parse("U, V = mine(W) | W + A@B@U")


def test_defaults_of_the_function_are_options() -> None:
    def mine(xp: Any, M: Any, steps: int = 2, scale: float = 0.5, deep: bool = False, how: str = "up") -> Any:
        "A sum of `steps` copies of `scale * M`."
        assert (deep, how) == (True, "up")
        return scale * steps * M

    register(mine, facts=["linear", "keeps_zero"])
    found = find_operator("mine")
    assert found is not None
    assert [(one.name, one.kind) for one in found.options] == [
        ("steps", "size"), ("scale", "number"), ("deep", "flag"), ("how", "text"),
    ]  # fmt: skip
    spec = specdsl.parse("W + mine(A@B, 3, deep=true)")
    assert spec.ir.factors["A"].shape == specdsl.parse("W + A@B").ir.factors["A"].shape


def test_a_default_that_is_no_number_or_text_is_refused() -> None:
    with pytest.raises(specdsl.SpecOperatorError, match="the default of `k` is no number or text"):
        register(lambda xp, M, k=(): M)


def test_a_name_is_registered_anew_only_on_demand() -> None:
    register()
    with pytest.raises(specdsl.SpecNameError) as caught:
        register()
    assert caught.value.hint == "`replace=True` puts this one in its place"
    register(lambda xp, M: 2 * M, facts=["linear"], replace=True)
    found = find_operator("mine")
    assert found is not None
    assert found.has("linear")


def test_the_operators_of_the_language_stay() -> None:
    before = find_operator("svd")
    with pytest.raises(specdsl.SpecNameError, match="is an operator of the language"):
        specdsl.operator("svd", "n m -> n m", replace=True)(same)
    assert find_operator("svd") is before
    assert is_built_in("svd")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("torch.f({0}, {2})", "the form of `mine` in torch reads `{2}`, which is none of its arrays"),
        ("torch.f({0}, {k})", "the form of `mine` in torch reads `{k}`, which is none of its arrays"),
        ("torch.f({0", "the form of `mine` in torch is no template"),
        ("torch.f({0}", "the form of `mine` in torch is no template"),
    ],
)
def test_a_form_in_torch_reads_only_what_there_is(form: str, message: str) -> None:
    with pytest.raises(SpecOperatorError) as caught:
        register(torch=form)
    assert message in str(caught.value)
    assert find_operator("mine") is None


def test_the_error_lists_what_a_form_may_read() -> None:
    with pytest.raises(SpecOperatorError) as caught:
        register(lambda xp, M, power=0.5: M, torch="{0} ** {p}")
    assert "options are all, like, power, shape" in caught.value.render()


BROKEN = {
    "W' = W + A@B + mine(A@B)": "mine(A@B)",
    "f(Z) = mine(Z)\nW' = W + A@B + f(A@B)": "mine(Z)",
    "A ~ mine(eye(n)[:, :r])\nW' = W + A@B": "mine(eye(n)[:, :r])",
    "W + A@B | penalty norm(mine(A))": "mine(A)",
    "W + sum(mine(A@B) for i < 2)": "mine(A@B)",
}


@pytest.mark.parametrize(("text", "call"), BROKEN.items(), ids=BROKEN.values())
def test_the_call_of_a_function_that_fails_is_marked(text: str, call: str) -> None:
    register(lambda xp, M: M[:1])
    with pytest.raises(SpecOperatorError, match="the function of the operator `mine` gives 1 x") as caught:
        specdsl.parse(text)
    assert caught.value.span is not None
    assert caught.value.span.text == call
