from __future__ import annotations

from pathlib import Path

import pytest

import specdsl
from tests.interchange.peft_adapters import saved_by_peft

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT


def test_hyper_parameters_that_differ_are_numbered(tmp_path: Path) -> None:
    model, _ = saved_by_peft("LoRA, ranks by pattern", tmp_path)
    adapter = specdsl.import_peft(model, tmp_path)
    numbers = {name: int(value) for name, value in adapter.spec.hyperparameters.items()}
    # Of down_proj, of q_proj in block 0, and of the others.
    assert numbers == {"r": 4, "alpha": 9, "r_2": 2, "alpha_2": 7, "r_3": 3, "alpha_3": 7}
    shapes = {(place, name): tuple(value.shape) for place, name, value in adapter.factors()}
    assert shapes["model.layers.0.self_attn.q_proj", "A"] == (32, 2)
    assert shapes["model.layers.1.self_attn.q_proj", "A"] == (32, 3)
    assert shapes["model.layers.1.mlp.down_proj", "A"] == (64, 4)


def test_one_set_of_hyper_parameters_is_the_method_itself(tmp_path: Path) -> None:
    model, _ = saved_by_peft("rsLoRA", tmp_path)
    adapter = specdsl.import_peft(model, tmp_path)
    assert adapter.spec.label == "rsLoRA"
