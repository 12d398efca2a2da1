"""Generated specs: what means the same is never refuted, what is proved holds in float64, both orders say the same.

The long run is `pytest tests/equivalence/test_generated.py --hypothesis-profile many`.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from specdsl.equivalence.decide import equivalent
from specdsl.equivalence.verdict import Verdict
from specdsl.errors import SpecError
from specdsl.spec import parse
from tests.equivalence.consistency import faults, mutated
from tests.equivalence.random_specs import Maker
from tests.equivalence.rewritten import new_names, permuted, reassociated, renamed

MIRRORED = {"<": ">", ">": "<"}
seeds = st.integers(0, 10**6)
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")


def is_legal(text: str) -> bool:
    try:
        parse(text)
    except SpecError:
        return False
    return True


def spec(seed: int, terms: int = 2, depth: int = 2) -> str:
    text = Maker(seed).spec(terms, depth)
    assume(is_legal(text))
    return text


def checked(a: str, b: str) -> Verdict:
    """The verdict; what it says holds in float64."""
    with np.errstate(all="ignore"):
        verdict = equivalent(a, b)
        assert list(faults(a, b, verdict)) == []
    return verdict


@given(seeds)
def test_what_means_the_same_is_never_refuted(seed: int) -> None:
    text = spec(seed)
    trained = {name for name, factor in parse(text).ir.factors.items() if factor.kind == "trained"}
    names = {name: new for name, new in new_names(text).items() if name in trained}
    verdict = checked(text, reassociated(permuted(renamed(text, names))))
    assert verdict.pointwise.relation in ("=", "?")
    assert verdict.set.relation in ("=", "?")


@given(seeds)
def test_one_changed_operator_is_never_proved_equal_unless_it_is(seed: int) -> None:
    text = spec(seed)
    mutant = mutated(text, seed)
    assume(mutant is not None)
    assert mutant is not None
    assume(is_legal(mutant))
    checked(text, mutant)


@given(seeds, seeds)
def test_both_orders_say_the_same(one: int, other: int) -> None:
    a, b = spec(one, 1, 1), spec(other, 1, 1)
    verdict, again = checked(a, b), equivalent(b, a)
    assert again.pointwise.relation == verdict.pointwise.relation
    assert again.set.relation == MIRRORED.get(verdict.set.relation, verdict.set.relation)
    assert again.set.closure == MIRRORED.get(verdict.set.closure, verdict.set.closure)
