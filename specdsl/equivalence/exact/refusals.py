"""What exact numbers refuse."""

from __future__ import annotations

from typing import Any, Literal


class NotExact(Exception):
    """An operator has no exact value over these numbers; nothing follows from it.

    Attributes:
        operator: its name.
        failing, along: as in `NoPoint`, where other numbers may have a value.
    """

    def __init__(
        self, operator: str, why: str = "", failing: Any = None, along: Literal["columns", "rows"] = "columns"
    ) -> None:
        super().__init__(f"`{operator}` has no exact value here" + (f": {why}" if why else ""))
        self.operator, self.why = operator, why
        self.failing = failing
        self.along = along


class NoPoint(Exception):
    """The values at hand have no root or no inverse; others may have.

    Attributes:
        failing: of a root which entries have none, as truth values; None where that is not known.
        along: whether the entries belong to columns or rows of the matrix whose norms they are.
    """

    def __init__(self, why: str, failing: Any = None, along: Literal["columns", "rows"] = "columns") -> None:
        super().__init__(why)
        self.failing = failing
        self.along = along
