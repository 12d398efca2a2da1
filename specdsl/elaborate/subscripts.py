"""Slices, indices and blocks."""

from __future__ import annotations

from typing import Any

from specdsl import tree
from specdsl.elaborate.measuring import Measuring
from specdsl.errors import SpecShapeError
from specdsl.ir import Given, Node, Scalar
from specdsl.nodes import apply
from specdsl.sizes import Size


class Subscripts(Measuring):
    """Reads square brackets."""

    def _read_subscript(self, syntax: tree.Subscript) -> Node:
        ranked = self._read_of_this_layer(syntax)
        if ranked is not None:
            return ranked
        node = self._operand(syntax.body)
        if len(syntax.items) > max(node.ndim, 1) or not node.ndim:
            raise SpecShapeError(
                f"`{syntax.body.span.text}` has {node.ndim} axes, but {len(syntax.items)} are indexed", syntax.span
            )
        shape: list[Size] = []
        items: list[Any] = []
        for axis, item in enumerate(syntax.items):
            size = node.shape[axis]
            if isinstance(item, tree.Range):
                length, entry = self._range(item, size, syntax)
                shape.append(length)
                items.append(entry)
                continue
            index = self._operand(item)
            if isinstance(index, Scalar):
                items.append(self._place(index.size, size, item, syntax))
            elif (
                index.ndim == 1 and axis == 1 == len(syntax.items) - 1 and _is_whole(syntax.items[0]) and node.ndim == 2
            ):
                return apply("columns", (node, index), (node.shape[0], index.shape[0]))
            elif isinstance(index, Given) and not index.shape and len(syntax.items) == 1:
                return apply("take", (node, index), node.shape[1:])
            elif index.ndim == 1 and len(syntax.items) == 1 + sum(
                isinstance(other, tree.Range) and other.start is other.stop is other.step is None
                for other in syntax.items
            ) and axis == 0:  # fmt: skip
                return apply("take", (node, index), (index.shape[0], *node.shape[1:]))
            else:
                raise SpecShapeError(
                    f"`{item.span.text}` cannot be an index here", item.span,
                    "an index is a number, a range `a:b`, or an index vector for the rows `M[I, :]`",
                )  # fmt: skip
        shape += node.shape[len(items) :]
        return apply("slice", (node,), tuple(shape), items=tuple(items))

    def _place(self, index: Size, size: Size, item: tree.Expr, syntax: tree.Subscript) -> Size:
        """The place of one entry; `v[-1]` counts from the end."""
        place = size + index if isinstance(item, tree.Negative) else index
        self.solver.span = syntax.span
        written = f"`{syntax.span.text}` is beyond the end"
        self.solver.at_most(place + 1, size, written)
        self.solver.not_negative(place, written)
        return place

    def _range(self, item: tree.Range, size: Size, syntax: tree.Subscript) -> tuple[Size, Any]:
        start = self._bound(item.start, size, Size.of(0))
        stop = self._bound(item.stop, size, size)
        self.solver.span = syntax.span
        written = f"`{syntax.span.text}` takes more than there is"
        if item.stop is not None:
            self.solver.at_most(stop, size, written)
        if item.start is not None:
            self.solver.not_negative(start, written)
        length = stop - start
        self.solver.whole(length, f"`{syntax.span.text}` has to take something")
        step = Size.of(1)
        if item.step is not None:
            step = self.size_of(self._operand(item.step), item.step, "a step")
            if step.constant is None or step.constant < 1 or step.constant.denominator != 1:
                raise SpecShapeError("a step is a positive whole number", item.step.span)
            length = Size.opaque("ceil", length / step)
        return length, (start, stop, step)

    def _bound(self, syntax: tree.Expr | None, size: Size, default: Size) -> Size:
        if syntax is None:
            return default
        bound = self.size_of(self._operand(syntax), syntax, "the bound of a slice")
        from_the_end = isinstance(syntax, tree.Negative)
        return size + bound if from_the_end else bound

    def _read_block(self, syntax: tree.Block) -> Node:
        rows: list[Node] = []
        for row in syntax.rows:
            entries = [self._operand(entry) for entry in row]
            rows.append(self._beside(entries, syntax) if len(entries) > 1 or not entries[0].ndim else entries[0])
        if len(rows) == 1:
            return rows[0]
        rows = [_as_row(row) if row.ndim == 1 and any(other.ndim == 2 for other in rows) else row for row in rows]
        if any(row.ndim != 2 for row in rows):
            raise SpecShapeError("`[A; B]` puts matrices one above the other", syntax.span)
        for part in rows[1:]:
            self.solver.span = syntax.span
            self.solver.same(rows[0].shape[1], part.shape[1], f"`{syntax.span.text}`: the widths differ")
        height = sum((row.shape[0] for row in rows[1:]), rows[0].shape[0])
        return apply("vcat", rows, (height, rows[0].shape[1]))

    def _beside(self, entries: list[Node], syntax: tree.Block) -> Node:
        dimensions = {entry.ndim for entry in entries}
        if len(dimensions) != 1 or max(dimensions) > 2:
            raise SpecShapeError("`[A, B]` joins matrices, or vectors, or numbers", syntax.span)
        if dimensions == {0}:
            return apply("numbers", entries, (Size.of(len(entries)),))
        width = entries[0].shape[-1]
        for entry in entries[1:]:
            if entry.ndim == 2:
                self.solver.span = syntax.span
                self.solver.same(entries[0].shape[0], entry.shape[0], f"`{syntax.span.text}`: the heights differ")
            width = width + entry.shape[-1]
        return apply("hcat", entries, (*entries[0].shape[:-1], width))


def _picks_columns(node: Node, syntax: tree.Subscript, axis: int) -> bool:
    """Whether an index in this place picks columns: `M[:, I]`."""
    return node.ndim == len(syntax.items) == 2 and axis == 1 and _is_whole(syntax.items[0])


def _is_whole(item: tree.Expr | tree.Range) -> bool:
    return isinstance(item, tree.Range) and item.start is item.stop is item.step is None


def _as_row(vector: Node) -> Node:
    """A vector as a matrix of one row, as in `[W; b]`."""
    shape = (Size.of(1), *vector.shape)
    return apply("reshape", (vector,), shape, shape=shape)
