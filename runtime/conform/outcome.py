"""What a property found in one case: it held, it failed by so much, or it does not apply and why."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Status = Literal["held", "failed", "does not apply"]


@dataclass(frozen=True)
class Outcome:
    """The answer of a property in one case.

    Attributes:
        status: whether it held.
        measured, tolerance: the largest relative difference and the one allowed; None where nothing was measured.
        reason: what failed, or why the property does not apply.
    """

    status: Status
    measured: float | None = None
    tolerance: float | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The outcome as `--json` prints it; what is no number is written as a text there."""
        measured = self.measured if self.measured is None or math.isfinite(self.measured) else str(self.measured)
        return {"status": self.status, "measured": measured, "tolerance": self.tolerance, "reason": self.reason}

    @property
    def mark(self) -> str:
        """A tick, a cross, or a dot where it does not apply."""
        return {"held": "✓", "failed": "✗", "does not apply": "·"}[self.status]

    @property
    def numbers(self) -> str:
        """What was measured against its tolerance; empty where nothing was."""
        return "" if self.measured is None else f"{self.measured:.2g} > {self.tolerance:.0g}"

    @property
    def explained(self) -> str:
        """A failure in words: the reason, and the numbers."""
        return ": ".join(part for part in (self.reason, self.numbers) if part)

    def __str__(self) -> str:
        return f"{self.mark} {self.explained}" if self.status == "failed" else self.mark


def within(measured: float, tolerance: float, what: str = "") -> Outcome:
    """Held if the number is at most the tolerance; `what` names it where it is not. NaN fails."""
    if measured <= tolerance:
        return Outcome("held", measured, tolerance)
    return Outcome("failed", measured, tolerance, what)


def holds(condition: bool, otherwise: str) -> Outcome:
    """Held, or failed for the reason `otherwise`."""
    return Outcome("held") if condition else Outcome("failed", reason=otherwise)


def does_not_apply(reason: str) -> Outcome:
    return Outcome("does not apply", reason=reason)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The first failure; else the largest measured number."""
    found = list(outcomes)
    failed = next((one for one in found if one.status == "failed"), None)
    measured = max((one for one in found if one.measured is not None), key=_share, default=None)
    return failed or measured or (found[0] if found else Outcome("held"))


def _share(outcome: Outcome) -> float:
    assert outcome.measured is not None
    return outcome.measured / (outcome.tolerance or 1.0)


def distance(found: Tensor, expected: Tensor) -> float:
    """The largest difference relative to the largest entry, but at least to 1; NaN where a value is none.

    >>> distance(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 5.0]))
    0.2
    """
    if found.shape != expected.shape:
        return math.inf
    if not found.numel():
        return 0.0
    wide = expected.detach().double()
    largest = max(1.0, float(wide.abs().max()))
    return float((found.detach().double() - wide).abs().max()) / largest


def is_same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are equal bit for bit, in dtype too."""
    return left.dtype == right.dtype and torch.equal(left, right)
