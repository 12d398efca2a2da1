"""The words that `on` and `train` may name, and what a wrong one probably means."""

from __future__ import annotations

import pytest

from specdsl.role_names import ROLES, is_role, role_hint, split_tower


def test_roles_of_the_language() -> None:
    assert all(is_role(role) and is_role(f"text.{role}") for role in ROLES)
    assert not any(is_role(text) for text in ("query", "text", "attention.", "middle.attention", "Attention", ""))


def test_a_tower_comes_first() -> None:
    assert split_tower("decoder.mlp.up") == ("decoder", "mlp.up")
    assert split_tower("mlp.up") == (None, "mlp.up")
    assert split_tower("text") == (None, "text")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("attention.qurey", "did you mean `attention.query`?"),
        ("key", "did you mean `attention.key`?"),
        ("vision.down", "did you mean `vision.mlp.down`?"),
        ("decoder.mpl", "did you mean `decoder.mlp`?"),
        ("q_proj", r'a module is named by a pattern in double quotes, as in `"(.*\.)?q_proj"`'),
    ],
)
def test_a_hint_is_a_role_or_the_way_to_name_a_module(word: str, hint: str) -> None:
    assert role_hint(word) == hint
