"""Sizes as a reader sees them: those that the specs read, with the rank that each of them has."""

from __future__ import annotations

from specdsl.equivalence.cells import Question
from specdsl.equivalence.exact.shapes import has_open_rank, read_sizes, reads_rank
from specdsl.equivalence.subject import Subject
from specdsl.sizes import Environment, Number, Size, UnknownSize

_NEVER = frozenset({"n", "m", "r", "tokens", "layer", "layers"})


def sizes_text(a: Subject, b: Subject, sizes: Environment) -> str:
    """`n = 5, m = 5, r = 2 in a and 4 in b`."""
    parts = [f"{name} = {sizes[name]}" for name in ("n", "m") if name in sizes]
    for name in sorted((read_sizes(a.ir) | read_sizes(b.ir)) - _NEVER):
        parts += [f"{name} = {sizes[name]}"] if name in sizes and name not in {*a.hyper, *b.hyper} else []
    ranks = {name: _rank(subject, sizes) for name, subject in (("a", a), ("b", b))}
    known = {name: rank for name, rank in ranks.items() if rank is not None}
    if len(set(known.values())) == 1:
        parts.append(f"r = {next(iter(known.values()))}")
    elif known:
        parts.append(f"r = {ranks['a']} in a and {ranks['b']} in b")
    return ", ".join(parts)


def rank_hint(asked: Question) -> str:
    """What to say where one spec sets r and the other leaves it open; empty otherwise."""
    if "r" in asked.conditions.sizes:
        return ""
    for one, setting, other, leaving in ((asked.a, "a", asked.b, "b"), (asked.b, "b", asked.a, "a")):
        value = one.hyper.get("r")
        if value is None or value.constant is None or not reads_rank(one.ir):
            continue
        if has_open_rank(other.ir):
            return (
                f'{setting} sets r = {value} and {leaving} leaves it open; `--where "r = {value}"` compares them there'
            )
    return ""


def _rank(subject: Subject, sizes: Environment) -> Number | None:
    if not reads_rank(subject.ir):
        return None
    try:
        return subject.size(Size.symbol("r")).value(sizes)
    except (UnknownSize, ValueError, ZeroDivisionError):
        return None
