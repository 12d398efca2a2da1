"""How many there are of something, in words."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """A number and what it counts.

    >>> counted(1, "spec"), counted(1200, "distinct set")
    ('1 spec', '1,200 distinct sets')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
