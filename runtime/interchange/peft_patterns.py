"""Fields of a PEFT configuration that say other values for some modules: `rank_pattern`, `alpha_pattern`."""

from __future__ import annotations

import re

from specdsl.errors import SpecCheckpointError
from specdsl.runtime.interchange.correspondence import Correspondence, Fields
from specdsl.runtime.interchange.peft_fields import check_fields, shown


def fields_at(row: Correspondence, fields: Fields, name: str) -> Fields:
    """The configuration of one module: of each pattern field the first pattern counts that is the end of its name.

    Raises:
        SpecCheckpointError: a pattern is none, or a value has another type than the field that it replaces.
    """
    own: dict[str, object] = {}
    for patterns, field in row.patterns.items():
        if fields.get(patterns, {}) is None:
            raise SpecCheckpointError(f"`{patterns}` should be a valid dictionary, not None")
        for pattern, value in fields.get(patterns, {}).items():
            if _is_meant(patterns, pattern, name):
                check_fields({field: value}, patterns)
                own[field] = value
                break
    return {**fields, **own}


def _is_meant(field: str, pattern: str, name: str) -> bool:
    try:
        return re.match(rf"(.*\.)?({pattern})$", name) is not None
    except re.error as error:
        raise SpecCheckpointError(f"`{field}` holds {shown(pattern)}, which is no pattern: {error}") from None
