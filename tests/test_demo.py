"""The demo in its short form: it trains, reloads, merges and compares; the accuracy is for the long form."""

import os
import subprocess
import sys
from pathlib import Path

from specdsl.runtime.example_data import movie_reviews

ROOT = Path(__file__).parents[1]


def test_the_short_demo_runs(tmp_path: Path, minilm_folder: Path) -> None:
    movie_reviews()  # fetched here, so that a missing download is told from a failing demo
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py"), "--short"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "predictions are equal" in done.stdout
    assert (tmp_path / "demo" / "short" / "adapter.safetensors").is_file()
