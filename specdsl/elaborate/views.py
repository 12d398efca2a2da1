"""Views of W: the axes a spec gives it, as of a convolution's kernel or a fused projection, and back."""

from __future__ import annotations

from specdsl.elaborate.solver import ShapeSolver, shape_text
from specdsl.errors import SpecShapeError
from specdsl.ir import Apply, Node, Site, interned
from specdsl.nodes import apply, negated
from specdsl.operators.registry import Shape
from specdsl.sizes import Size
from specdsl.source import Span

N, M = Size.symbol("n"), Size.symbol("m")
KERNEL = ("c", "kh", "kw")
"""The axes that n is made of in a convolution: `n = c*kh*kw`."""


class WeightView:
    """`W : c x m x kh x kw` or `W : n x 3 x m/3`.

    Args:
        shape: the axes: those of a kernel in any order, or n and m split into axes, n's first.
        solver: where `n = c*kh*kw` is demanded.
        span: the place of the line.

    Raises:
        SpecShapeError: the axes are no view of an n x m matrix.
    """

    def __init__(self, shape: Shape, solver: ShapeSolver, span: Span) -> None:
        self.shape = shape
        names = [size.as_symbol for size in shape]
        self.order = [name for name in names if name is not None] if sorted(map(str, names)) == sorted(
            (*KERNEL, "m")
        ) else None  # fmt: skip
        solver.span = span
        if self.order:
            kernel = Size.symbol("c") * Size.symbol("kh") * Size.symbol("kw")
            solver.same(N, kernel, f"`{span.text}`: n is {kernel}, as in a convolution")
            return
        split = _split(shape)
        if split is None:
            raise SpecShapeError(
                f"{shape_text(shape)} is no view of W, which is n x m", span,
                "split its axes in order (`n x 3 x m/3`), or name a kernel's (`c x m x kh x kw`)",
            )  # fmt: skip

    @property
    def base(self) -> Node:
        """W in the view."""
        return self.viewed(interned(Site((N, M), "W")))

    def viewed(self, matrix: Node) -> Node:
        """An n x m matrix in the view."""
        if self.order is None:
            return apply("reshape", (matrix,), self.shape, shape=self.shape)
        sizes = tuple((name, Size.symbol(name)) for name in KERNEL)
        pattern = f"(c kh kw) m -> {' '.join(self.order)}"
        return apply("rearrange", (matrix,), self.shape, pattern=pattern, sizes=sizes)

    def as_matrix(self, array: Node) -> Node:
        """An array of the view's shape as n x m; sums stay sums, and W itself is W."""
        if array is self.base:
            return interned(Site((N, M), "W"))
        if (
            isinstance(array, Apply)
            and array.operator == "add"
            and all(t.shape == array.shape for t in array.arguments)
        ):
            return apply("add", [self.as_matrix(term) for term in array.arguments], (N, M))
        if isinstance(array, Apply) and array.operator == "negative":
            return negated(self.as_matrix(array.arguments[0]))
        if isinstance(array, Apply) and array.operator == "scale":
            return apply("scale", (array.arguments[0], self.as_matrix(array.arguments[1])), (N, M))
        if self.order is None:
            return apply("reshape", (array,), (N, M), shape=(N, M))
        return apply("rearrange", (array,), (N, M), pattern=f"{' '.join(self.order)} -> (c kh kw) m", sizes=())


def _split(shape: Shape) -> int | None:
    """After how many axes their product is n and the rest m."""
    for place in range(1, len(shape)):
        rows, columns = Size.of(1), Size.of(1)
        for size in shape[:place]:
            rows = rows * size
        for size in shape[place:]:
            columns = columns * size
        if rows == N and columns == M:
            return place
    return None
