"""What cannot be imported or exported is refused with the field, tensor or module that stands in the way."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import specdsl
from tests.interchange.peft_adapters import saved_by_peft
from tests.runtime.small_models import small

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # by PEFT


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA with a head, of BERT."""
    folder = tmp_path_factory.mktemp("peft") / "lora"
    saved_by_peft("LoRA and a head", folder)
    return folder


Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], None]


def changed(plain: Path, folder: Path, change: Change) -> Path:
    """A copy of the adapter with another configuration or other tensors."""
    shutil.copytree(plain, folder)
    fields = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    change(fields, tensors)
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


QUERY = "base_model.model.bert.encoder.layer.0.attention.self.query"


def fields(**values: Any) -> Change:
    return lambda found, _: found.update(values)


REFUSED: dict[str, tuple[Change, str]] = {
    "method": (fields(peft_type="XLORA"), "no spec is known for `peft_type` = 'XLORA'"),
    "ranks": (
        fields(rank_pattern={"query": 4}), "attention.self.query` is 32 x 3, but the spec makes it 32 x 4",
    ),
    "no rank": (fields(rank_pattern={"query": "x"}), "`r` in `rank_pattern` should be a valid integer, not 'x'"),
    "no scale": (fields(alpha_pattern={"query": None}), "`lora_alpha` in `alpha_pattern` should be a valid number"),
    "no pattern": (fields(alpha_pattern={"(": 4}), "`alpha_pattern` holds '(', which is no pattern: "),
    "ranks by modules": (fields(rank_pattern=[4]), "`rank_pattern` in `"),
    "start": (fields(init_lora_weights="loftq"), "`init_lora_weights` = 'loftq' of a LORA adapter is not supported"),
    "tokens": (fields(alora_invocation_tokens=[3]), "`alora_invocation_tokens` = [3] of a LORA adapter is not"),
    "unknown field": (fields(use_newest=True), "`use_newest` = True of a LORA adapter is not supported"),
    "biases": (fields(bias="boft_only"), "`bias` = 'boft_only' of a LORA adapter is not supported"),
    "no method": (lambda found, _: found.pop("peft_type"), "adapter_config.json` is damaged: it has no `peft_type`"),
    "truth as text": (fields(use_rslora="False"), "adapter_config.json` should be a valid boolean, not 'False'"),
    "half a module": (
        lambda _, tensors: tensors.pop(f"{QUERY}.lora_B.weight"),
        "`bert.encoder.layer.0.attention.self.query`, a Linear, has the tensors `lora_A.weight`, which no spec is",
    ),
    "other ranks": (
        lambda _, tensors: tensors.update({
            f"{QUERY}.lora_A.weight": torch.zeros(2, 32), f"{QUERY}.lora_B.weight": torch.zeros(32, 2),
        }),
        "`A` of `bert.encoder.layer.0.attention.self.query` is 32 x 2, but the spec makes it 32 x 3",
    ),
    "another module": (
        lambda _, tensors: tensors.update({"base_model.model.bert.lora_A.weight": torch.zeros(3, 32)}),
        "`bert`, which the adapter adapts, cannot carry a spec",
    ),
    "no such module": (
        lambda _, tensors: tensors.update({"base_model.model.gpt.q.lora_A.weight": torch.zeros(3, 32)}),
        "`gpt.q`, which the adapter adapts, is not in this BertForSequenceClassification",
    ),
    "stray tensor": (
        lambda _, tensors: tensors.update({"base_model.model.bert.pooler.dense.weight": torch.zeros(3)}),
        "the adapter holds `base_model.model.bert.pooler.dense.weight`, which is neither a factor nor the base's own",
    ),
    "head of another size": (
        lambda _, tensors: tensors.update({"base_model.model.classifier.weight": torch.zeros(7, 32)}),
        "`classifier`, trained whole, does not fit",
    ),
    "one bias for all outputs": (
        lambda found, tensors: found.update(bias="all") or tensors.update({f"{QUERY}.base_layer.bias": torch.ones(1)}),
        f"`{QUERY}.base_layer.bias` is 1, but the model's own is 32",
    ),
    "whole factors": (
        lambda _, tensors: tensors.update({f"{QUERY}.lora_A.weight": torch.ones(3, 32, dtype=torch.int64)}),
        f"`{QUERY}.lora_A.weight` holds int64 values, which no factor can have",
    ),
    "truths as factors": (
        lambda _, tensors: tensors.update({f"{QUERY}.lora_A.weight": torch.ones(3, 32, dtype=torch.bool)}),
        f"`{QUERY}.lora_A.weight` holds bool values, which no factor can have",
    ),
    "complex factors": (
        lambda _, tensors: tensors.update({f"{QUERY}.lora_B.weight": torch.ones(32, 3, dtype=torch.complex64)}),
        f"`{QUERY}.lora_B.weight` holds complex64 values, which no factor can have",
    ),
    "factors of a byte": (
        lambda _, tensors: tensors.update({f"{QUERY}.lora_B.weight": torch.ones(32, 3).to(torch.float8_e4m3fn)}),
        f"`{QUERY}.lora_B.weight` holds float8_e4m3fn values, which no factor can have",
    ),
    "no number": (
        lambda _, tensors: tensors[f"{QUERY}.lora_B.weight"][0].fill_(torch.nan),
        f"`{QUERY}.lora_B.weight` holds values that are not finite",
    ),
    "infinite": (
        lambda _, tensors: tensors[f"{QUERY}.lora_A.weight"][0].fill_(-torch.inf),
        f"`{QUERY}.lora_A.weight` holds values that are not finite",
    ),
    "no number in the head": (
        lambda _, tensors: tensors["base_model.model.classifier.weight"].fill_(torch.nan),
        "`base_model.model.classifier.weight` holds values that are not finite",
    ),
    "truths in the head": (
        lambda _, tensors: tensors.update({"base_model.model.classifier.bias": torch.ones(2, dtype=torch.bool)}),
        "`base_model.model.classifier.bias` holds bool values, which no factor can have",
    ),
    "no factors": (lambda _, tensors: tensors.clear(), "the adapter holds no factors"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_counterpart_is_refused_and_the_model_stays(what: str, plain: Path, tmp_path: Path) -> None:
    change, message = REFUSED[what]
    model = small("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(specdsl.SpecCheckpointError) as caught:
        specdsl.import_peft(model, changed(plain, tmp_path / "changed", change))
    assert message in caught.value.message
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_configuration_without_bottom_is_damaged(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    shutil.copytree(plain, folder)
    (folder / "adapter_config.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(specdsl.SpecCheckpointError, match="is damaged: it is nested too deeply"):
        specdsl.import_peft(small("bert"), folder)


SHIRA = "base_model.model.model.layers.0.self_attn.q_proj.shira_indices"
PLACES: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "four rows": (lambda places: torch.cat([places, places]), "`shira_indices` is 4 x 128 of int32, not a row of"),
    "one row": (lambda places: places[0], "`shira_indices` is 128 of int32, not a row of outputs and one of inputs"),
    "fractions": (lambda places: places + 0.5, "`shira_indices` is 2 x 128 of float32, not a row of outputs"),
    "twice": (lambda places: places[:, :1].repeat(1, 128), "`shira_indices` names a place twice"),
    "too far": (lambda places: places + 1000, "`shira_indices` names outputs from 10"),
    "below 0": (lambda places: places - 1000, "`shira_indices` names outputs from -"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLACES)
def test_places_that_are_none_are_refused(what: str, tmp_path: Path) -> None:
    model, _ = saved_by_peft("SHiRA", tmp_path / "right")
    change, message = PLACES[what]
    folder = changed(
        tmp_path / "right", tmp_path / "changed", lambda _, tensors: tensors.update({SHIRA: change(tensors[SHIRA])})
    )
    with pytest.raises(specdsl.SpecCheckpointError) as caught:
        specdsl.import_peft(model, folder)
    assert caught.value.message.startswith(f"`model.layers.0.self_attn.q_proj`: {message}")


@pytest.mark.parametrize(("places", "message"), [([5, 5], "twice"), ([5, 10**6], "outside 0..49")])
def test_tokens_that_are_none_are_refused(places: list[int], message: str, tmp_path: Path) -> None:
    model, _ = saved_by_peft("trainable tokens", tmp_path / "right")
    folder = changed(tmp_path / "right", tmp_path / "changed", fields(token_indices=places))
    with pytest.raises(specdsl.SpecError, match=message):
        specdsl.import_peft(model, folder)


def test_a_norm_with_one_entry_for_all_is_refused(tmp_path: Path) -> None:
    model, _ = saved_by_peft("LN tuning", tmp_path / "right")
    key = "base_model.model.bert.embeddings.LayerNorm.ln_tuning_layers.weight"
    folder = changed(tmp_path / "right", tmp_path / "changed", lambda _, tensors: tensors.update({key: torch.ones(1)}))
    with pytest.raises(
        specdsl.SpecCheckpointError, match=r"`ln_tuning_layers\.weight` is 1, but the model's own is 32"
    ):
        specdsl.import_peft(model, folder)


def test_a_pickle_is_never_read(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(plain, folder)
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(specdsl.SpecFileError, match="is a pickle, which could run code, and is not read"):
        specdsl.import_peft(small("bert"), folder)


def test_a_folder_without_an_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(specdsl.SpecFileError, match="there is no adapter of PEFT in"):
        specdsl.import_peft(small("bert"), tmp_path)


NOT_THERE: dict[str, tuple[str, dict[str, Any], str]] = {
    "no such method": ("W + A@G@B", {}, "PEFT has no method with the formula of `W + A@G@B` on"),
    "places of another generator": ("fourierft", {"k": 4}, "its places `I` are not those that PEFT draws for its seed"),
    "a rank that is another form": ("lokr", {"r": 1}, "PEFT would make the second factor low for this rank"),
}


@pytest.mark.parametrize("what", NOT_THERE)
def test_what_peft_does_not_have_is_not_exported(what: str, tmp_path: Path) -> None:
    spec, settings, message = NOT_THERE[what]
    adapter = specdsl.attach(small("bert"), spec, on="attention.query", **settings)
    with pytest.raises(specdsl.SpecCheckpointError) as caught:
        adapter.export_peft(tmp_path / "exported")
    assert message in caught.value.message
    assert not (tmp_path / "exported").exists()


def test_a_folder_that_holds_something_is_not_overwritten(plain: Path) -> None:
    adapter = specdsl.attach(small("bert"), "lora", r=2)
    with pytest.raises(specdsl.SpecFileError, match="is there already"):
        adapter.export_peft(plain)


def test_a_detached_adapter_is_not_exported(tmp_path: Path) -> None:
    adapter = specdsl.attach(small("bert"), "lora", r=2)
    adapter.detach()
    with pytest.raises(specdsl.SpecCheckpointError, match="is not attached any more"):
        adapter.export_peft(tmp_path / "exported")


def test_blocks_that_differ_between_modules_are_not_exported(tmp_path: Path) -> None:
    model, _ = saved_by_peft("BOFT, blocks by module", tmp_path / "theirs")
    adapter = specdsl.import_peft(model, tmp_path / "theirs")
    with pytest.raises(specdsl.SpecCheckpointError) as caught:
        adapter.export_peft(tmp_path / "again")
    assert caught.value.message == (
        "`boft_block_size` would be 8 and, for `model.layers.0.mlp.down_proj`, 16; PEFT has one for all modules"
    )
    assert not (tmp_path / "again").exists()
