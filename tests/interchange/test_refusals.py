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
    "ranks": (fields(rank_pattern={"query": 4}), "`rank_pattern` = {'query': 4} of a LORA adapter is not supported"),
    "scales": (fields(alpha_pattern={"query": 4}), "`alpha_pattern` = {'query': 4} of a LORA adapter is not supported"),
    "start": (fields(init_lora_weights="loftq"), "`init_lora_weights` = 'loftq' of a LORA adapter is not supported"),
    "tokens": (fields(alora_invocation_tokens=[3]), "`alora_invocation_tokens` = [3] of a LORA adapter is not"),
    "unknown field": (fields(use_newest=True), "`use_newest` = True of a LORA adapter is not supported"),
    "biases": (fields(bias="boft_only"), "`bias` = 'boft_only' of a LORA adapter is not supported"),
    "no method": (lambda found, _: found.pop("peft_type"), "adapter_config.json` is damaged: it has no `peft_type`"),
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
