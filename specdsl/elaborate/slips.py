"""What people write who come from other libraries or from a blackboard, and what it is called here."""

from __future__ import annotations

import re

from specdsl.source import Span

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


CLAUSES_ELSEWHERE = {
    "target_modules": "where it goes is said by `on attention.query, attention.value`",
    "layers_to_transform": "blocks are chosen by `on ... layers 0..5`",
    "modules_to_save": "modules are trained whole by `train head`",
    "lora_alpha": "it is called `alpha`, and a scale is written: `W + alpha/r * A@B`",
    "dropout": "it is written where it acts: `y + alpha/r * dropout(x, 0.1)@A@B`",
    "lora_dropout": "it is written where it acts: `y + alpha/r * dropout(x, 0.1)@A@B`",
}
"""Settings of other libraries, and the clauses that say the same."""


def added_vector_hint(written: str) -> str:
    """What a vector that is added to a weight was probably meant to be: a number, or an offset of the bias.

    >>> added_vector_hint("s*A@B"), added_vector_hint("p")
    ('a number has a shape: `s : 1 ~ 0`', 'an offset of the output is `b + p`')
    """
    if written == "b":
        return "`b` is the module's bias; a factor needs another name"
    scaled = re.match(r"([a-z]\d*)\s*\*", written)
    if scaled:
        return f"a number has a shape: `{scaled[1]} : 1 ~ 0`"
    if re.fullmatch(r"[a-z]\d*", written):
        return f"an offset of the output is `b + {written}`"
    return "`.*` scales columns; `diag(v)` or `outer(u, v)` make a matrix"


def bars_hint(span: Span) -> str | None:
    """What was meant where a clause has a `|` right before and right after it, as if they were bars.

    >>> from specdsl.source import Source
    >>> bars_hint(Span(Source("W + A@B | |A|"), 11, 12))
    '`|` separates clauses and makes no bars: `norm(A)` is the length, `abs(A)` goes entry by entry'
    """
    text = span.source.text
    before, after = text[: span.start], text[span.end :]
    if not (re.search(r"(^|[|\n])[ \t]*\|$", before) and after.startswith("|")):
        return None
    shown = span.text
    return f"`|` separates clauses and makes no bars: `norm({shown})` is the length, `abs({shown})` goes entry by entry"


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
