from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Run


def test_a_method_is_one_page(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.spec").write_text("title: Mine\ncite: arXiv:2405.14739\n\nr = 4\nW' = W + A@G@B\north(A)\n")
    shown = run("show", "mine.spec").stdout
    assert shown.startswith("Mine\narXiv:2405.14739\n\nformula\n  W′ = W + A G B\n")
    assert "\n  B     trained  r x m  zeros\n" in shown
    assert "\npenalties\n  added to the loss  how often\n  orth(A)            once per module\n" in shown
    assert "\nsource (mine.spec)\n  title: Mine\n" in shown


def test_a_line_is_its_own_title(run: Run) -> None:
    shown = run("show", "W + A@B", "--set", "r=4").stdout
    assert shown.startswith("W + A@B\n\nformula\n  W′ = W + A B\n")
    assert "\n  r     4      set from outside\n" in shown
    assert "m*r + n*r = 4*m + 4*n per module" in shown


def test_the_expression_is_drawn_with_shapes_on_its_edges(run: Run) -> None:
    shown = run("show", "W + alpha/r * A@B").stdout
    assert "\ndrawing\n  W′ = sum\n  ├─ n × m ─ W  frozen\n  └─ n × m ─ α/r · product\n" in shown


def test_parts_of_a_spec_have_their_factors_and_facts(run: Run) -> None:
    shown = run("show", "ia3_original").stdout
    assert "\non mlp.down: factors\n" in shown
    assert "\n  on mlp.down:\n  x′ = x ⊙ k\n" in shown


def test_a_drawing_goes_to_a_file_or_to_stdout(run: Run, tmp_path: Path) -> None:
    printed = run("show", "dora", "--svg").stdout
    assert run("show", "dora", "--svg", "-o", "dora.svg").stdout == "drawing in dora.svg\n"
    assert (tmp_path / "dora.svg").read_text("utf-8") == printed
    assert printed.startswith("<svg ")


def test_a_file_is_for_a_drawing(run: Run) -> None:
    result = run("show", "dora", "-o", "dora.svg")
    assert (result.exit_code, result.stderr) == (2, "`--output` is for a drawing\n  hint: add `--svg`\n")


def test_a_file_that_cannot_be_written_is_an_error(run: Run) -> None:
    result = run("show", "dora", "--svg", "-o", "missing/dora.svg")
    assert result.exit_code == 2
    assert "`missing/dora.svg` cannot be written" in result.stderr


def test_showing_and_drawing_load_no_torch() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from specdsl.cli import main\n"
        "for extra in ([], ['--svg']):\n"
        "    assert CliRunner().invoke(main, ['show', 'dora', *extra]).exit_code == 0\n"
        "print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_reasons_are_left_to_explain(run: Run) -> None:
    assert "because" in run("explain", "W + A@B").stdout
    assert "because" not in run("show", "W + A@B").stdout
