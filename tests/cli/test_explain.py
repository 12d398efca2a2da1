from __future__ import annotations

import specdsl
from tests.cli.conftest import Run


def test_it_prints_the_explanation(run: Run) -> None:
    spec = specdsl.parse("W + A@B", r=4)
    assert run("explain", "W + A@B", "--set", "r=4").stdout == f"{spec.explain()}\n"


def test_with_a_model_it_goes_on_with_the_modules(run: Run) -> None:
    shown = run("explain", "lora", "--model", "roberta-base").stdout
    explained, _, compiled = shown.partition("LoRA on roberta-base: 72 modules\n")
    assert explained.rstrip() == str(specdsl.parse("lora").explain())
    assert "1,327,104 trainable parameters" in compiled
