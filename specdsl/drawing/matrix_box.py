"""One array as a rectangle in proportion to its shape."""

from __future__ import annotations

from specdsl.drawing.boxes import LABEL, SMALL, Box, number, text_code, text_width
from specdsl.drawing.lengths import Lengths
from specdsl.drawing.picture import FROZEN, Matrix
from specdsl.drawing.symbols import shape_text

_STACK = 4.0
"""How far the sheets of a stack lie apart."""
_HATCH = 10


def matrix_box(matrix: Matrix, lengths: Lengths) -> Box:
    """The rectangle with its name in it, or above where it is too narrow, and its shape below."""
    width, height = lengths.sides(matrix.shape)
    sheets = min(max(len(matrix.shape) - 2, 0), 2)
    full = width + sheets * _STACK
    label_width = text_width(matrix.label, LABEL)
    room = width / 2 if matrix.is_diagonal else width
    is_inside = label_width + 6 <= room and height >= LABEL + 1
    shape = shape_text(matrix.shape)
    total = max(full, 0 if is_inside else label_width, text_width(shape, SMALL))
    left, top = (total - full) / 2, -height / 2
    code = [_sheet(left + sheet * _STACK, top - sheet * _STACK, width, height, matrix, False)
            for sheet in range(sheets, 0, -1)]  # fmt: skip
    code.append(_sheet(left, top, width, height, matrix, True))
    above = height / 2 + sheets * _STACK + 2
    if is_inside:
        code.append(_name(matrix, left, width, height, label_width))
    else:
        code.append(text_code(matrix.label, total / 2, -above - 3, "label"))
        above += LABEL + 3
    below = height / 2 + 2
    if shape:
        code.append(text_code(shape, total / 2, below + SMALL, "shape"))
        below += SMALL + 4
    return Box(total, above, below, "".join(code))


def _sheet(x: float, y: float, width: float, height: float, matrix: Matrix, is_front: bool) -> str:
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    if matrix.is_diagonal:
        line = f'<path class="diagonal {matrix.role}" d="M{number(x)} {number(y)}l{number(width)} {number(height)}"/>'
        return f'<rect class="empty" {place}/>{line}'
    code = f'<rect class="{matrix.role}" {place}/>'
    if is_front and matrix.role == FROZEN:
        code += f'<path class="hatch" d="{_hatching(x, y, width, height)}"/>'
    return code


def _name(matrix: Matrix, left: float, width: float, height: float, label_width: float) -> str:
    """The name in the middle, of a diagonal matrix above its diagonal; on a hatching it has a plate behind it."""
    if matrix.is_diagonal:
        return text_code(matrix.label, left + 0.7 * width, LABEL * 0.35 - 0.2 * height, "label")
    middle = left + width / 2
    name = text_code(matrix.label, middle, LABEL * 0.35, "label")
    if matrix.role != FROZEN:
        return name
    start = number(middle - label_width / 2 - 2)
    high = min(18.0, height - 2)
    place = f'x="{start}" y="{number(-high / 2)}" width="{number(label_width + 4)}" height="{number(high)}"'
    return f'<rect class="plate" {place} rx="3"/>{name}'


def _hatching(x: float, y: float, width: float, height: float) -> str:
    """Lines from the lower left to the upper right within a rectangle."""
    steps = []
    offset = float(_HATCH)
    while offset < width + height:
        start = (min(offset, width), max(offset - width, 0.0))
        end = (max(offset - height, 0.0), min(offset, height))
        steps.append(f"M{number(x + start[0])} {number(y + start[1])}L{number(x + end[0])} {number(y + end[1])}")
        offset += _HATCH
    return "".join(steps)
