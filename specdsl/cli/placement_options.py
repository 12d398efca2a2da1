"""`--on`, `--except`, `--layers` and `--train`: where a spec goes, in place of what it says itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from specdsl.errors import SpecSettingError
from specdsl.layer_ranges import layer_numbers

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Placement:
    """The options as `survey`, `attach` and `fine_tune` take them; None where an option is not given."""

    on: list[str] | None
    exclude: list[str]
    layers: list[int] | None
    train: list[str] | None

    @staticmethod
    def of(on: Sequence[str], excepted: Sequence[str], layers: str | None, train: Sequence[str]) -> Placement:
        return Placement(
            items_in(on) or None, items_in(excepted), None if layers is None else layer_numbers(layers),
            items_in(train) or None,
        )  # fmt: skip


def placement_options(command: F) -> F:
    """Add the options that `Placement.of` reads, as `on`, `excepted`, `layers` and `train`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--on", multiple=True, metavar="ITEM,...",
        help="Adapt these in place of the spec's own: roles such as attention.query, mlp, or re:PATTERN.",
    ),
    click.option("--except", "excepted", multiple=True, metavar="ITEM,...", help="Leave these out."),
    click.option("--layers", metavar="0..5,11", help="Adapt these blocks only, counted from 0."),
    click.option(
        "--train", multiple=True, metavar="ITEM,...", help="Train these whole, and save them with the adapter."
    ),
)  # fmt: skip


def items_in(texts: Sequence[str]) -> list[str]:
    """The items of comma-separated lists; a comma inside brackets belongs to a pattern.

    >>> items_in(["attention.query, mlp", r"re:.*[.](3|4)[.]\\w{1,9}"])
    ['attention.query', 'mlp', 're:.*[.](3|4)[.]\\\\w{1,9}']
    """
    items: list[str] = []
    for text in texts:
        start = depth = 0
        for place, character in enumerate(text):
            depth = max(0, depth + (character in "([{") - (character in ")]}"))
            if character == "," and depth == 0:
                items.append(text[start:place].strip())
                start = place + 1
        items.append(text[start:].strip())
    if texts and not all(items):
        raise SpecSettingError(f"`{', '.join(texts)}` has an empty item", hint="items are separated by one comma")
    return items
