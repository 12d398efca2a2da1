"""Pictures made of other pictures: products, transposes, diagonals, values at the start."""

from __future__ import annotations

from dataclasses import replace

from specdsl.drawing.picture import COMPUTED, FROZEN, TRAINED, Frame, Grid, Matrix, Picture, Raised, Repeated, Row, Word
from specdsl.operators.registry import Shape


def option_label(text: str) -> str:
    """`"a b -> b a"` of `pattern="a b -> b a"`, `bits` of `bits=bits`."""
    name, is_named, value = text.partition("=")
    if name == value:
        return name
    return value.strip('"') if is_named and value.startswith('"') else text


def product(parts: list[Picture], shape: Shape) -> Picture:
    """Factors side by side; a product or number among them is written out, a sum keeps its brackets."""
    flat: list[Picture] = []
    for part in parts:
        is_sum = isinstance(part, Word) and _is_sum(part.text)
        written = replace(part, text=f"({part.text})") if isinstance(part, Word) and is_sum else part
        flat += written.parts if isinstance(written, Row) and written.operation == "" else [written]
    return Row("", ("",) * len(flat), tuple(flat), shape)


def _is_sum(text: str) -> bool:
    """Whether a sign of addition stands outside all brackets."""
    depth = 0
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and text[place : place + 3] in (" + ", " − "):
            return True
    return False


def raised(body: Picture, mark: str, shape: Shape) -> Picture:
    """A picture with a mark: a named matrix gets it in its name."""
    if isinstance(body, Matrix) and (mark == "ᵀ" or len(shape) == 2):
        role = COMPUTED if body.role == TRAINED and mark != "ᵀ" else body.role
        return replace(body, label=f"{body.label}{mark}", shape=shape, role=role)
    return Raised(body, mark, shape)


def diagonal(body: Picture, shape: Shape) -> Picture:
    """A vector on the diagonal of a matrix: of a named one that matrix, else a frame."""
    if isinstance(body, Matrix):
        return replace(body, shape=shape, is_diagonal=True)
    return Frame("diag", (body,), shape)


def at_start(picture: Picture) -> Picture:
    """The picture with the starting value of every factor in it, which does not move."""
    match picture:
        case Matrix(role=role) if role in (TRAINED, COMPUTED):
            return replace(picture, label=f"{picture.label}⁽⁰⁾", role=FROZEN)
        case Row() | Frame():
            return replace(picture, parts=tuple(map(at_start, picture.parts)))
        case Raised() | Repeated():
            return replace(picture, body=at_start(picture.body))
        case Grid():
            return replace(picture, rows=tuple(tuple(map(at_start, row)) for row in picture.rows))
    return picture
