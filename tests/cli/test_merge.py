from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

import specdsl
from tests.cli.conftest import Run
from tests.cli.test_train import QUICK, reviews

__all__ = ["reviews"]

TOKENS = torch.tensor([[2, 7, 11, 5, 3]])


def trained_values(model: PreTrainedModel, spec: str, **options: Any) -> specdsl.Adapter:
    """An adapter whose factors are away from their start."""
    adapter = specdsl.attach(model, spec, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return adapter


def test_the_folder_is_the_adapted_model_without_specdsl(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    model = AutoModel.from_pretrained(tiny_bert)
    trained_values(model, "W + A@G@B | orth(A)").save(tmp_path / "adapter")
    result = run("merge", "adapter", "--model", str(tiny_bert), "-o", "merged")
    assert (result.exit_code, result.output) == (0, "merged model in merged\n")
    merged = AutoModel.from_pretrained(tmp_path / "merged")
    assert "specdsl" not in (tmp_path / "merged" / "config.json").read_text()
    assert (
        load_file(tmp_path / "merged" / "model.safetensors").keys() == load_file(tiny_bert / "model.safetensors").keys()
    )
    with torch.no_grad():
        expected = model.eval()(TOKENS).last_hidden_state
        assert torch.allclose(merged.eval()(TOKENS).last_hidden_state, expected, atol=1e-5)
        assert not torch.allclose(AutoModel.from_pretrained(tiny_bert)(TOKENS).last_hidden_state, expected, atol=1e-2)


def test_the_tokenizer_comes_along(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    trained_values(AutoModel.from_pretrained(tiny_bert), "W + A@B").save(tmp_path / "adapter")
    run("merge", "adapter", "--model", str(tiny_bert), "-o", "merged")
    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (tiny_bert, tmp_path / "merged"))
    assert after("a good film")["input_ids"] == before("a good film")["input_ids"]


def test_a_trained_head_is_in_the_merged_model(run: Run, tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    run("train", "lora", "--model", str(tiny_bert), "--data", reviews, *QUICK)
    assert run("merge", "adapter", "-o", "merged").exit_code == 0
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    adapter = load_file(tmp_path / "adapter" / "adapter.safetensors")
    assert torch.equal(merged.classifier.weight, adapter["whole/classifier/weight"])
    assert merged.config.id2label == {0: "no", 1: "yes"}


def test_a_head_is_asked_for_where_train_did_not_save_the_adapter(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=3)
    trained_values(model, "W + A@B", train="head").save(tmp_path / "adapter")
    model_options = ("--model", str(tiny_bert), "-o", "merged")
    assert run("merge", "adapter", *model_options).exit_code == 2
    assert run("merge", "adapter", *model_options, "--task", "classification", "--num-labels", "3").exit_code == 0
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert torch.equal(merged.classifier.weight, model.classifier.weight)


def test_a_bias_that_the_model_has_no_place_for_is_refused(run: Run, tmp_path: Path, tiny_llama: Path) -> None:
    trained_values(AutoModelForCausalLM.from_pretrained(tiny_llama), "b + d").save(tmp_path / "adapter")
    result = run("merge", "adapter", "--model", str(tiny_llama), "-o", "merged")
    assert result.exit_code == 2
    assert result.stderr == (
        "merging adds `model.layers.0.mlp.down_proj.bias`, which a LlamaForCausalLM has no place for\n"
        "  hint: keep it as an adapter\n"
    )
    assert not (tmp_path / "merged").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_bfloat16_model_stays_one(run: Run, tmp_path: Path, tiny_tokenizer: Any) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=90, bos_token_id=2, eos_token_id=3, **sizes)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "base")
    tiny_tokenizer.save_pretrained(tmp_path / "base")
    trained_values(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), "W + A@B").save(tmp_path / "adapter")
    assert run("merge", "adapter", "--model", "base", "-o", "merged").exit_code == 0
    assert {value.dtype for value in load_file(tmp_path / "merged" / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_model_without_a_tokenizer_is_merged_with_a_note(run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    base = AutoModel.from_pretrained(tiny_bert)
    base.save_pretrained(tmp_path / "base")
    trained_values(base, "W + A@B").save(tmp_path / "adapter")
    result = run("merge", "adapter", "--model", "base", "-o", "merged")
    assert result.stdout == "note: without a tokenizer: base holds no tokenizer\nmerged model in merged\n"


@pytest.mark.parametrize("name", ["folder", "file"])
def test_nothing_is_overwritten(name: str, run: Run, tmp_path: Path, tiny_bert: Path) -> None:
    trained_values(AutoModel.from_pretrained(tiny_bert), "W + A@B").save(tmp_path / "adapter")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("")
    (tmp_path / "file").write_text("")
    result = run("merge", "adapter", "--model", str(tiny_bert), "-o", name)
    assert (result.exit_code, result.stderr) == (2, f"`{name}` is there already\n  hint: choose a new folder\n")
