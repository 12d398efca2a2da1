"""The roles that `on`, `except` and `train` may name: the language's own words, whatever the model."""

from __future__ import annotations

import re

from specdsl.errors import nearest

TOWERS = ("encoder", "decoder", "text", "vision")
GROUPS = {
    "attention": ("query", "key", "value", "qkv", "output"),
    "cross_attention": ("query", "key", "value", "qkv", "output"),
    "mlp": ("up", "gate", "down"),
}
"""A group's name stands for all its roles."""
ROLES = (
    *(f"{group}.{part}" for group, parts in GROUPS.items() for part in parts),
    "embedding",
    "norm",
    "conv",
    "head",
)


NAMES_ELSEWHERE = {"classifier": "head", "score": "head", "lm_head": "head", "embeddings": "embedding"}
"""Names of modules that are one role wherever they occur."""


def split_tower(role: str) -> tuple[str | None, str]:
    """`decoder.mlp.up` -> (`decoder`, `mlp.up`); `mlp.up` -> (None, `mlp.up`)."""
    first, _, rest = role.partition(".")
    return (first, rest) if first in TOWERS and rest else (None, role)


def is_role(item: str) -> bool:
    """Whether the language has that role or group, in some model.

    >>> is_role("decoder.mlp"), is_role("query")
    (True, False)
    """
    plain = split_tower(item)[1]
    return plain in ROLES or plain in GROUPS


def role_hint(item: str) -> str:
    """What a word that is no role probably means: the nearest role, else a module's name.

    >>> role_hint("decoder.atention"), role_hint("query")
    ('did you mean `decoder.attention`?', 'did you mean `attention.query`?')
    """
    tower, plain = split_tower(item)
    part = next((role for role in ROLES if role.endswith(f".{plain}")), None)
    if part is not None:
        return f"did you mean `{tower}.{part}`?" if tower else f"did you mean `{part}`?"
    elsewhere = NAMES_ELSEWHERE.get(plain)
    near = elsewhere or nearest(plain, [*GROUPS, *ROLES], cutoff=0.5)
    if near is not None:
        return f"did you mean `{tower}.{near}`?" if tower else f"did you mean `{near}`?"
    return rf'a module is named by a pattern in double quotes, as in `"(.*\.)?{re.escape(item)}"`'
