"""What is kept of a verdict about one pair among many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from specdsl.equivalence.verdict import Verdict, is_same_start

MIRRORED = {"<": ">", ">": "<"}
_DIRECTIONS = {"a in b": "b in a", "b in a": "a in b"}


@dataclass(frozen=True)
class Cell:
    """The relations of one pair and how they are known, without certificates and witnesses.

    Attributes:
        set, closure, pointwise: relations as in a verdict.
        set_status, pointwise_status, start_status: how they are known.
        translate: whether one reachable set is the other moved.
        by_shape: the relation of the sets for `n < m`, `n = m`, `n > m`, where they differ.
        kernel, direction, ratio: of the tangent kernels at the start.
        identity_a, identity_b: whether each starts at the base.
        dimension_a, dimension_b, shape: of the reachable sets, where computed.
        reason: why the sets relate so, or why that is unknown.
        seconds: the time it took.
    """

    set: str = "?"
    set_status: str = "unknown"
    closure: str = "?"
    translate: bool = False
    by_shape: Mapping[str, str] = field(default_factory=dict)
    pointwise: str = "?"
    pointwise_status: str = "unknown"
    kernel: str = "?"
    start_status: str = "unknown"
    direction: str | None = None
    ratio: str | None = None
    identity_a: bool = False
    identity_b: bool = False
    dimension_a: int | None = None
    dimension_b: int | None = None
    shape: str = ""
    reason: str = ""
    seconds: float = 0.0

    @staticmethod
    def of(verdict: Verdict) -> Cell:
        sets, start, dimension = verdict.set, verdict.start, verdict.dimension
        return Cell(
            sets.relation, sets.status, sets.closure, sets.translate, dict(sets.by_shape),
            verdict.pointwise.relation, verdict.pointwise.status, start.kernel, start.status, start.direction,
            start.ratio, start.identity_a, start.identity_b, dimension.a, dimension.b, dimension.shape,
            sets.reason, round(verdict.seconds, 3),
        )  # fmt: skip

    @staticmethod
    def read(values: Mapping[str, Any]) -> Cell:
        """A cell from what `as_dict` gave.

        Raises:
            ValueError: the values are not those of a cell.
        """
        if values.keys() != {one.name for one in fields(Cell)}:
            raise ValueError("not a cell")
        return Cell(**values)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def mirrored(self) -> Cell:
        """The same of the pair in the other order."""
        return replace(
            self,
            set=MIRRORED.get(self.set, self.set),
            closure=MIRRORED.get(self.closure, self.closure),
            by_shape={cell: MIRRORED.get(one, one) for cell, one in self.by_shape.items()},
            direction=_DIRECTIONS.get(self.direction or "", self.direction),
            ratio=_inverse(self.ratio),
            identity_a=self.identity_b,
            identity_b=self.identity_a,
            dimension_a=self.dimension_b,
            dimension_b=self.dimension_a,
        )

    def is_equal(self, sense: str) -> bool | None:
        """Whether the two are equal in a sense, None where that is unknown."""
        if sense == "start":
            both = True if self.identity_a and self.identity_b else None
            return is_same_start(self.kernel, both if self.identity_a == self.identity_b else False)
        relation = self.set if sense == "set" else self.pointwise
        return None if relation == "?" else relation == "="

    @property
    def is_decided(self) -> bool:
        return self.set != "?" or bool(self.by_shape)


def _inverse(ratio: str | None) -> str | None:
    if ratio is None:
        return None
    top, _, bottom = ratio.partition("/")
    if not (top.isdecimal() and (bottom or "1").isdecimal()):
        return f"1/({ratio})"
    return f"{bottom or 1}/{top}" if top != "1" else bottom or "1"
