"""The page of what was compared and how closely: `python -m tests.parity.table > docs/parity.md`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch

from tests.parity import dropout_pair, prompt_pair
from tests.parity.beyond import ELSEWHERE, TRAINING
from tests.parity.deviations import FACTORS, FORWARD, INPUT, MERGED, deviations
from tests.parity.dropout_methods import DROPOUT, Dropped
from tests.parity.peft_methods import Method
from tests.parity.peft_pair import boft_extension
from tests.parity.prompt_methods import PROMPTS, PromptMethod
from tests.parity.references import LYCORIS, PEFT, SINGLE, Reference, all_methods, tolerances

Worst = dict[tuple[str, str, torch.dtype], float]
HEAD = ("spec", "reference", "configurations", "compared", "float32", "float64", "start", "where they differ")
DROPOUT_HEAD = ("method", "spec", "reference", "configurations", "float32", "float64", "what PEFT does")
DTYPES = (torch.float32, torch.float64)
ALIKE = {"same": "the same", "derived": "the same, up to the signs of singular vectors"}
HOW = f"""\
The references are PEFT {PEFT.version} and LyCORIS {LYCORIS.version}.
Factors are drawn as if after training, and the spec gets them through the table that `specdsl import` and
`specdsl export` read. A deviation is the largest difference over the largest entry of the reference; the worst one of a
method's configurations is given. Models are in evaluation mode but in the second table, with dropout configured where
it says so.
`python -m tests.parity.table` writes this page, and a test holds it to the suite in `tests/parity/`."""
ROWS = """\
Rows in front of the tokens, or of keys and values, in small models of transformers: the logits of two sequences, one of
them padded, and the gradients of all that is trained, carried to PEFT's parameters."""
TRAINED = """\
In training mode, with the same seed before every pass of both, so that both drop the same: output, gradients of the
input and of all factors over six draws. The specs say what PEFT computes there; without dropout they are the methods
above. PEFT's `boft_dropout` and `pvera_dropout` are not compared: the one turns blocks at random into the identity,
which no operator does, the other is drawn between the noises of the method."""
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


def prompt_cells(method: PromptMethod, single: str, double: str) -> tuple[str, ...]:
    """The row of a method that adds rows to the tokens."""
    whats = "; ".join(one.what for one in method.settings)
    start = ALIKE.get(method.start, method.start)
    compared = f"{FORWARD}, {FACTORS}"
    return (f"`{method.spec}`", f"PEFT `{method.config}`", whats, compared, single, double, start, method.deviation)


def dropout_cells(dropped: Dropped, single: str, double: str) -> tuple[str, ...]:
    """The row of a method with dropout in training."""
    method = dropped.method
    options = "".join(f", `{name}`" for name, value in method.options.items() if value is True)
    reference = f"PEFT `{method.config}`, `{dropped.probability}`{options}"
    whats = "; ".join(one.what for one in method.configurations)
    return (f"`{method.spec}`", f"`{dropped.text}`", reference, whats, single, double, dropped.deviation)


def page(worst: Worst) -> str:
    """The whole page; `worst` has the deviation by reference, spec and dtype, with dropout by its text."""
    methods = list(all_methods())
    full = {(reference.name, method.spec) for reference, method in methods if method.double == FULL}
    full |= {(PEFT.name, method.spec) for method in PROMPTS if method.double == FULL}
    full |= {(PEFT.name, dropped.text) for dropped in DROPOUT if dropped.method.double == FULL}
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
    prompts = [
        prompt_cells(method, *(_number(worst[PEFT.name, method.spec, dtype]) for dtype in DTYPES)) for method in PROMPTS
    ]
    trained = [
        dropout_cells(dropped, *(_number(worst[PEFT.name, dropped.text, dtype]) for dtype in DTYPES))
        for dropped in DROPOUT
    ]
    lines = [
        "# Parity with reference implementations",
        "",
        headline(single, double),
        "",
        *ELSEWHERE.splitlines(),
        "",
        *HOW.splitlines(),
        "",
        "## Layers",
        "",
        *table(HEAD, rows),
        "",
        "## Dropout in training",
        "",
        *TRAINED.splitlines(),
        "",
        *table(DROPOUT_HEAD, trained),
        "",
        "## Prompts and prefixes",
        "",
        *ROWS.splitlines(),
        "",
        *table(HEAD, prompts),
        "",
        "## Beyond the layer",
        "",
        *table(("spec", "reference", "compared", "where they differ"), TRAINING),
    ]
    return "\n".join(lines) + "\n"


def headline(single: float, double: float) -> str:
    """The first sentence of the page."""
    compared = [len(method.configurations) for _, method in all_methods()]
    compared += [len(dropped.method.configurations) for dropped in DROPOUT] + [len(one.settings) for one in PROMPTS]
    methods, configurations = len(compared), sum(compared)
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


def measured() -> Worst:
    """The worst deviation of every method in every dtype."""
    worst: Worst = {}
    for reference, method in all_methods():
        for dtype, _ in tolerances(method):
            found = [
                max(deviations(reference.trained_pair(method, one, dtype), (*method.without, *one.without)).values())
                for one in method.configurations
            ]
            worst[reference.name, method.spec, dtype] = max(found)
    for dropped in DROPOUT:
        for dtype, _ in tolerances(dropped.method):
            each = [dropout_pair.dropout_deviations(dropped, one, dtype) for one in dropped.method.configurations]
            worst[PEFT.name, dropped.text, dtype] = max(max(one.values()) for one in each)
    for prompt in PROMPTS:
        for dtype, _ in tolerances(prompt):
            pairs = (prompt_pair.trained_pair(prompt, one, dtype) for one in prompt.settings)
            worst[PEFT.name, prompt.spec, dtype] = max(max(prompt_pair.deviations(pair).values()) for pair in pairs)
    return worst


if __name__ == "__main__":
    with warnings.catch_warnings(), boft_extension():
        warnings.simplefilter("ignore")
        print(page(measured()), end="")
