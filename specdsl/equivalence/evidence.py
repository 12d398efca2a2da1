"""What a verdict on reachable sets shows: substitutions by which each is the other, or the rules that changed both."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from specdsl.equivalence.cells import Question
from specdsl.equivalence.forms.form import Form
from specdsl.equivalence.forms.text import form_text
from specdsl.equivalence.reach import Reach
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.invariants import shown
from specdsl.equivalence.sets.substitution import renamed_factors, substitution
from specdsl.equivalence.size_texts import rank_hint, sizes_text


def certificate(reaches: Sequence[Reach]) -> tuple[str, ...]:
    """Lines for all shapes, or for each cell its own where they differ."""
    found = {reach.cell.name: _lines(reach) for reach in reaches}
    together = _for_all_shapes(found)
    if together is not None:
        return tuple(together)
    return tuple(f"{cell}, {line}" for cell, lines in found.items() for line in lines)


def conditions(reaches: Sequence[Reach]) -> list[str]:
    """What the steps rest on; with the cell where they do not in all."""
    found = {reach.cell.name: _conditions(reach) for reach in reaches}
    together = _for_all_shapes(found)
    if together is not None:
        return together
    cells: dict[str, list[str]] = {}
    for cell, several in found.items():
        for condition in several:
            cells.setdefault(condition, []).append(cell)
    return [one if len(names) == len(reaches) else f"{one} ({', '.join(names)})" for one, names in cells.items()]


def _conditions(reach: Reach) -> list[str]:
    images = (reach.a_reduced, reach.b_reduced) if _is_used(reach) else ()
    steps = [step for image in images if image is not None for step in image.steps]
    return list(dict.fromkeys([*reach.draws, *(step.condition for step in steps if step.condition)]))


def _for_all_shapes(found: Mapping[str, list[str]]) -> list[str] | None:
    """Lines that say the same in all cells: what is n in one and m in the other is the smaller or the larger one."""
    wide, square, tall = (found.get(cell) for cell in ("n<m", "n=m", "n>m"))
    if wide is None or tall is None:
        return wide or tall or square or [] if len(found) == 1 else None if wide != square and tall != square else wide
    merged = [_merged(one, other) for one, other in zip(wide, tall, strict=False)]
    if len(wide) != len(tall) or None in merged:
        return None
    lines = [line for line in merged if line is not None]
    alike = square is None or _on_squares(square) == _on_squares(lines)
    return lines if alike else None


def _merged(wide: str, tall: str) -> str | None:
    one, other = (re.findall(r"\w+|\W+", line) for line in (wide, tall))
    if len(one) != len(other):
        return None
    words = []
    for left, right in zip(one, other, strict=True):
        if left != right and {left, right} != {"n", "m"}:
            return None
        words.append(left if left == right else "min(n, m)" if left == "n" else "max(n, m)")
    return "".join(words)


def _is_used(reach: Reach) -> bool:
    return reach.pointwise is None and any((reach.equal, reach.a_in_b, reach.b_in_a))


def _on_squares(lines: Sequence[str]) -> list[str]:
    return [re.sub(r"(min|max)\(n, n\)", "n", re.sub(r"\bm\b", "n", line)) for line in lines]


def _lines(reach: Reach) -> list[str]:
    if not _is_used(reach):
        return []
    assert reach.a is not None
    assert reach.b is not None
    assert reach.a_reduced is not None
    assert reach.b_reduced is not None
    ways = []
    for title, one, other, reduced, found in (
        ("a in b", reach.a, reach.b, (reach.a_reduced, reach.b_reduced), _forward(reach)),
        ("b in a", reach.b, reach.a, (reach.b_reduced, reach.a_reduced), _backward(reach)),
    ):
        if found is not None:
            direct = substitution(one, other, reduced, found)
            ways.append(None if direct is None else _said(title, direct))
    if None not in ways:
        return [line for way in ways for line in way or ()]
    return _by_steps(reach)


def _said(title: str, values: Mapping[str, Form]) -> list[str]:
    return [f"{title}: {name} := {form_text(form)}" for name, form in values.items()]


def _forward(reach: Reach) -> Mapping[str, Form] | None:
    """The factors of b's reduced parametrisation over those of a's."""
    assert reach.a_reduced is not None
    if reach.equal is not None:
        return renamed_factors(reach.equal, reach.a_reduced)
    return None if reach.a_in_b is None else reach.a_in_b.values


def _backward(reach: Reach) -> Mapping[str, Form] | None:
    assert reach.b_reduced is not None
    if reach.equal is not None:
        return renamed_factors(reach.equal.inverse(), reach.b_reduced)
    return None if reach.b_in_a is None else reach.b_in_a.values


def _by_steps(reach: Reach) -> list[str]:
    """The rules one by one, and what both specs come to."""
    lines = [line for name, image in (("a", reach.a_reduced), ("b", reach.b_reduced)) for line in _steps(name, image)]
    if reach.equal is not None:
        return [*lines, f"both are then {_value(reach.a_reduced)} ({reach.equal.text()})"]
    for title, found in (("a in b", reach.a_in_b), ("b in a", reach.b_in_a)):
        lines += [f"{title}: {line}" for line in found.lines()] if found is not None else []
    return lines


def _steps(name: str, image: Image | None) -> list[str]:
    assert image is not None
    found = []
    for step in image.steps:
        down = ", ".join(f"{old} = {new}" for old, new in step.down.items())
        up = ", ".join(f"{new} := {old}" for new, old in step.up.items())
        found.append(f"{name}: {up} ({step.rule}; back: {down})")
    return found


def _value(image: Image | None) -> str:
    assert image is not None
    return ", ".join(f"{name} = {form_text(form)}" for name, form in image.forms.items())


# ------------------------------------------------------------------------------------------------ reasons


def reason(asked: Question, reaches: Sequence[Reach], relation: str) -> str:
    """Why the sets relate so, or why that is unknown."""
    if relation == "?":
        return "; ".join(filter(None, (_why_unknown(reaches), rank_hint(asked))))
    if relation == "=":
        return "every value of one is a value of the other, by exact substitutions"
    first = reaches[len(reaches) // 2]
    found = [one for one in (first.a_not_in_b, first.b_not_in_a) if one is not None]
    says = dict.fromkeys(one.says.replace(f" ({shown(one.sizes)})", "") for one in found)
    return f"{'; '.join(says)} ({sizes_text(asked.a, asked.b, found[0].sizes)})" if found else ""


def _why_unknown(reaches: Sequence[Reach]) -> str:
    if len({one.relation for one in reaches}) > 1:
        return "it depends on the shape"
    first = reaches[len(reaches) // 2]
    if first.problem:
        return first.problem
    known = [text for text, holds in (
        ("a is contained in b", first.a_in_b), ("b is contained in a", first.b_in_a),
        ("a is not contained in b", first.a_not_in_b), ("b is not contained in a", first.b_not_in_a),
    ) if holds is not None]  # fmt: skip
    rest = "whether it is equal" if first.a_in_b or first.b_in_a else "the other direction"
    return f"{known[0]}; {rest} is not known" if known else "neither a certificate nor an invariant was found"
