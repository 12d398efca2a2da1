"""Forms at points of a finite field: what a rank or a dimension is there, it is at least over the reals.

Entries are drawn as whole numbers (orthonormal matrices as Cayley transforms of such), so a minor that is not zero
modulo the prime is not zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.field import PRIMES, Field
from specdsl.equivalence.exact.generic import Generic
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.forms.form import Atom, Form, Key, Term
from specdsl.equivalence.forms.index import Slot, Var
from specdsl.equivalence.sets.image import Image, Space
from specdsl.randomness import Stream
from specdsl.sizes import Environment, Size

PRIME = PRIMES[0]
MOST_ENTRIES = 4_500
MOST_PRODUCTS = 4_000_000
"""Of entries, in one contraction of two arrays."""


class FieldPoint:
    """Values of all atoms at one random point; equal keys have equal values.

    Args:
        sizes: the value of every symbol.
        seed: another seed is another point.
    """

    prime: int | None = PRIME
    """None where entries are kept whole."""

    def __init__(self, sizes: Environment, seed: int = 0) -> None:
        self.sizes = dict(sizes)
        self.seed = seed
        self.arrays = ExactArrays(Field(PRIME))
        self.generic = Generic(self.arrays)
        self.known: dict[str, Any] = {}
        self.spaces: dict[str, Space] = {}

    def integer(self, size: Size) -> int:
        return size.integer(self.sizes)

    def shape(self, axes: tuple[Size, ...]) -> tuple[int, ...]:
        return tuple(map(self.integer, axes))

    def over(self, image: Image) -> FieldPoint:
        """The same point, which knows what an image's factors run over."""
        self.spaces |= {space.key(name).token: space for name, space in image.factors.items()}
        return self

    def value(self, form: Form) -> Any:
        """The entries of a form, as whole numbers modulo the prime.

        Raises:
            NotExact: it reads an operator that has no value over the field.
        """
        shape = self.shape(form.axes)
        if int(np.prod(shape, dtype=object)) > MOST_ENTRIES:
            raise NotExact("value", "too many entries for an exact evaluation")
        total = np.zeros(shape, dtype=object)
        for term in form.terms.values():
            total = total + self._term(term, form.axes)
        return total if self.prime is None else total % self.prime

    def _term(self, term: Term, axes: tuple[Size, ...]) -> Any:
        names: dict[Var, int] = {}
        operands: list[Any] = []
        for atom in term.atoms:
            array, labels = self._atom(atom, names)
            operands += [array, labels]
        region: list[slice] = []
        for slot in term.out:
            start = 0
            for place in slot:
                names.setdefault(place.var, len(names))
                start = self.integer(place.offset)
            length = int(np.prod([self.integer(place.var.size) for place in slot], dtype=object)) if slot else 1
            region.append(slice(start, start + length))
        labels, repeats = [], []
        for slot in term.out:
            for place in slot:
                labels.append(names[place.var])
                repeats.append(self.integer(place.var.size))
        for var, label in names.items():
            ones = np.ones(self.integer(var.size), dtype=object)
            operands += [ones, [label]]
        number = self._number(term.coefficient)
        distinct = list(dict.fromkeys(labels))
        value = contracted(operands, distinct, self.prime) if operands else np.array(1, dtype=object)
        value = _spread(value, distinct, labels, repeats)
        lengths = [part.stop - part.start for part in region]
        whole = np.zeros(self.shape(axes), dtype=object)
        whole[tuple(region)] = np.reshape(value, lengths)
        return whole * number

    def _number(self, size: Size) -> Any:
        value = size.value(self.sizes)
        if value == 0:
            raise NotExact("value", f"{size} is zero at these sizes, which says nothing of others")
        return int(self.arrays.ring.number(value))

    def _atom(self, atom: Atom, names: dict[Var, int]) -> tuple[Any, list[int]]:
        array = self.of_key(atom.key)
        if atom.power != 1:
            if atom.power.denominator != 1:
                raise NotExact("sqrt", "a root in a form")
            exponent = int(atom.power)
            if exponent < 0 and any(entry % PRIME == 0 for entry in array.ravel()):
                raise NotExact("divide", "a zero")
            array = np.array([pow(int(entry), exponent, PRIME) for entry in array.ravel()], dtype=object).reshape(
                array.shape
            )
        labels: list[int] = []
        for slot in atom.slots:
            array = self._cut(array, slot, labels, names)
        return array, labels

    def _cut(self, array: Any, slot: Slot, labels: list[int], names: dict[Var, int]) -> Any:
        at = len(labels)
        sizes = [self.integer(place.var.size) for place in slot]
        offset = self.integer(slot[0].offset) if len(slot) == 1 else 0
        length = int(np.prod(sizes)) if sizes else 1
        index = (slice(None),) * at + (slice(offset, offset + length),)
        array = array[index]
        array = array.reshape(array.shape[:at] + tuple(sizes) + array.shape[at + 1 :])
        for place in slot:
            names.setdefault(place.var, len(names))
            labels.append(names[place.var])
        return array

    def of_key(self, key: Key) -> Any:
        if key.token not in self.known:
            self.known[key.token] = np.asarray(self._made(key), dtype=object)
        return self.known[key.token]

    def _made(self, key: Key) -> Any:
        shape = self.shape(key.axes)
        if int(np.prod(shape, dtype=object)) > MOST_ENTRIES:
            raise NotExact(key.name, "too many entries for an exact evaluation")
        space = self.spaces.get(key.token)
        if space is not None and space.rank is not None:
            inner = min(self.integer(space.rank), *shape)
            left = self._random((shape[0], inner), f"{key.token} left")
            right = self._random((inner, shape[1]), f"{key.token} right")
            return left.dot(right) % PRIME
        if space is not None and space.range in ("rotations", "reflections"):
            return self._rotation(space, shape, key.token)
        if key.kind == "select":
            return self._selection(key, shape)
        if key.orthonormal:
            return self._orthonormal(key, shape)
        if key.kind == "mask":
            ones = np.ones(shape, dtype=np.int64)
            return (np.tril(ones) if key.name == "lower" else np.triu(ones)).astype(object)
        if key.kind == "wrap":
            rows = np.arange(shape[0])[:, None] % shape[1] == np.arange(shape[1])
            return rows.astype(np.int64).astype(object)
        if key.kind == "operator":
            return self._operator(key)
        return self._random(shape, key.token)

    def _selection(self, key: Key, shape: tuple[int, ...]) -> Any:
        """Rows of the identity, at places that differ and that another index has not."""
        if len(shape) != 2 or shape[0] > shape[1]:
            raise NotExact("take", "an index of one place, or of more places than there are")
        places = Stream("select", self.seed, key.token).choose(shape[1], shape[0])
        return np.eye(shape[1], dtype=np.int64)[places].astype(object)

    def _orthonormal(self, key: Key, shape: tuple[int, ...]) -> Any:
        array = self.generic.orthonormal((self.seed, key.token), shape)
        return array.value.astype(object)

    def _rotation(self, space: Space, shape: tuple[int, ...], token: str) -> Any:
        """Cayley transforms of random skew matrices; products of random reflections."""
        size = shape[-1]
        if space.count is not None:
            product = np.eye(size, dtype=object)
            for place in range(self.integer(space.count)):
                u = self._random((size,), f"{token} {place}")
                turn = 2 * pow(int(u.dot(u)) % PRIME, -1, PRIME)
                product = (product - product.dot(np.outer(u, u)) % PRIME * turn) % PRIME
            return product
        drawn = self._random(shape, token)
        skew = (drawn - np.swapaxes(drawn, -1, -2)) % PRIME
        one = np.eye(size, dtype=object)
        inverse = self.arrays.inverse(self.arrays.array(((one + skew) % PRIME).astype(np.int64))).value.astype(object)
        return np.matmul((one - skew) % PRIME, inverse) % PRIME

    def _operator(self, key: Key) -> Any:
        if key.name == "entries":
            return self.value(key.arguments[0]).reshape(self.shape(key.axes))
        if key.name == "inverse":
            inner = self.value(key.arguments[0]).astype(np.int64)
            return self.arrays.inverse(self.arrays.array(inner)).value.astype(object)
        raise NotExact(key.name, "it has no value over a finite field")

    def _random(self, shape: tuple[int, ...], token: str) -> Any:
        return self.generic.entries((self.seed, token), shape).value.astype(object)


def contracted(operands: list[Any], out: list[int], prime: int | None) -> Any:
    """The sum over all labels that are not in `out`, two arrays at a time, so that entries stay below the prime.

    Raises:
        NotExact: two of the arrays have too many products of entries.
    """
    arrays = [(operands[at], operands[at + 1]) for at in range(0, len(operands), 2)]
    arrays = [(_traced(array, labels), list(dict.fromkeys(labels))) for array, labels in arrays]
    value, have = arrays[0]
    rest = arrays[1:]
    lengths = {label: length for array, labels in arrays for label, length in zip(labels, array.shape, strict=True)}
    while rest:
        products = [math.prod(lengths[label] for label in {*have, *labels}) for _, labels in rest]
        if min(products) > MOST_PRODUCTS:
            raise NotExact("value", "too many products for an exact evaluation")
        chosen = rest.pop(products.index(min(products)))
        needed = set(out).union(*(labels for _, labels in rest))
        kept = [label for label in dict.fromkeys([*have, *chosen[1]]) if label in needed]
        value = np.einsum(value, have, chosen[0], chosen[1], kept)
        value = value if prime is None else value % prime
        have = kept
    return np.einsum(value, have, out) if have != out else value


def _traced(array: Any, labels: list[int]) -> Any:
    distinct = list(dict.fromkeys(labels))
    return np.einsum(array, labels, distinct) if len(distinct) < len(labels) else array


def _spread(value: Any, distinct: list[int], labels: list[int], sizes: list[int]) -> Any:
    """The value over labels that may repeat, which puts it on a diagonal."""
    if distinct == labels:
        return value
    full = np.zeros(sizes, dtype=object)
    lengths = [sizes[labels.index(label)] for label in distinct]
    for place in np.ndindex(*lengths):
        at = dict(zip(distinct, place, strict=True))
        full[tuple(at[label] for label in labels)] = value[place]
    return full


__all__ = ["PRIME", "FieldPoint"]
