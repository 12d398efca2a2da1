"""The rules every test runs under.

* Nothing reaches a model hub, and each process computes on one thread, so that sums come out the same.
* A test marked `gpu` is skipped where torch sees no CUDA device.
* Hypothesis draws the same examples every time, a hundred where a test does not say how many; `--hypothesis-profile
  many` draws new ones, thousands of them.
* Under `CI=true` nothing else may be left out: a skip, a missing oracle (`pytest.importorskip`), a missing
  model and an expected failure are failures there.

torch is imported by the tests that need it, not here: the front end is tested without it.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

settings.register_profile("few", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("many", max_examples=1500, deadline=None)
settings.load_profile("few")

IN_CI = os.environ.get("CI") == "true"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and hasattr(report, "wasxfail"):
        _fail(report, f"expected to fail ({report.wasxfail or 'no reason given'}), which CI does not accept")
        del report.wasxfail
    elif IN_CI and report.skipped and not item.get_closest_marker("gpu"):
        _fail(report, f"{_reason(report)}: CI skips nothing but tests marked gpu")
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI and report.skipped:
        _fail(report, f"{_reason(report)}: CI skips no test file")
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport, why: str) -> None:
    report.outcome = "failed"
    report.longrepr = why


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """The folder of the real MiniLM (weights, config, tokenizer)."""
    from specdsl.errors import SpecFileError
    from specdsl.runtime.example_model import minilm_path

    try:
        return minilm_path()
    except SpecFileError as error:
        pytest.skip(error.message)
