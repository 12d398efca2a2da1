from __future__ import annotations

import pytest
import torch

from specdsl.runtime.interchange.layout import opposite, turned
from specdsl.runtime.interchange.peft_methods import METHODS

PATTERNS = sorted({part.layout for row in METHODS for parts in row.parts.values() for part in parts})


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_layout_of_the_table_can_be_undone(pattern: str) -> None:
    names = [name for name in pattern.partition("->")[0].split() if name != "1"]
    sizes = dict(zip(names, (3, 5, 2, 4, 6), strict=False))
    value = torch.randn([sizes.get(name, 1) for name in pattern.partition("->")[0].split()])
    there = turned(value, pattern, sizes)
    assert torch.equal(turned(there, opposite(pattern), sizes), value)


def test_other_axes_than_the_pattern_says_are_refused() -> None:
    with pytest.raises(ValueError, match="is for 2 axes"):
        turned(torch.zeros(2), "m r -> r m", {})
