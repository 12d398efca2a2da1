"""Every spec keeps to the device of its model and never waits for it: shown on fake tensors, without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lowering.literal import LAYERS
from tests.runtime.fake_device import IN_ALL_LAYERS, cases

REPOSITORY = Path(__file__).parents[2]
IN_LAYERS = [f"{spec} in {layer}" for layer in LAYERS for spec in IN_ALL_LAYERS]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.runtime.fake_device"]
    run = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "CI": ""}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("case", [*cases(), *IN_LAYERS])
def test_a_step_stays_on_the_device_and_does_not_wait(case: str, report: dict[str, Any]) -> None:
    """Attach, forward, backward with the penalty, step, merge; every trained factor gets a gradient."""
    assert report["found"]["step"][case] == {"devices": [report["device"]], "waits": [], "graded": True}


@pytest.mark.parametrize("case", cases())
def test_attaching_running_and_merging_stay_on_cuda(case: str, report: dict[str, Any]) -> None:
    assert report["found"]["cuda:0"][case] == {"devices": ["cuda:0"], "waits": [], "graded": True}
