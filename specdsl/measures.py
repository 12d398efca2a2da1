"""What only a running training can know: statistics of data, gradients, running means, ranks, workers.

A spec reads them by name; the front end knows their shapes and says what a spec needs. Their values come from the
runtime, so attaching a spec that needs one the runtime cannot give is an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from specdsl.errors import SpecNameError
from specdsl.operators.registry import Shape

When = Literal["calibration", "event", "round", "allocation"]


@dataclass(frozen=True)
class Measure:
    """One such value.

    Attributes:
        name: as written in a spec.
        when: `calibration`, from batches of data before training; `event`, while training; `round`, between the
            workers of a federation; `allocation`, from all modules together.
        shapes: from the shapes of its arguments to those of its values.
        takes: how many arguments it has, without its options.
        options: the options it may be given by name.
        doc: one line.
        sample: values for the check of the start, from a stream and the shapes as numbers; None takes a normal draw.
    """

    name: str
    when: When
    shapes: Callable[[Sequence[Shape]], tuple[Shape, ...]]
    takes: int
    doc: str
    options: tuple[str, ...] = ()
    sample: Callable[[Any, Sequence[tuple[int, ...]]], tuple[Any, ...]] | None = None


def _same(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    return (tuple(shapes[0]),)


def _number(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    return ((),)


def _covariance(stream: Any, shapes: Sequence[tuple[int, ...]]) -> tuple[Any, ...]:
    n = shapes[0][-1]
    x = stream.normal((2 * n, n))
    return (x.T @ x / (2 * n),)


def _components(stream: Any, shapes: Sequence[tuple[int, ...]]) -> tuple[Any, ...]:
    n = shapes[0][0]
    return stream.orthonormal((n, n)), abs(stream.normal((n,)))


def _squares(stream: Any, shapes: Sequence[tuple[int, ...]]) -> tuple[Any, ...]:
    return (stream.normal(shapes[0]) ** 2,)


def _square(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    return ((shapes[0][-1], shapes[0][-1]),)


_ALL = (
    Measure("cov", "calibration", _square, 1, "`E[x.T@x]` over the tokens of data.", ("samples",), _covariance),
    Measure(
        "pca", "calibration", lambda shapes: (*_square(shapes), (shapes[0][-1],)), 1,
        "`V, explained = pca(x)`: principal directions of x as columns, and their shares of the variance.",
        ("samples",), _components,
    ),
    Measure("average", "calibration", lambda shapes: (tuple(shapes[0][1:]),), 1, "`mean(x)`: the mean token.",
            ("samples",)),
    Measure("grad", "calibration", _same, 1,
            "The gradient of the loss: before training over data, in an event that of the step.", ("samples",)),
    Measure("fisher", "calibration", _same, 1, "The mean square of the gradients of single examples.",
            ("samples",), _squares),
    Measure("prefill", "calibration", _same, 1, '`prefill("TEXT", y)`: the values of y on a text.'),
    Measure("ema", "event", _same, 2, "`ema(X, beta)`: the running mean of X over events."),
    Measure("sensitivity", "event", _same, 1, "AdaLoRA's score: the running mean of |X .* grad(X)| times its spread."),
    Measure("cubic", "event", _number, 2, "`cubic(start, end)`: from start to end along a cubic of the step."),
    Measure("workers", "round", _same, 1, "`mean(workers(X))`: the mean of X over the workers of a round."),
    Measure("allocate", "allocation", _number, 2,
            "`allocate(layers(s), r)[layer]`: ranks from all scores, r per module on average."),
    Measure("grow", "allocation", _number, 3,
            "`grow(r, layers(s), k)`: r, and k more in the modules of the highest score."),
)  # fmt: skip
MEASURES: dict[str, Measure] = {measure.name: measure for measure in _ALL}

EVENTS = {
    "step": "after every step of the optimiser, or once after `step(k)` of them",
    "every": "`every(k)`: after each k steps",
    "backward": "before every step of the optimiser, once its gradients are there",
    "round": "between the rounds of a federation",
}
"""The events of `at EVENT: ASSIGNMENT`, and when they happen."""


def measure(name: str) -> Measure:
    """The measure of that name.

    Raises:
        SpecNameError: there is none.
    """
    if name not in MEASURES:
        raise SpecNameError(f"there is no measure `{name}`")
    return MEASURES[name]
