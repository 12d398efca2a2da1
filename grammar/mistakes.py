"""Syntax errors named by broken examples.

Lark finds the mistake by parsing the examples and comparing where the parser stopped. The comparison includes the
depth of the parser's stack, so each mistake has a second example that follows another clause.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """A message, its hint, and the shortest texts that make the mistake."""

    message: str
    hint: str | None
    examples: tuple[str, ...]


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "a shape is missing after `:`",
        "write sizes joined by `x`, as in `A : n x r`",
        ("A :", "r = 8\nA :", "A : ~ zeros", "r = 8\nA : ~ zeros", "frozen A :", "r = 8\nfrozen A : ~ zeros"),
    ),
    Mistake(
        "a start is missing after `~`",
        "for example `A ~ zeros`",
        ("A ~", "r = 8\nA ~", "A : n x r ~", "r = 8\nA : n x r ~", "A ~ , lr = 2"),
    ),
    Mistake(
        "the right-hand side is missing after `=`",
        None,
        ("W' =", "r = 8\nW' =", "V = | W + V", "r = 8\nV = | W"),
    ),
    Mistake(
        "a target is missing after `on`",
        "name a role such as `attention.query`, or a pattern in double quotes",
        (
            "on",
            "r = 8\non",
            "on except norm",
            "on attention,",
            "r = 8\non attention,",
            "on attention except",
            "r = 8\non attention except",
        ),
    ),
    Mistake(
        "a target is missing after `train`",
        "for example `train head`",
        ("train", "r = 8\ntrain", "train norm,"),
    ),
    Mistake(
        "`layers` needs numbers, counted from 0",
        "for example `on attention layers 0..5, 11`",
        ("on attention layers", "on attention layers a", "on attention layers 0..", "r = 8\non mlp layers x"),
    ),
    Mistake(
        "an expression is missing after `penalty`",
        "for example `penalty 0.1 * orth(A)`",
        ("penalty", "r = 8\npenalty", "penalty | W + A"),
    ),
    Mistake(
        "a clause is missing after `:`",
        "for example `on mlp.down: x' = x .* k`",
        ("on mlp.down:", "r = 8\non mlp.down:", "at step:", "r = 8\nat step:"),
    ),
    Mistake(
        "a factor's name is missing after its kind",
        "for example `frozen A : n x r ~ kaiming`",
        ("frozen", "r = 8\nfrozen", "shared", "index ~ 3", "frozen : n x r", "shared frozen"),
    ),
    Mistake(
        "a comparison cannot be chained",
        "compare two sizes at a time",
        ("A if n > m > r else B", "r = 8\nA if n > m > r else B"),
    ),
    Mistake(
        "`if` needs an `else`",
        "write `X if n > m else Y`",
        ("A if n > m", "r = 8\nA if n > m", "W + (A if n > m)"),
    ),
    Mistake(
        "`for` needs a name and a bound",
        "for example `sum(A[i] for i < k)`",
        ("sum(A for", "sum(A for i in k)", "r = 8\nsum(A for i)", "[A for i in k]", "r = 8\n[A for i"),
    ),
)
