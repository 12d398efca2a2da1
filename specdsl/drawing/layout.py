"""Where every part of a picture stands."""

from __future__ import annotations

from specdsl.drawing.boxes import LABEL, SIGN, SMALL, Box, number, side_by_side, stacked, text_code, text_width, word
from specdsl.drawing.lengths import Lengths
from specdsl.drawing.matrix_box import matrix_box
from specdsl.drawing.picture import Equation, Frame, Grid, Matrix, Picture, Raised, Repeated, Row, Word

WIDEST = 720.0
"""A sum that is wider goes on below."""
_GAP = 7.0


class Layout:
    """Lays out pictures under the sizes of a spec."""

    def __init__(self, lengths: Lengths) -> None:
        self.lengths = lengths

    def equation(self, equation: Equation) -> Box:
        """`left = right`, on several lines where it is long."""
        left: list[Box] = []
        for matrix in equation.left:
            left += [word(",", "sign", SIGN)] if left else []
            left.append(matrix_box(matrix, self.lengths))
        head = side_by_side([*left, word("=", "sign", SIGN)], _GAP)
        lines = self._lines(equation.right, WIDEST - head.width)
        first = side_by_side([head, lines[0]], _GAP)
        if len(lines) == 1:
            return first
        rest = [side_by_side([Box(head.width, 0, 0, ""), line], _GAP) for line in lines[1:]]
        return stacked([first, *rest], 12)

    def _lines(self, picture: Picture, width: float) -> list[Box]:
        """A picture in lines no wider than `width`, as far as a sum or product can be broken."""
        if not isinstance(picture, Row):
            return [self.box(picture)]
        lines: list[list[Box]] = [[]]
        used = 0.0
        for sign, part in self._operands(picture):
            boxes = [word(sign, "sign", SIGN)] * bool(sign) + [part]
            added = sum(box.width + _GAP for box in boxes)
            if lines[-1] and used + added > width:
                lines.append([])
                used = 0.0
            lines[-1] += boxes
            used += added
        return [side_by_side(line, _GAP) for line in lines]

    def box(self, picture: Picture) -> Box:
        """The picture in one line."""
        match picture:
            case Matrix():
                return matrix_box(picture, self.lengths)
            case Word(text=text):
                return word(text)
            case Row():
                return side_by_side([box for pair in self._operands(picture) for box in _with_sign(*pair)], _GAP)
            case Frame(label=label, parts=parts):
                return self._frame(label, [self.box(part) for part in parts])
            case Raised(body=body, mark=mark):
                inside = self._bracketed(self.box(body))
                raised = Box(text_width(mark, LABEL) + 2, inside.above, 0,
                             text_code(mark, text_width(mark, LABEL) / 2, 8 - inside.above, "label"))  # fmt: skip
                return side_by_side([inside, raised], 1)
            case Grid(rows=rows):
                lines = [side_by_side([self.box(part) for part in row], 5) for row in rows]
                return self._squared(stacked(lines, 5) if len(lines) > 1 else lines[0])
            case Repeated(sign=sign, bounds=bounds, body=body):
                return self._repeated(sign, bounds, self.box(body))

    def _operands(self, row: Row) -> list[tuple[str, Box]]:
        """The operands with their signs, in brackets where they would read otherwise without."""
        pairs = []
        for sign, part in zip(row.signs, row.parts, strict=True):
            box = self.box(part)
            is_bracketed = isinstance(part, Row) and _needs_brackets(row, part, bool(sign))
            pairs.append((sign, self._bracketed(box) if is_bracketed else box))
        return pairs

    def _bracketed(self, box: Box) -> Box:
        above, below = box.above + 1, box.below + 1
        height = above + below
        left = f'<path class="bracket" d="M6 {number(-above)}q-8 {number(height / 2)} 0 {number(height)}"/>'
        right = (
            f'<path class="bracket" d="M{number(box.width + 10)} {number(-above)}'
            f'q8 {number(height / 2)} 0 {number(height)}"/>'
        )
        return Box(box.width + 16, above, below, left + box.moved(8, 0) + right)

    def _squared(self, box: Box) -> Box:
        above, below = box.above + 3, box.below + 3
        height, right = above + below, box.width + 15
        code = (
            f'<path class="bracket" d="M6 {number(-above)}h-4v{number(height)}h4'
            f'M{number(right - 5)} {number(-above)}h4v{number(height)}h-4"/>'
        )
        return Box(right, above, below, code + box.moved(7.5, 0))

    def _frame(self, label: str, boxes: list[Box]) -> Box:
        inside: list[Box] = []
        for box in boxes:
            inside += [word(",", "sign", SIGN)] if inside else []
            inside.append(box)
        body = side_by_side(inside, 4) if inside else Box(0, 0, 0, "")
        width = max(body.width, text_width(label, SMALL + 1.5)) + 14
        above, below = body.above + 22, body.below + 5
        rect = (
            f'<rect class="frame" x="0" y="{number(-above)}" width="{number(width)}" '
            f'height="{number(above + below)}" rx="7"/>'
        )
        name = text_code(label, width / 2, 14 - above, "function")
        return Box(width, above + 1, below + 1, rect + name + body.moved((width - body.width) / 2, 0))

    def _repeated(self, sign: str, bounds: str, body: Box) -> Box:
        if sign == "stack":
            return self._frame(f"stack, {bounds}", [body])
        width = max(text_width(bounds, SMALL), 24) + 2
        code = text_code(sign, width / 2, 9, "big") + text_code(bounds, width / 2, 26, "shape")
        return side_by_side([Box(width, 18, 30, code), self._bracketed(body)], 3)


def _needs_brackets(row: Row, part: Row, has_sign: bool) -> bool:
    """A sum within a sum, after a sign; else all but a single operand within a product of any kind."""
    if row.is_sum:
        return part.is_sum and has_sign
    return len(part.parts) > 1


def _with_sign(sign: str, box: Box) -> list[Box]:
    return [word(sign, "sign", SIGN), box] if sign else [box]
