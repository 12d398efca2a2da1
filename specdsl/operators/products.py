"""The operators behind the language's signs: sums, products, powers, transposition, blocks.

Their names are not written in a spec; `A @ B` is `matmul`, `A .* B` is `times`, and so on. Shape rules that
depend on how a vector meets a matrix live in `specdsl.elaborate.broadcasting`.
"""

from __future__ import annotations

from typing import Any

from specdsl.arrays import Array, Arrays, transpose
from specdsl.operators.registry import Option, operator
from specdsl.sizes import Size


@operator("add", "..., ... -> ...", form="value", facts=["elementwise"], latex="{0} + {1}", variadic=True)
def add(xp: Arrays, *terms: Array) -> Array:
    """`A + B + ...`; a number is added to every entry."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


@operator("negative", "... -> ...", form="value",
          facts=["elementwise", "linear", "keeps_zero", "involution"], latex="-{0}",
          torch="-{0:unary}")  # fmt: skip
def negative(xp: Arrays, A: Array) -> Array:
    """`-A`."""
    return -A


@operator(
    "matmul", "n m, m k -> n k", form="value", facts=["multilinear", "keeps_zero"], variadic=True, latex=r"{0} {1}"
)
def matmul(xp: Arrays, *operands: Array) -> Array:
    """`A @ B @ ...`, from left to right; a vector at the left end is a row."""
    product = operands[0]
    for operand in operands[1:]:
        product = product @ operand
    return product


@operator("scale", "(), ... -> ...", form="value", facts=["multilinear", "keeps_zero"], latex=r"{0}\, {1}")
def scale(xp: Arrays, factor: Array, A: Array) -> Array:
    """`s * A`, a number times an array."""
    return factor * A


@operator("times", "..., ... -> ...", form="value", facts=["elementwise", "multilinear", "keeps_zero"],
          latex=r"{0} \odot {1}")  # fmt: skip
def times(xp: Arrays, A: Array, B: Array) -> Array:
    """`A .* B`, entry by entry; a vector scales the columns."""
    return A * B


@operator("scale_rows", "... k, ... k m -> ... k m", form="value", facts=["multilinear", "keeps_zero"],
          torch="{0:atom}.unsqueeze(-1) * {1:unary}", latex=r"\operatorname{{diag}}({0})\, {1}")  # fmt: skip
def scale_rows(xp: Arrays, v: Array, M: Array) -> Array:
    """`diag(v)@M`: every row of M times its entry of v."""
    return xp.reshape(v, (*v.shape, 1)) * M


def _divide_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    shape = random.integers(1, 6, size=2)
    return [random.normal(size=shape), 1.0 + random.random(size=shape)], {}


@operator("divide", "..., ... -> ...", form="value", facts=["elementwise", "keeps_zero"], samples=_divide_samples,
          latex=r"{0} \oslash {1}")  # fmt: skip
def divide(xp: Arrays, A: Array, B: Array) -> Array:
    """`A ./ B`, entry by entry; `A / s` by a number."""
    return A / B


def _power_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    shape, exponent = random.integers(1, 6, size=2), float(random.integers(-1, 4)) / 2
    return [0.5 + random.random(size=shape)], {"exponent": exponent}


@operator("elpower", "... -> ...", form="value", facts=["elementwise"], options=[Option("exponent", "number")],
          samples=_power_samples, latex=r"{0}^{{\circ {exponent}}}")  # fmt: skip
def elpower(xp: Arrays, A: Array, exponent: float) -> Array:
    """`A .^ p`, every entry to the power p."""
    return A ** (int(exponent) if float(exponent).is_integer() else float(exponent))


def _matpower_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    k = int(random.integers(1, 6))
    return [random.normal(size=(k, k))], {"exponent": int(random.integers(1, 5))}


@operator("matpower", "k k -> k k", form="value", options=[Option("exponent", "size")], latex="{0}^{{{exponent}}}",
          samples=_matpower_samples, torch="torch.linalg.matrix_power({0}, {exponent})")  # fmt: skip
def matpower(xp: Arrays, A: Array, exponent: int) -> Array:
    """`A ^ k`, a small whole power of a square matrix."""
    product = A
    for _ in range(exponent - 1):
        product = product @ A
    return product


@operator(
    "transpose", "... n m -> ... m n", form="value", facts=["linear", "keeps_zero", "involution"], latex=r"{0}^\top"
)
def transposed(xp: Arrays, A: Array) -> Array:
    """`A.T`, the last two axes exchanged."""
    return transpose(xp, A)


@operator("hcat", "n a, n b -> n a+b", form="value",
          variadic=True, latex=r"\begin{{bmatrix}} {0} & {1} \end{{bmatrix}}",
          torch="torch.cat([{all}], dim=-1)")  # fmt: skip
def hcat(xp: Arrays, *parts: Array) -> Array:
    """`[A, B]`, side by side."""
    return xp.concat(parts, -1)


@operator("vcat", "a m, b m -> a+b m", form="value",
          variadic=True, latex=r"\begin{{bmatrix}} {0} \\ {1} \end{{bmatrix}}",
          torch="torch.cat([{all}], dim=-2)")  # fmt: skip
def vcat(xp: Arrays, *parts: Array) -> Array:
    """`[A; B]`, one above the other."""
    return xp.concat(parts, -2)


@operator("stack", "..., ... -> ...", form="value",
          variadic=True, torch="torch.stack([{all}])", latex=r"\left[ {0}; {1} \right]",
          shape=lambda context, shapes, options: (Size.of(len(shapes)), *shapes[0]),
          samples=lambda random: ([random.normal(size=(3, 2)) for _ in range(random.integers(1, 5))], {}))  # fmt: skip
def stack(xp: Arrays, *entries: Array) -> Array:
    """`[E for i < k]`: arrays of one shape as the entries of a new first axis."""
    if isinstance(entries[0], float):
        return xp.concat([xp.full((1,), entry) for entry in entries], 0)
    return xp.concat([xp.reshape(entry, (1, *entry.shape)) for entry in entries], 0)


@operator("stop", "... -> ...", form="value", facts=["constant", "keeps_zero", "idempotent"],
          latex=r"\operatorname{{sg}}({0})", torch="{0:atom}.detach()")  # fmt: skip
def stop(xp: Arrays, A: Array) -> Array:
    """`stop(A)`: the value of A, through which no gradient flows."""
    return xp.stop(A)


@operator("numbers", "(), () -> k", form="value", variadic=True, torch="torch.stack([{all}])",
          shape=lambda context, shapes, options: (Size.of(len(shapes)),),
          samples=lambda random: ([random.normal(size=()) for _ in range(random.integers(1, 5))], {}),
          latex=r"\begin{{bmatrix}} {0} & {1} \end{{bmatrix}}")  # fmt: skip
def numbers(xp: Arrays, *entries: Array) -> Array:
    """`[a, b]`, numbers as the entries of a vector."""
    return xp.concat([xp.reshape(entry, (1,)) for entry in entries], 0)


def _fill_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    return [random.normal(size=())], {"shape": tuple(int(size) for size in random.integers(1, 6, size=2))}


@operator("fill", "() -> k", form="value", options=[Option("shape", "size")], samples=_fill_samples, latex="{0}",
          shape=lambda context, shapes, options: options["shape"])  # fmt: skip
def fill(xp: Arrays, number: Array, shape: tuple[int, ...]) -> Array:
    """A number at every entry, as in the start `d ~ 0.1`."""
    return xp.broadcast(number, shape)
