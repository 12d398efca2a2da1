from __future__ import annotations

import specdsl
from tests.cli.conftest import Run


def test_it_prints_the_mathematics(run: Run) -> None:
    assert run("latex", "dora").stdout == specdsl.parse("dora").latex() + "\n"


def test_settings_are_in_it(run: Run) -> None:
    assert run("latex", "W + A@B", "--set", "r=4").stdout == specdsl.parse("W + A@B", r=4).latex() + "\n"


def test_a_written_kaiming_is_its_distribution_as_an_inferred_one(run: Run) -> None:
    assert run("latex", "W + A@B | A ~ kaiming").stdout == run("latex", "W + A@B").stdout


def test_a_spec_without_a_title_has_a_short_label() -> None:
    assert specdsl.parse("W + A@B | on attention | train head").label == "W + A@B"
    long = specdsl.parse(" + ".join(["W", *["A@B"] * 20]))
    assert long.label.endswith("A@B + A…")
    assert 55 < len(long.label) <= 60
