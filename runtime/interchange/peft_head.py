"""Which head an adapter of PEFT was trained with."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from specdsl.runtime.interchange.correspondence import Fields

TASKS = {"SEQ_CLS": "classification", "TOKEN_CLS": "token-classification"}
"""By `task_type`; of the others the model alone tells the class that loads it."""


def head_of(
    fields: Fields, tensors: Mapping[str, Tensor], task: str | None = None, num_labels: int | None = None
) -> tuple[str | None, int | None]:
    """The task of the head and its outputs, for `load_model`; what is given is kept.

    PEFT does not say the outputs: they are the rows of the narrowest map among the modules trained whole. One output
    is a regression.

    >>> head_of({"task_type": "SEQ_CLS"}, {})
    ('classification', None)
    """
    found = task or TASKS.get(fields.get("task_type") or "")
    if found in (None, "causal-lm"):
        return found, num_labels
    labels = num_labels or _outputs(fields, tensors)
    if task is None and found == "classification" and labels == 1:
        found = "regression"
    return found, labels


def _outputs(fields: Fields, tensors: Mapping[str, Tensor]) -> int | None:
    whole = [f".{name}." for name in fields.get("modules_to_save") or ()]
    maps = [value for name, value in tensors.items() if value.dim() == 2 and any(part in name for part in whole)]
    return min((len(value) for value in maps), default=None)
