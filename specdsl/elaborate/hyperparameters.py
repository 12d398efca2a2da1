"""Hyper-parameters: numbers that are free of sizes, their values and bounds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

from specdsl import limits
from specdsl.elaborate.clauses import Clauses
from specdsl.errors import (
    SpecLimitError,
    SpecNameError,
    SpecSettingError,
    did_you_mean,
)
from specdsl.ir import (
    HyperParameter,
)
from specdsl.sizes import Size, UnknownSize, format_number
from specdsl.source import Span


class HyperParameters(dict[str, HyperParameter]):
    """The hyper-parameters found so far, by name."""

    def number(self, size: Size) -> Any:
        """The value of a size made of hyper-parameters alone, else None."""
        try:
            return size.value(_HyperValues(self)) if not size.has_layers() else None
        except (UnknownSize, ZeroDivisionError, ValueError, OverflowError):
            return None

    def undefined(self, size: Size) -> str | None:
        if size.has_layers() or size.constant is not None or size.symbols - self.keys():
            return None
        try:
            size.value(_HyperValues(self))
        except UnknownSize:
            return None  # a hyper-parameter that it reads depends on sizes, which is an error of its own
        except ZeroDivisionError:
            why = "division by zero"
        except (ValueError, OverflowError) as error:
            why = str(error)
        else:
            return None
        numbers = (f"{name} = {format_number(self.number(Size.symbol(name)))}" for name in sorted(size.symbols))
        return f"{why} at {', '.join(numbers)}"

    def bound(self, name: str, size: Size, span: Span) -> None:
        value = self.number(size)
        if value is not None and abs(value) > limits.SIZE:
            raise SpecLimitError(f"`{name}` is more than 2^31", span)

    def bound_size(self, size: Size, span: Span) -> None:
        value = self.number(size)
        if value is not None and value > limits.SIZE:
            raise SpecLimitError("a size, and the number of entries of a factor, is at most 2^31", span)


class _HyperValues(dict[str, Any]):
    """Values of hyper-parameters, found when they are asked for."""

    def __init__(self, hyper: Mapping[str, HyperParameter]) -> None:
        super().__init__()
        self.hyper = hyper

    def __contains__(self, name: object) -> bool:
        return name in self.hyper

    def __missing__(self, name: str) -> Any:
        return self.hyper[name].value.value(self)


def setting_size(name: str, value: Any) -> Size:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpecSettingError(f"`{name}` is a number, not {value!r}")
    try:
        if isinstance(value, Rational):  # whole numbers of numpy too
            return Size.of(Fraction(int(value.numerator), int(value.denominator)))
        return Size.of(Fraction(str(float(value))))
    except (ValueError, OverflowError):
        raise SpecSettingError(f"`{name}` is a finite number, not {value!r}") from None


ARGUMENTS_ELSEWHERE = {
    "target_modules": "where it goes is `on=`",
    "layers_to_transform": "blocks are chosen by `layers=`",
    "modules_to_save": "modules trained whole are `train=`",
    "lora_alpha": "it is called `alpha` here",
}
"""Arguments of other libraries, and where they are here."""


def check_settings(settings: Iterable[str], read: Collection[str]) -> None:
    """Raise SpecSettingError for a setting that the spec does not read."""
    for name in settings:
        if name not in read:
            known = sorted(read)
            elsewhere = ARGUMENTS_ELSEWHERE.get(name)
            if elsewhere is not None:
                raise SpecSettingError(f"no hyper-parameter `{name}` is used by the spec", hint=elsewhere)
            raise SpecSettingError(
                f"no hyper-parameter `{name}` is used by the spec",
                hint=did_you_mean(name, known) or (f"it uses {', '.join(known)}" if known else "it uses none"),
            )


def check_rank(clauses: Clauses, is_read: bool) -> None:
    """Raise if the spec sets `r`, the rank that no shape fixes, and nothing reads it."""
    if "r" in clauses.definitions and not is_read:
        span = clauses.definitions["r"].span
        raise SpecNameError("nothing reads `r`", span, "no size is left for it; write it, as in `A : n x r`")
