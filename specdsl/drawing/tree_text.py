"""A sketch as a tree for terminals: a line for every value, with its shape on the edge that leads to it."""

from __future__ import annotations

from collections.abc import Iterator

from specdsl.drawing.picture import (
    FROZEN,
    GIVEN,
    TRAINED,
    Equation,
    Frame,
    Grid,
    Matrix,
    Picture,
    Raised,
    Repeated,
    Row,
    Sketch,
    Word,
    parts_of,
)
from specdsl.drawing.symbols import shape_text

_OPERATIONS = {"": "product", "+": "sum", "⊙": "⊙ entry by entry", "⊘": "⊘ entry by entry", "⊗": "⊗ Kronecker"}


def tree_lines(sketches: tuple[Sketch, ...]) -> list[str]:
    """The lines of all equations.

    >>> import specdsl
    >>> from specdsl.drawing.sketch import sketches
    >>> print("\\n".join(tree_lines(sketches(specdsl.parse("W + A@B")))))
    W′ = sum
    ├─ n × m ─ W  frozen
    └─ n × m ─ product
       ├─ n × r ─ A  trained
       └─ r × m ─ B  trained
    """
    lines: list[str] = []
    for sketch in sketches:
        lines += [f"{sketch.place}:"] if sketch.place else []
        for equation in sketch.equations:
            lines += _equation(equation)
    return lines


def _equation(equation: Equation) -> Iterator[str]:
    left = ", ".join(one.label for one in equation.left)
    picture, numbers = _without_numbers(equation.right)
    yield f"{left} = {numbers}{_title(picture)}"
    yield from _branches(picture, "")


def _branches(picture: Picture, indent: str) -> Iterator[str]:
    parts = parts_of(picture)
    signs = picture.signs if isinstance(picture, Row) and picture.is_sum else ("",) * len(parts)
    for place, (part, sign) in enumerate(zip(parts, signs, strict=True)):
        is_last = place == len(parts) - 1
        shown, numbers = _without_numbers(part)
        edge = f" {shape_text(part.shape)} ─" if part.shape else ""
        minus = "− " if sign == "−" else ""
        yield f"{indent}{'└' if is_last else '├'}─{edge} {minus}{numbers}{_title(shown)}"
        yield from _branches(shown, indent + ("   " if is_last else "│  "))


def _without_numbers(picture: Picture) -> tuple[Picture, str]:
    """A product without its leading numbers, and these as text: `α/r · `."""
    if not isinstance(picture, Row) or picture.operation:
        return picture, ""
    parts = list(picture.parts)
    words = ""
    while len(parts) > 1 and isinstance(parts[0], Word):
        words += f"{parts[0].text} · "
        parts.pop(0)
    rest: Picture = parts[0] if len(parts) == 1 else Row("", ("",) * len(parts), tuple(parts), picture.shape)
    return rest, words


def _title(picture: Picture) -> str:
    match picture:
        case Matrix(label=label, role=role, is_diagonal=is_diagonal):
            shown = f"diag({label})" if is_diagonal and label != "I" else label
            return f"{shown}  {role}" if role in (TRAINED, FROZEN, GIVEN) else shown
        case Word(text=text):
            return text
        case Row(operation=operation):
            return _OPERATIONS[operation]
        case Frame(label=label):
            return label
        case Raised(mark=mark):
            return f"(…){mark}"
        case Grid():
            return "blocks"
        case Repeated(sign=sign, bounds=bounds):
            return f"{sign} over {bounds}"
