"""Patterns over named axes, as in einops: `"(a b) c -> a c b"` and `"a b, b c -> a c"`.

A pattern is read once; its sizes are then solved, for symbols while a spec is checked, for numbers while it
runs. Mistakes are raised as ValueError, short; the caller adds the place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from operator import mul
from string import ascii_letters

from specdsl.sizes import Size

Axis = tuple[str, ...]
"""The names that one axis is composed of: one, several (`(a b)`) or none (`1`)."""

_TOKEN = re.compile(r"\(|\)|[A-Za-z]\w*|1|\.\.\.|\S")


def _axes(text: str) -> tuple[Axis, ...]:
    axes: list[Axis] = []
    group: list[str] | None = None
    for token in _TOKEN.findall(text):
        if token == "(" and group is None:
            group = []
        elif token == ")" and group is not None:
            axes.append(tuple(group))
            group = None
        elif token[0].isalpha() and group is not None:
            group.append(token)
        elif token[0].isalpha() or (token == "1" and group is None):
            axes.append(() if token == "1" else (token,))
        else:
            raise ValueError(f"`{token}` cannot stand in the pattern `{text.strip()}`")
    if group is not None:
        raise ValueError(f"a bracket is never closed in the pattern `{text.strip()}`")
    return tuple(axes)


def _sides(pattern: str) -> tuple[str, str]:
    left, arrow, right = pattern.partition("->")
    if not arrow or "->" in right:
        raise ValueError(f"the pattern `{pattern}` has one `->` between its two sides")
    return left, right


def _refuse_repeated(names: list[str], pattern: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the axis `{name}` stands twice on one side of `{pattern}`")


@dataclass(frozen=True)
class Rearrangement:
    """A pattern such as `"(a b) c -> a c b"`: the axes before and after."""

    pattern: str
    left: tuple[Axis, ...]
    right: tuple[Axis, ...]

    @staticmethod
    @cache
    def read(pattern: str) -> Rearrangement:
        left, right = map(_axes, _sides(pattern))
        before, after = ([name for axis in side for name in axis] for side in (left, right))
        _refuse_repeated(before, pattern)
        _refuse_repeated(after, pattern)
        if set(before) != set(after):
            odd = sorted(set(before) ^ set(after))[0]
            raise ValueError(f"the axis `{odd}` stands on only one side of `{pattern}`")
        return Rearrangement(pattern, left, right)

    def sizes(
        self, shape: tuple[Size, ...], given: Mapping[str, Size], same: Callable[[Size, Size, str], None]
    ) -> dict[str, Size]:
        """The size of every named axis.

        Args:
            shape: of the array.
            given: sizes stated by name.
            same: demands that two sizes are equal.
        """
        if len(shape) != len(self.left):
            raise ValueError(f"the pattern `{self.pattern}` is for {len(self.left)} axes, but there are {len(shape)}")
        sizes = dict(given)
        for axis, size in zip(self.left, shape, strict=True):
            open_names = [name for name in axis if name not in sizes]
            if len(open_names) > 1:
                raise ValueError(f"the sizes of `{'`, `'.join(open_names)}` in `{self.pattern}` have to be given")
            known = product(sizes[name] for name in axis if name in sizes)
            if open_names:
                sizes[open_names[0]] = size / known
            else:
                same(size, known, f"the pattern `{self.pattern}`")
        for name in given:
            if not any(name in axis for axis in self.left):
                raise ValueError(f"`{name}` is no axis of `{self.pattern}`")
        return sizes

    def result(self, sizes: Mapping[str, Size]) -> tuple[Size, ...]:
        return tuple(product(sizes[name] for name in axis) for axis in self.right)


@lru_cache(maxsize=1024)
def rearrange_steps(
    pattern: str, shape: tuple[int, ...], given: tuple[tuple[str, int], ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """What carries a pattern out: the shape with an axis per name, their new order, the shape of the result.

    >>> rearrange_steps("(a b) c -> a c b", (6, 5), (("a", 2),))
    ((2, 3, 5), (0, 2, 1), (2, 5, 3))
    """
    plan = Rearrangement.read(pattern)
    stated = {name: Size.of(size) for name, size in given}
    sizes = plan.sizes(tuple(map(Size.of, shape)), stated, _refuse_different)
    before = [name for axis in plan.left for name in axis]
    order = tuple(before.index(name) for axis in plan.right for name in axis)
    return tuple(_number(sizes[name]) for name in before), order, tuple(map(_number, plan.result(sizes)))


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes, 1 of none."""
    return reduce(mul, sizes, Size.of(1))


def _number(size: Size) -> int:
    return size.integer({})


def _refuse_different(left: Size, right: Size, why: str) -> None:
    if left != right:
        raise ValueError(f"{why}: {left} is not {right}")


@cache
def einsum_letters(pattern: str) -> str:
    """A pattern with blanks between names, in numpy's notation.

    >>> einsum_letters("k, k n r -> n r")
    'a,abc->bc'
    """
    inputs, output = einsum_axes(pattern)
    names: dict[str, str] = {}
    for name in (name for axes in inputs for name in axes):
        names.setdefault(name, ascii_letters[len(names)])
    sides = [
        ",".join("".join(names[name] for name in axes) for axes in inputs),
        "".join(names[n] for n in output),
    ]
    return "->".join(sides)


@cache
def einsum_axes(pattern: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """The names of the axes of each array, and of the result."""
    left, right = _sides(pattern)
    inputs = tuple(_names(part, pattern) for part in left.split(","))
    output = _names(right, pattern)
    _refuse_repeated(list(output), pattern)
    known = {name for axes in inputs for name in axes}
    if len(known) > len(ascii_letters):
        raise ValueError(f"a pattern has at most {len(ascii_letters)} axes")
    for name in output:
        if name not in known:
            raise ValueError(f"the axis `{name}` stands only on the right of `{pattern}`")
    return inputs, output


def _names(text: str, pattern: str) -> tuple[str, ...]:
    axes = _axes(text)
    if any(len(axis) != 1 for axis in axes):
        raise ValueError(f"`einsum` has plain axes only, without brackets and 1: `{pattern}`")
    return tuple(axis[0] for axis in axes)
