from __future__ import annotations

import specdsl
from tests.cli.conftest import Run


def test_it_prints_the_mathematics(run: Run) -> None:
    assert run("latex", "dora").stdout == specdsl.parse("dora").latex() + "\n"


def test_settings_are_in_it(run: Run) -> None:
    assert run("latex", "W + A@B", "--set", "r=4").stdout == specdsl.parse("W + A@B", r=4).latex() + "\n"
