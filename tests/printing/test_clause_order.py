"""Which group a clause belongs to."""

from __future__ import annotations

import pytest

from specdsl.parser import parse_tree
from specdsl.printing import clause_order as order


def groups(text: str) -> list[int]:
    return order.clause_groups(parse_tree(text))


@pytest.mark.parametrize(
    ("clause", "group"),
    [
        ("title: LoRA", order.HEADER),
        ("starts: elsewhere", order.HEADER),
        ("note: why", order.NOTE),
        ("s = alpha/sqrt(r)", order.NUMBER),
        ("p = near_root(n)", order.NUMBER),
        ("h = max(layers(n))", order.NUMBER),
        ("W : c x m x kh x kw", order.NUMBER),
        ("U, S, V = svd(W)", order.DEFINITION),
        ("f(Z) = 2*Z", order.DEFINITION),
        ("V = W + A@B", order.DEFINITION),
        ("frozen A ~ kaiming", order.FACTOR),
        ("W'[I, :] = P", order.TARGET),
        ("[W'; b'] = P", order.TARGET),
        ("on mlp: y' = y .* l", order.TARGET),
        ("penalty norm(A)", order.PENALTY),
        ("at step: e = 2*e", order.EVENT),
        ("on mlp", order.ON),
        ("train head", order.TRAIN),
    ],
)
def test_a_clause_has_its_group(clause: str, group: int) -> None:
    assert groups(clause) == [group]


def test_the_first_bare_expression_is_the_target_unless_an_equation_is() -> None:
    assert groups("W + A@B | orth(A)") == [order.TARGET, order.PENALTY]
    assert groups("orth(A) | W' = W + A@B") == [order.PENALTY, order.TARGET]


def test_a_definition_that_reads_declared_factors_stays_among_them() -> None:
    assert groups("A : n x r | V = W + A@B | g ~ colnorm(V) | W' = V") == [
        order.FACTOR, order.FACTOR, order.FACTOR, order.TARGET,
    ]  # fmt: skip


def test_a_definition_that_only_events_read_stays_with_them() -> None:
    text = "score(Z) = abs(Z) | worth = score(e) | at step: e = e .* worth | W' = W + A@diag(e)@B"
    assert groups(text) == [order.EVENT, order.EVENT, order.EVENT, order.TARGET]


def test_a_number_through_others_is_a_number_and_a_circle_is_none() -> None:
    assert groups("k = 2*s | s = alpha/r") == [order.NUMBER, order.NUMBER]
    assert groups("k = s | s = k") == [order.DEFINITION, order.DEFINITION]


def test_clauses_of_one_group_keep_their_order() -> None:
    assert order.clause_order(parse_tree("note: b\nW + A@B\nnote: a\nr = 2\nalpha = 3")) == [3, 4, 1, 0, 2]
