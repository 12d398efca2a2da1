"""Arrays without values: a shape, and whether a gradient flows in. Computing with them counts what it would cost.

Counted as torch in float32 does it: the operations of matrix products, forward and backward, those of everything
else, and the memory that backward keeps. Views share the memory of what they show, and count once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["bool", "int", "float", "complex"]
_BYTES: dict[Kind, int] = {"bool": 1, "int": 8, "float": 4, "complex": 8}
_KINDS: list[Kind] = list(_BYTES)


@dataclass(eq=False)
class Memory:
    """The memory of an array and its views. `is_held`: it is there anyway, as a weight or factor is."""

    size: int
    is_held: bool = False


@dataclass
class Ledger:
    """What was counted.

    Attributes:
        products: operations of matrix products, forward and backward.
        others: operations that work entry by entry, one per entry forward and one backward, and decompositions.
        kept: what backward reads.
        is_recording: whether gradients are wanted of what is computed now.
    """

    products: int = 0
    others: int = 0
    kept: dict[Memory, None] = field(default_factory=dict)
    is_recording: bool = True

    @property
    def saved(self) -> int:
        """Bytes kept for backward alone."""
        return sum(memory.size for memory in self.kept if not memory.is_held)

    @contextmanager
    def without_gradients(self) -> Iterator[None]:
        before, self.is_recording = self.is_recording, False
        try:
            yield
        finally:
            self.is_recording = before


class Counted:
    """An array that has no values.

    Args:
        ledger: where its operations are entered.
        shape: its sizes.
        learns: whether backward computes its gradient.
        memory: of the array that it shows; by default its own.
        kind: of its entries.
        is_dense: whether its entries lie in memory in order, so that a reshape is a view.
    """

    __array_ufunc__ = None

    def __init__(
        self, ledger: Ledger, shape: Sequence[int], learns: bool = False, memory: Memory | None = None,
        kind: Kind = "float", is_dense: bool = True,
    ) -> None:  # fmt: skip
        self.ledger = ledger
        self.shape = tuple(shape)
        self.learns = learns and ledger.is_recording
        self.memory = memory or Memory(_BYTES[kind] * math.prod(self.shape))
        self.kind = kind
        self.is_dense = is_dense

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def entries(self) -> int:
        return math.prod(self.shape)

    @property
    def flows(self) -> bool:
        """Whether backward passes here: its gradient is wanted, and of what is computed now."""
        return self.learns and self.ledger.is_recording

    def view(self, shape: Sequence[int], is_dense: bool | None = None) -> Counted:
        """The same memory in another shape."""
        dense = self.is_dense if is_dense is None else is_dense
        return Counted(self.ledger, shape, self.learns, self.memory, self.kind, dense)

    def keep(self) -> None:
        """Enter it among what backward reads."""
        if self.ledger.is_recording:
            self.ledger.kept[self.memory] = None

    def __add__(self, other: Any) -> Counted:
        return _entrywise(self, other)

    __radd__ = __sub__ = __rsub__ = __add__

    def __neg__(self) -> Counted:
        return _entrywise(self)

    def __mul__(self, other: Any) -> Counted:
        if isinstance(other, Counted):
            _keep_partners(self, other)
        return _entrywise(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Counted:
        if isinstance(other, Counted):
            if self.flows or other.flows:
                other.keep()
            if other.flows:
                self.keep()
        return _entrywise(self, other, kind="complex" if self.kind == "complex" else "float")

    def __rtruediv__(self, other: Any) -> Counted:
        return _entrywise(keeping_result(self), other)

    def __pow__(self, exponent: Any) -> Counted:
        return keeping_itself(self)

    def __floordiv__(self, other: Any) -> Counted:
        return without_gradient(self, other)

    __rfloordiv__ = __mod__ = __rmod__ = __floordiv__

    def __lt__(self, other: Any) -> Counted:
        return without_gradient(self, other, kind="bool")

    __gt__ = __le__ = __ge__ = __lt__

    def __matmul__(self, other: Counted) -> Counted:
        _keep_partners(self, other)
        left, right = self.shape, other.shape
        rows, columns = left[:-1][-1:], right[1:][-1:]
        leading = broadcast_shape(left[:-2], right[:-2])
        work = 2 * math.prod((*leading, *rows, left[-1], *columns))
        self.ledger.products += work * (1 + self.flows + other.flows)
        return Counted(self.ledger, (*leading, *rows, *columns), self.learns or other.learns)

    def __getitem__(self, key: Any) -> Counted:
        items = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(item, slice) for item in items):
            raise TypeError("a counted array is cut by slices alone")
        cut = [len(range(*item.indices(size))) for item, size in zip(items, self.shape, strict=False)]
        return self.view((*cut, *self.shape[len(items) :]), is_dense=False)


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape of arrays that meet entry by entry."""
    longest = max(map(len, shapes), default=0)
    padded = [(1,) * (longest - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True))


def _keep_partners(left: Counted, right: Counted) -> None:
    """The gradient of each side of a product reads the other."""
    if left.flows:
        right.keep()
    if right.flows:
        left.keep()


def _entrywise(*operands: Any, kind: Kind | None = None) -> Counted:
    """What works entry by entry; plain numbers among the operands take no memory."""
    arrays = [operand for operand in operands if isinstance(operand, Counted)]
    ledger, learns = arrays[0].ledger, any(array.flows for array in arrays)
    found = kind or _common_kind(operands, arrays)
    result = Counted(ledger, broadcast_shape(*(array.shape for array in arrays)), learns, kind=found)
    ledger.others += max(result.entries, *(array.entries for array in arrays)) * (1 + learns)
    return result


def _common_kind(operands: Sequence[Any], arrays: Sequence[Counted]) -> Kind:
    widest = max(_KINDS.index(array.kind) for array in arrays)
    floats = any(isinstance(operand, float) for operand in operands)
    return _KINDS[max(widest, _KINDS.index("float"))] if floats else _KINDS[widest]


def keeping_itself(array: Counted, kind: Kind | None = None) -> Counted:
    """A function of every entry whose derivative is computed from the argument."""
    if array.flows:
        array.keep()
    return _entrywise(array, kind=kind)


def keeping_result(array: Counted) -> Counted:
    """A function of every entry whose derivative is computed from its value."""
    result = _entrywise(array)
    if result.learns:
        result.keep()
    return result


def without_gradient(array: Counted, *others: Any, kind: Kind | None = None) -> Counted:
    """A value that does not change with the argument, or only in steps."""
    with array.ledger.without_gradients():
        return _entrywise(array, *others, kind=kind)


def changed_linearly(array: Counted, shape: Sequence[int], kind: Kind | None = None) -> Counted:
    """A sum, a gather, a copy: new memory, and a backward pass that reads nothing."""
    array.ledger.others += max(array.entries, math.prod(shape)) * (1 + array.flows)
    return Counted(array.ledger, shape, array.flows, kind=kind or array.kind)
