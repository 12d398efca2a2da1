"""The page of what was compared and how closely: `python -m tests.parity.table > docs/parity.md`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch

from tests.parity.beyond import ELSEWHERE, TRAINING
from tests.parity.deviations import FACTORS, FORWARD, INPUT, MERGED, deviations
from tests.parity.peft_methods import Method
from tests.parity.peft_pair import boft_extension
from tests.parity.references import LYCORIS, PEFT, SINGLE, Reference, all_methods, tolerances

HEAD = ("spec", "reference", "configurations", "compared", "float32", "float64", "start", "where they differ")
ALIKE = {"same": "the same", "derived": "the same, up to the signs of singular vectors"}
HOW = f"""\
The references are PEFT {PEFT.version} and LyCORIS {LYCORIS.version}.
Factors are drawn as if after training, and the spec gets them through the table that `specdsl import` and
`specdsl export` read. A deviation is the largest difference over the largest entry of the reference; the worst one of a
method's configurations is given. Models are in evaluation mode, with dropout configured where it says so.
`python -m tests.parity.table` writes this page, and a test holds it to the suite in `tests/parity/`."""
FULL = 1e-10
"""The tolerance in float64 where the reference computes in it."""


def cells(reference: Reference, method: Method, single: str, double: str) -> tuple[str, ...]:
    """The row of a method; its deviations are given, everything else is what the tests assert."""
    missing = {what for one in method.configurations for what in one.without} | {*method.without}
    compared = [what for what in (FORWARD, INPUT, FACTORS, MERGED) if what not in method.without]
    compared = [f"{what} (where it can be)" if what in missing else what for what in compared]
    if method.configurations[0].layer == "Embedding":
        compared.remove(INPUT)
    whats = "; ".join(one.what for one in method.configurations)
    start = ALIKE.get(method.start, method.start)
    name = f"`{method.spec}`"
    return (
        name,
        f"{reference.name} `{method.config}`",
        whats,
        ", ".join(compared),
        single,
        double,
        start,
        method.deviation,
    )


def page(worst: dict[tuple[str, str, torch.dtype], float]) -> str:
    """The whole page; `worst` has the deviation by reference, spec and dtype."""
    methods = list(all_methods())
    full = {(reference.name, method.spec) for reference, method in methods if method.double == FULL}
    single = max(value for (_, _, dtype), value in worst.items() if dtype == torch.float32)
    double = max(
        value for (name, spec, dtype), value in worst.items() if dtype == torch.float64 and (name, spec) in full
    )
    rows = [
        cells(
            reference, method, _number(worst.get((reference.name, method.spec, torch.float32))),
            _number(worst.get((reference.name, method.spec, torch.float64))),
        )
        for reference, method in methods
    ]  # fmt: skip
    count = sum(len(method.configurations) for _, method in methods)
    lines = [
        "# Parity with reference implementations",
        "",
        headline(single, double, len(rows), count),
        "",
        *ELSEWHERE.splitlines(),
        "",
        *HOW.splitlines(),
        "",
        "## Layers",
        "",
        *table(HEAD, rows),
        "",
        "## Beyond the layer",
        "",
        *table(("spec", "reference", "compared", "where they differ"), TRAINING),
    ]
    return "\n".join(lines) + "\n"


def headline(single: float, double: float, methods: int, configurations: int) -> str:
    """The first sentence of the page."""
    return (
        f"The worst deviation from a reference is {single:.1e} in float32 (allowed: {SINGLE:.0e}) and {double:.1e} in "
        f"float64 (allowed: {FULL:.0e}), over {methods} pairs of a method and a reference, and {configurations} "
        "configurations. Where the reference computes in float32 itself, the float64 column is no closer than that and "
        "not part of this number."
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """A table of Markdown, line by line."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |"


def _number(value: float | None) -> str:
    return "not run" if value is None else f"{value:.1e}"


def measured() -> dict[tuple[str, str, torch.dtype], float]:
    """The worst deviation of every method in every dtype."""
    worst: dict[tuple[str, str, torch.dtype], float] = {}
    for reference, method in all_methods():
        for dtype, _ in tolerances(method):
            found = [
                max(deviations(reference.trained_pair(method, one, dtype), (*method.without, *one.without)).values())
                for one in method.configurations
            ]
            worst[reference.name, method.spec, dtype] = max(found)
    return worst


if __name__ == "__main__":
    with warnings.catch_warnings(), boft_extension():
        warnings.simplefilter("ignore")
        print(page(measured()), end="")
