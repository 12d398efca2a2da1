"""The language as data: the grammar, and the mistakes whose messages name what is missing."""

from __future__ import annotations

from importlib.resources import files


def grammar_text() -> str:
    """The Lark grammar, which is also the reference of the language."""
    return (files(__name__) / "specdsl.lark").read_text(encoding="utf-8")
