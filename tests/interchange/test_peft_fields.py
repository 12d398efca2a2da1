"""A field of `adapter_config.json` that holds what PEFT never writes there is refused, or changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import specdsl
from specdsl.runtime.interchange.peft_fields import TYPES, check_fields
from specdsl.runtime.interchange.peft_methods import METHODS
from specdsl.runtime.interchange.peft_reading import COMMON
from tests.interchange.peft_adapters import CASES, logits, saved_by_peft

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT
CONFIG = "adapter_config.json"
WRONG: tuple[Any, ...] = (None, "x", [1], 1e40, 10**30)


@pytest.mark.parametrize("case", CASES)
def test_a_value_of_another_type_is_refused_or_changes_nothing(case: str, tmp_path: Path) -> None:
    model, _ = saved_by_peft(case, tmp_path)
    right = json.loads((tmp_path / CONFIG).read_text())
    adapter = specdsl.import_peft(model, tmp_path)
    expected = logits(model)
    adapter.detach()
    unread = right.keys() & COMMON.union(*(row.ignored for row in METHODS)) - TYPES.keys() - {"peft_type"}
    changes = [{name: value} for name in right.keys() - unread for value in WRONG]
    for change in [*changes, dict.fromkeys(unread, "x")]:
        (tmp_path / CONFIG).write_text(json.dumps(right | change))
        try:
            adapter = specdsl.import_peft(model, tmp_path)
        except specdsl.SpecError:
            continue
        assert torch.equal(logits(model), expected), change
        adapter.detach()


def test_every_field_that_the_table_reads_has_a_type() -> None:
    read = set().union(*({*row.when, *row.settings.values(), *row.indices.values(), *row.exchange} for row in METHODS))
    assert read <= TYPES.keys()


@pytest.mark.parametrize("name", TYPES)
def test_a_value_of_a_wrong_type_is_refused_with_its_field_and_file(name: str) -> None:
    wrong = {"a": [10**30]} if TYPES[name] != dict[str, Any] | None else "x"
    with pytest.raises(specdsl.SpecCheckpointError) as caught:
        check_fields({name: wrong}, "mine/adapter_config.json")
    assert caught.value.message.startswith(f"`{name}` in `mine/adapter_config.json` should be ")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("use_rslora", "False", "should be a valid boolean, not 'False'"),
        ("use_rslora", 1, "should be a valid boolean, not 1"),
        ("r", True, "should be a valid integer, not True"),
        ("r", -1, "should be greater than or equal to 0, not -1"),
        ("lora_alpha", float("nan"), "should be a finite number, not nan"),
        ("lora_alpha", 1e40, "should be less than 2147483648, not 1e+40"),
        ("random_loc_seed", "x", "should be a valid integer, not 'x'"),
        ("random_loc_seed", None, "should be a valid integer, not None"),
        ("random_loc_seed", [1], "should be a valid integer, not [1]"),
        ("random_loc_seed", 1e40, "should be a valid integer, not 1e+40"),
        ("n_frequency", None, "should be a valid integer, not None"),
        ("token_indices", [10**30], "should be less than or equal to 2147483648, not [1000"),
        ("init_lora_weights", None, "should be a valid boolean or should be a valid string, not None"),
        ("modules_to_save", "head", "should be a valid list, not 'head'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_value_is_said(name: str, value: object, rule: str) -> None:
    with pytest.raises(specdsl.SpecCheckpointError) as caught:
        check_fields({name: value}, CONFIG)
    assert caught.value.message.startswith(f"`{name}` in `{CONFIG}` {rule}")


def test_all_wrong_fields_are_told_together() -> None:
    with pytest.raises(specdsl.SpecErrors) as caught:
        check_fields({"r": "x", "use_dora": "x", "lora_alpha": 2.5}, CONFIG)
    assert [error.message.split()[0] for error in caught.value.errors] == ["`r`", "`use_dora`"]
