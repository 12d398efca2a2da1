"""The report of an adapter: what it stores beside what it trains, held to the tensors of the attached model."""

from __future__ import annotations

from dataclasses import replace

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
    assert "416 B of memory for frozen factors and values computed once" in str(report)


def test_a_rank_above_that_of_the_weight_is_noted() -> None:
    note = "`A`, 13 x 12, is wider than min(n, m) in 1 module: that adds parameters and no rank"
    model = two_layers()
    assert report_of(survey(model, specdsl.parse("lora", r=12), on="re:0")).notes == (note,)
    assert not report_of(survey(model, specdsl.parse("lora", r=11), on="re:.*")).notes
    places = specdsl.parse("index I : r ~ choice(n*m) | W + scatter(v, I, n, m) | v : r ~ zeros", r=99)
    assert not report_of(survey(model, places, on="re:0")).notes


def test_a_small_share_keeps_its_digits() -> None:
    report = report_of(survey(two_layers(), specdsl.parse("b + s | s : 1 ~ 0"), on="re:.*"))
    wide = replace(report, trainable_parameters=24, base_parameters=7_741_935)
    assert wide.total_line() == "24 trainable parameters, 0.00031 % of 7,741,935"


def test_nothing_is_said_of_storage_where_nothing_is_stored() -> None:
    report = report_of(survey(two_layers(), specdsl.parse("lora"), on="re:.*"))
    assert report.stored_bytes == 0
    assert "computed once" not in str(report)
