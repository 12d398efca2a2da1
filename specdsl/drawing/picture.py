"""What a drawing is made of: matrices, words, rows of them with signs between, frames around what a function takes.

`specdsl.drawing.sketch` makes pictures of a spec; `svg` and `tree_text` show them. A picture knows nothing of methods.
"""

from __future__ import annotations

from dataclasses import dataclass

from specdsl.operators.registry import Shape

TRAINED, COMPUTED, FROZEN, TOKENS, GIVEN = "trained", "computed", "frozen", "tokens", "given"
"""Whose entries a matrix holds: a trained factor's, what moves with one, what never moves, the input's, what is
brought to a forward pass."""

ROLES = (TRAINED, COMPUTED, FROZEN, TOKENS, GIVEN)
"""In the order of a legend."""


@dataclass(frozen=True)
class Matrix:
    """An array with a name; a vector is one row of entries, and a stack shows its last two axes."""

    label: str
    shape: Shape
    role: str
    is_diagonal: bool = False


@dataclass(frozen=True)
class Word:
    """A number, as text."""

    text: str
    shape: Shape = ()


@dataclass(frozen=True)
class Row:
    """Operands side by side; `signs` stand before each of them, the first one's is empty or a minus."""

    operation: str
    signs: tuple[str, ...]
    parts: tuple[Picture, ...]
    shape: Shape

    @property
    def is_sum(self) -> bool:
        return self.operation == "+"


@dataclass(frozen=True)
class Frame:
    """A function around its arguments."""

    label: str
    parts: tuple[Picture, ...]
    shape: Shape


@dataclass(frozen=True)
class Raised:
    """A picture in brackets with a mark at its upper right: transposed, inverted, a power."""

    body: Picture
    mark: str
    shape: Shape


@dataclass(frozen=True)
class Grid:
    """Blocks put together to one matrix; `is_diagonal` for those along a diagonal."""

    rows: tuple[tuple[Picture, ...], ...]
    shape: Shape


@dataclass(frozen=True)
class Repeated:
    """A sum, a product or a stack over `bounds`, `i < k`."""

    sign: str
    bounds: str
    body: Picture
    shape: Shape


Picture = Matrix | Word | Row | Frame | Raised | Grid | Repeated


@dataclass(frozen=True)
class Equation:
    """`left = right`; several values on the left are those of one function, `U, S, V = svd(W)`."""

    left: tuple[Matrix, ...]
    right: Picture


@dataclass(frozen=True)
class Sketch:
    """The equations that hold in one place; `place` is empty for a spec that holds everywhere."""

    place: str
    equations: tuple[Equation, ...]
    remarks: tuple[str, ...] = ()


def parts_of(picture: Picture) -> tuple[Picture, ...]:
    """What a picture is put together of."""
    match picture:
        case Row() | Frame():
            return picture.parts
        case Raised() | Repeated():
            return (picture.body,)
        case Grid():
            return tuple(part for row in picture.rows for part in row)
    return ()


def roles_in(sketches: tuple[Sketch, ...]) -> list[str]:
    """The roles that occur, in the order of a legend."""
    pending: list[Picture] = [part for one in sketches for eq in one.equations for part in (*eq.left, eq.right)]
    found: set[str] = set()
    while pending:
        picture = pending.pop()
        pending += parts_of(picture)
        if isinstance(picture, Matrix):
            found.add(picture.role)
    return [role for role in ROLES if role in found]
