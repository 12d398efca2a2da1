"""`--set r=16`: values of hyper-parameters, and of `index` factors as `--set I=[3,17]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

import click

from specdsl import limits
from specdsl.errors import SpecLimitError, SpecSettingError

F = TypeVar("F", bound=Callable[..., Any])

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_FRACTION = re.compile(r"[+-]?\d+/\d*[1-9]\d*")
_WHOLE = re.compile(r"\s*\d+\s*")


@dataclass(frozen=True)
class Settings:
    """Values from outside, by name.

    Attributes:
        numbers: of hyper-parameters; a text that is no number is left to the spec to refuse.
        indices: of `index` factors.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    indices: dict[str, list[int]] = field(default_factory=dict)

    @staticmethod
    def of(texts: Sequence[str]) -> Settings:
        """The settings of `name=value` texts.

        Raises:
            SpecSettingError: a text is no `name=value`, or a name is set twice.

        >>> Settings.of(["r=16", "s=1/2", "I=[3, 17]"])
        Settings(numbers={'r': 16, 's': Fraction(1, 2)}, indices={'I': [3, 17]})
        """
        settings = Settings()
        for text in texts:
            name, equals, value = (part.strip() for part in text.partition("="))
            if not equals or not name.isidentifier() or not value:
                raise SpecSettingError(f"`--set {text}` sets nothing", hint="write `--set r=16`")
            if name in settings.numbers or name in settings.indices:
                raise SpecSettingError(f"`{name}` is set twice")
            if value.startswith("["):
                settings.indices[name] = _indices(name, value)
            else:
                settings.numbers[name] = _number(name, value)
        return settings


def set_option(command: F) -> F:
    """Add `--set`, whose texts `Settings.of` reads."""
    return click.option(
        "--set", "set_texts", multiple=True, metavar="NAME=VALUE",
        help="Value of a hyper-parameter, such as r=16; may be repeated.",
    )(command)  # fmt: skip


def _number(name: str, text: str) -> int | float | Fraction | str:
    plain = text.replace("_", "")
    if len(plain) > limits.DIGITS:
        raise SpecLimitError(f"`{name}`: a number has at most {limits.DIGITS} digits")
    if _FRACTION.fullmatch(plain):
        return Fraction(plain)
    if not _NUMBER.fullmatch(plain):
        return text
    exponent = plain.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > limits.DIGITS:
        raise SpecLimitError(f"`{name}`: an exponent of ten is at most {limits.DIGITS}")
    number = Fraction(plain)
    return int(number) if number.denominator == 1 else number


def _indices(name: str, text: str) -> list[int]:
    parts = text.removeprefix("[").removesuffix("]").split(",")
    if not text.endswith("]") or not all(_WHOLE.fullmatch(part) and len(part) < 12 for part in parts):
        raise SpecSettingError(f"`{name}` is a list of whole numbers, not {text}", hint=f"write `{name}=[3,17]`")
    return [int(part) for part in parts]
