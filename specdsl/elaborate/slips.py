"""What people write who come from other libraries or from a blackboard, and what it is called here."""

from __future__ import annotations

import re

NAMES_ELSEWHERE = {
    "gaussian": "normal",
    "randn": "normal",
    "normal_": "normal",
    "kaiming_uniform": "kaiming",
    "kaiming_uniform_": "kaiming",
    "kaiming_normal": "kaiming",
    "he": "kaiming",
    "xavier_uniform": "xavier",
    "xavier_normal": "xavier",
    "glorot": "xavier",
    "glorot_uniform": "xavier",
    "zero": "zeros",
    "zeros_": "zeros",
    "one": "ones",
    "identity": "eye",
    "rand": "uniform",
}
"""Names of starts in other libraries."""

TRANSPOSED = "a transpose is written `{matrix}.T`"
_RUN_TOGETHER = re.compile(r"(?:[A-Z]\d*){2,4}")


def slip_hint(name: str) -> str | None:
    """What an unknown name probably means, if it is a word from elsewhere or a product without its sign.

    >>> slip_hint("AB"), slip_hint("gaussian"), slip_hint("gain")
    ('did you mean `A@B`?', 'did you mean `normal`?', None)
    """
    elsewhere = NAMES_ELSEWHERE.get(name.lower())
    if elsewhere is not None:
        return f"did you mean `{elsewhere}`?"
    if _RUN_TOGETHER.fullmatch(name):
        return f"did you mean `{'@'.join(re.findall(r'[A-Z][0-9]*', name))}`?"
    return None
