"""Contractions over named axes in any ring, two arrays at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from specdsl.equivalence.exact.ring import Entries, Ring


def contract(ring: Ring, inputs: Sequence[str], output: str, arrays: Sequence[Entries]) -> Entries:
    """The sum over all axes that are not in `output`, as `einsum`.

    Args:
        inputs: the axes of every array, a letter each.
    """
    value, axes = _without_repeats(arrays[0], inputs[0])
    value, axes = _summed(ring, value, axes, set(output).union(*inputs[1:]))
    for place, array in enumerate(arrays[1:], 1):
        later = set(output).union(*inputs[place + 1 :])
        other, others = _without_repeats(array, inputs[place])
        other, others = _summed(ring, other, others, later | set(axes))
        joined = "".join(dict.fromkeys(axes + others))
        product = ring.times(_over(value, axes, joined), _over(other, others, joined))
        value, axes = _summed(ring, product, joined, later)
    return value.transpose([axes.index(axis) for axis in output])


def _without_repeats(array: Entries, axes: str) -> tuple[Entries, str]:
    """Equal axes of one array become its diagonal."""
    for axis in axes:
        while axes.count(axis) > 1:
            first, second = axes.index(axis), axes.rindex(axis)
            array = np.moveaxis(np.diagonal(array, axis1=first, axis2=second), -1, first)
            axes = axes[:second] + axes[second + 1 :]
    return array, axes


def _summed(ring: Ring, array: Entries, axes: str, wanted: set[str]) -> tuple[Entries, str]:
    gone = tuple(place for place, axis in enumerate(axes) if axis not in wanted)
    return (ring.sum(array, gone) if gone else array), "".join(axis for axis in axes if axis in wanted)


def _over(array: Entries, axes: str, joined: str) -> Entries:
    """The array with its axes in the order of `joined`, and axes of size 1 for those it has not."""
    order = [axis for axis in joined if axis in axes]
    moved = array.transpose([axes.index(axis) for axis in order])
    sizes = dict(zip(order, moved.shape, strict=True))
    return moved.reshape([sizes.get(axis, 1) for axis in joined])
