"""The report of an adapter: what it stores beside what it trains, held to the tensors of the attached model."""

from __future__ import annotations

import pytest
from torch import nn

import specdsl
from specdsl.runtime.report import report_of
from specdsl.runtime.survey import survey
from tests.ordinary_methods import ORDINARY


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(13, 11), nn.Linear(11, 12))


EXTRA = {
    "an index": "index I : n ~ choice(n)\nW' = W + permute(D, I)",
    "shared and frozen": "frozen shared P : r x r ~ normal\nW' = W + A@P@B",
    "half precision": "frozen P : n x r ~ normal, float32\nW' = W + P@B",
    "a start that is read when merging": "W' = W + A@B - init(A@B)",
}


@pytest.mark.parametrize("spec", [*ORDINARY, *EXTRA.values()])
def test_stored_bytes_are_those_of_the_buffers(spec: str) -> None:
    model = two_layers()
    adapter = specdsl.attach(model, spec, on="re:[01]")
    report = adapter.report()
    assert report.stored_bytes == sum(buffer.nbytes for buffer in model.buffers())
    assert report.stored_bytes == sum(row.stored for row in report.modules) == report.as_dict()["stored_bytes"]


def test_a_shared_frozen_factor_is_stored_once() -> None:
    meta = nn.Sequential(*(nn.Linear(13, 13, device="meta") for _ in range(3)))
    report = report_of(survey(meta, specdsl.parse("vera", r=4), on="re:.*"))
    assert [row.stored for row in report.modules] == [4 * 4 * (13 + 13), 0, 0]
    assert "416 bytes for frozen factors and values computed once" in str(report)


def test_nothing_is_said_of_storage_where_nothing_is_stored() -> None:
    report = report_of(survey(two_layers(), specdsl.parse("lora"), on="re:.*"))
    assert report.stored_bytes == 0
    assert "computed once" not in str(report)
