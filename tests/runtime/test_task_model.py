from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, set_seed

from specdsl.errors import SpecSettingError
from specdsl.runtime.task_model import TaskModel
from specdsl.runtime.tasks import Task

CLASSES = Task(kind="classification", texts=("text",), label="label", classes=("n", "p", "q"))
NUMBER = Task(kind="regression", texts=("text",), label="score")
TAGS = Task(kind="token-classification", texts=("tokens",), label="tags", classes=("B", "O"))
NEXT = Task(kind="causal-lm", texts=("text",))


@pytest.mark.parametrize(("task", "outputs"), [(CLASSES, 3), (NUMBER, 1), (TAGS, 2)])
def test_the_head_fits_the_task_and_is_trained_whole(tiny_bert: Path, task: Task, outputs: int) -> None:
    base = TaskModel.load(str(tiny_bert), task)
    assert base.model.get_submodule("classifier").weight.shape == (outputs, 32)
    assert base.trained_whole(["norm"]) == ["norm", "re:classifier"]
    assert base.name == str(tiny_bert.resolve())


def test_a_language_model_needs_no_head(tiny_llama: Path) -> None:
    assert TaskModel.load(str(tiny_llama), NEXT).trained_whole(None) == []


def test_the_model_knows_the_names_of_its_outputs(tiny_bert: Path) -> None:
    config = TaskModel.load(str(tiny_bert), CLASSES).model.config
    assert config.id2label == {0: "n", 1: "p", 2: "q"}
    assert config.label2id == {"n": 0, "p": 1, "q": 2}


def test_classes_that_a_checkpoint_knows_keep_its_order(
    tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    config = BertConfig(
        vocab_size=90,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        num_labels=3,
    )
    config.id2label = {0: "Q", 1: "N", 2: "P"}
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    base = TaskModel.load(str(tmp_path), CLASSES)
    assert base.task.classes == ("q", "n", "p")
    assert base.new_heads == ()


def test_the_seed_decides_the_new_head(tiny_bert: Path) -> None:
    heads = []
    for seed in (1, 1, 2):
        set_seed(seed)
        heads.append(TaskModel.load(str(tiny_bert), CLASSES).model.get_submodule("classifier").weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_bf16_keeps_the_checkpoints_type_but_for_the_new_head(
    tmp_path: Path, tiny_bert: Path, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    TaskModel.load(str(tiny_bert), NUMBER).model.base_model.bfloat16().save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    types = [{p.dtype for p in TaskModel.load(str(tmp_path), NUMBER, bf16=flag).model.parameters()} for flag in (0, 1)]
    assert types == [{torch.float32}, {torch.float32, torch.bfloat16}]


def test_recomputed_activations_give_the_same_gradients(tiny_bert: Path) -> None:
    gradients = []
    for recompute in (False, True):
        set_seed(0)
        base = TaskModel.load(str(tiny_bert), CLASSES)
        base.model.get_input_embeddings().requires_grad_(False)
        if recompute:
            base.recompute_activations()
        base.model.train()
        set_seed(0)
        base.model(**base.tokenizer("a good film", return_tensors="pt"), labels=torch.tensor([1])).loss.backward()
        gradients.append({name: p.grad for name, p in base.model.named_parameters() if p.grad is not None})
    assert base.model.is_gradient_checkpointing
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.allclose(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_an_encoder_cannot_predict_the_next_token(tiny_bert: Path) -> None:
    with pytest.raises(SpecSettingError, match="a `bert` model cannot do causal-lm"):
        TaskModel.load(str(tiny_bert), NEXT)


def test_more_tokens_than_the_model_reads_are_refused(tiny_bert: Path) -> None:
    with pytest.raises(SpecSettingError, match="max_length is 64, but the model reads at most 40"):
        TaskModel.load(str(tiny_bert), CLASSES, max_length=64)
