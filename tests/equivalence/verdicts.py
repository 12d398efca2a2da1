"""Verdicts written by hand, to show them."""

from __future__ import annotations

from typing import Any

from specdsl.equivalence.verdict import Dimension, Result, SetResult, StartResult, Verdict, Witness

WITNESS = Witness(
    sizes={"n": "2", "m": "2", "r": "1"},
    site={"W": (("2", "0"), ("0", "1"))},
    factors_a={"A": (("1",), ("-1/2",)), "B": (("10", "0"),)},
    factors_b={},
    value_a={"W'": (("12", "0"), ("-5", "1"))},
    value_b={},
    says="W' - W of a has rank 1, and b reaches no such matrix",
)


def verdict(**changes: Any) -> Verdict:
    """A verdict; `changes` replace its fields."""
    fields: dict[str, Any] = {
        "a": "LoRA",
        "b": "DoRA",
        "text_a": "W + A@B",
        "text_b": "V = W + A@B | g : m ~ colnorm(W) | W' = V@diag(g ./ stop(colnorm(V)))",
        "pointwise": Result("!=", "refuted", witness=WITNESS, reason="the witness has different values"),
        "set": SetResult(
            "<", "proved", ("g := colnorm(W + A@B)",), assumptions=("no zero column in W",),
            reason="a is b with g put in", closure="<",
        ),
        "start": StartResult("?", "proved", identity_a=True, identity_b=True, kernel="contained", direction="a in b"),
        "dimension": Dimension(18, 23, "n = 6, m = 5, r = 2", True, False),
        "parameters_a": "m*r + n*r",
        "parameters_b": "m*r + m + n*r",
        "penalties": ("same",),
        "differences": (),
        "assumptions": ("generic W", "r >= 2"),
        "seconds": 0.125,
    }  # fmt: skip
    return Verdict(**{**fields, **changes})
