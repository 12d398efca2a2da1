"""Random starts. A start is drawn once, at attach, from the stream of its factor: regenerated, not stored.

Every draw takes a `specdsl.randomness.Stream` and a shape and gives float64 numbers, or int64 places. `seed=`
picks another stream; the draw itself does not read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from specdsl.errors import SpecSettingError
from specdsl.operators.registry import Fact, Operator, Option, Samples, add_operator

if TYPE_CHECKING:
    from specdsl.randomness import Stream

Draw = Callable[..., Any]


def random_start(
    name: str, options: Sequence[Option] = (), samples: Samples | None = None, facts: Sequence[Fact] = ()
) -> Callable[[Draw], Draw]:
    """Register the decorated draw as the random start `name`; its docstring is the line of documentation."""

    def undrawn(xp: Any, **options: Any) -> NoReturn:
        raise TypeError(f"`{name}` is random: it is drawn at attach and has no value that can be computed again")

    def register(draw: Draw) -> Draw:
        doc, with_seed = (draw.__doc__ or "").strip(), (*options, Option("seed", "number", None))
        add_operator(
            Operator(
                name,
                "-> ...",
                undrawn,
                doc,
                frozenset(facts),
                options=with_seed,
                samples=samples or _a_matrix,
                draw=draw,
                is_start=True,
            )
        )
        return draw

    return register


def _a_matrix(random: Any) -> tuple[list[Any], dict[str, Any]]:
    return [], {"shape": tuple(int(size) for size in random.integers(1, 7, size=2))}


def _places(random: Any) -> tuple[list[Any], dict[str, Any]]:
    count = int(random.integers(1, 7))
    return [], {"shape": (count,), "n": count + int(random.integers(0, 7))}


@random_start("kaiming", [Option("fan", "size", None)])
def kaiming(stream: Stream, shape: Sequence[int], fan: int | None = None, seed: Any = None) -> Any:
    """Uniform between -1/sqrt(fan) and 1/sqrt(fan); `fan` is the number of rows (of a vector its entries)."""
    rows = (shape[-2] if len(shape) > 1 else math.prod(shape)) if fan is None else fan
    return (2.0 * stream.uniform(shape) - 1.0) / math.sqrt(rows)


@random_start("xavier")
def xavier(stream: Stream, shape: Sequence[int], seed: Any = None) -> Any:
    """Uniform between -a and a, `a = sqrt(6 / (rows + columns))`; a vector is a row."""
    rows, columns = (1, 1, *shape)[-2:]
    return (2.0 * stream.uniform(shape) - 1.0) * math.sqrt(6.0 / (rows + columns))


@random_start("normal", [Option("std", "number", 1)])
def normal(stream: Stream, shape: Sequence[int], std: float = 1.0, seed: Any = None) -> Any:
    """Normal with mean 0 and standard deviation `std`."""
    return float(std) * stream.normal(shape)


@random_start(
    "uniform", [Option("low", "number"), Option("high", "number")],
    samples=lambda random: ([], {"shape": (3, int(random.integers(1, 7))), "low": -1.5, "high": 0.5}),
)  # fmt: skip
def uniform(stream: Stream, shape: Sequence[int], low: float, high: float, seed: Any = None) -> Any:
    """Uniform from `low` up to but without `high`."""
    if not low < high:
        raise SpecSettingError(f"`uniform` takes a range, but {low:g} is not below {high:g}")
    return float(low) + (float(high) - float(low)) * stream.uniform(shape)


@random_start("orthogonal")
def orthogonal(stream: Stream, shape: Sequence[int], seed: Any = None) -> Any:
    """Orthonormal columns (rows, if wide), uniform among all such matrices."""
    if len(shape) < 2:
        raise SpecSettingError("`orthogonal` starts matrices, not vectors or numbers")
    return stream.orthonormal(shape)


@random_start("choice", [Option("n", "size")], samples=_places, facts=["places"])
def choice(stream: Stream, shape: Sequence[int], n: int, seed: Any = None) -> Any:
    """Different places among 0, ..., n - 1, in random order: `index I : r ~ choice(n)`."""
    count = math.prod(shape)
    if count > n:
        raise SpecSettingError(f"`choice({n})` has {n} different places, but {count} are wanted")
    return stream.choose(n, count).reshape(tuple(shape))


@random_start("balanced", [Option("n", "size")], samples=_places, facts=["places"])
def balanced(stream: Stream, shape: Sequence[int], n: int, seed: Any = None) -> Any:
    """Places among 0, ..., n - 1 in random order, each equally often (the first once more, if need be)."""
    return (stream.permutation(math.prod(shape)) % n).reshape(tuple(shape))
