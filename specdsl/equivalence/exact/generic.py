"""Random entries and matrices over a ring, drawn from a key alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.field import Field
from specdsl.randomness import Stream

Key = tuple[str | int, ...]
Kind = Literal["generic", "start", "small", "larger"]

SMALL = (-1, 0, 1, 2)
"""The entries of a witness."""
_LARGER = 20
"""The largest entry of a witness that small ones do not give: what is added to singular values has to exceed them."""
_REACH = 60


class Generic:
    """Draws over one ring.

    Args:
        xp: the namespace.
        kind: `small` draws from -1, 0, 1, 2 and `larger` from -20 to 20, for witnesses; the others from the whole
            field, or from a range of whole numbers.
    """

    def __init__(self, xp: ExactArrays, kind: Kind = "generic") -> None:
        self.xp, self.kind = xp, kind
        self.is_small = kind in ("small", "larger")

    def entries(self, key: Key, shape: Sequence[int]) -> ExactArray:
        """Any entries."""
        words = Stream("exact", *key).words(math.prod(shape)) >> np.uint64(2)
        if self.kind == "small":
            drawn = np.array(SMALL, dtype=np.int64)[(words % np.uint64(len(SMALL))).astype(np.int64)]
        elif self.kind == "larger":
            drawn = (words % np.uint64(2 * _LARGER + 1)).astype(np.int64) - _LARGER
        elif isinstance(self.xp.ring, Field):
            drawn = (words % np.uint64(self.xp.ring.prime)).astype(np.int64)
        else:
            drawn = (words % np.uint64(2 * _REACH)).astype(np.int64) - _REACH
            drawn = np.where(drawn >= 0, drawn + 1, drawn)
        return self.xp.array(drawn.reshape(tuple(shape)))

    def signs(self, key: Key, count: int) -> Any:
        """1 or -1."""
        return 1 - 2 * (Stream("signs", *key).words(count) % np.uint64(2)).astype(np.int64)

    def orthogonal(self, key: Key, size: int) -> ExactArray:
        """An orthogonal matrix of either determinant: a Cayley transform times reflections.

        A small one is in half of the cases a permutation with signs.
        """
        signs = self.signs(key, size)
        if self.is_small and self.signs(("permuted", *key), 1)[0] > 0:
            places = Stream("permutation", *key).permutation(size)
            return self.xp.array(np.eye(size, dtype=np.int64)[places] * signs)
        rest = self._slopes(("slopes", *key), size)
        one = self.xp.eye(size)
        made: ExactArray = (one - rest) @ self.xp.inverse(one + rest) * signs
        return made

    def _slopes(self, key: Key, size: int) -> ExactArray:
        """A skew matrix; over the rationals of -1, 0 and 1, so that the fractions stay short."""
        if isinstance(self.xp.ring, Field):
            drawn = self.entries(key, (size, size))
        else:
            words = Stream("exact", *key).words(size * size)
            drawn = self.xp.array(((words % np.uint64(3)).astype(np.int64) - 1).reshape(size, size))
        mask = np.triu(np.ones((size, size), dtype=bool), 1)
        above = self.xp.where(mask, drawn, 0)
        made: ExactArray = above - self.xp.permute(above, (1, 0))
        return made

    def orthonormal(self, key: Key, shape: Sequence[int]) -> ExactArray:
        """Matrices with orthonormal columns (rows, if wide): cut from an orthogonal one; leading axes are a stack."""
        *leading, rows, columns = shape
        if leading:
            parts = [self.orthonormal((*key, i), (rows, columns)) for i in range(math.prod(leading))]
            stacked = self.xp.concat([self.xp.reshape(part, (1, rows, columns)) for part in parts], 0)
            stack: ExactArray = self.xp.reshape(stacked, shape)
            return stack
        whole = self.orthogonal(key, max(rows, columns))
        made: ExactArray = self.xp.slice(self.xp.slice(whole, 0, 0, rows), 1, 0, columns)
        return made

    def squares(self, key: Key, count: int) -> ExactArray:
        """Squares, not zero and all different; descending where the numbers are ordered."""
        if not self.xp.ring.is_ordered:
            roots = self.entries(key, (count,))
            squares = roots * roots
            self.xp.ring.squares.update(int(entry) for entry in squares.value)
            return squares
        reach = count + (2 if self.is_small else 2 * count)
        chosen = 1 + Stream("squares", *key).choose(reach, count)
        return self.xp.array(np.sort(chosen)[::-1] ** 2)
