"""Well-known models have the sizes of the published ones, and cost no memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from specdsl.errors import SpecFileError
from specdsl.runtime.architectures import ARCHITECTURES, build, find, known_names

PARAMETERS = {
    "deberta-v3-base": 183_831_552,
    "deberta-v3-small": 141_304_320,
    "deberta-v3-xsmall": 70_682_112,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "bert-base": 109_482_240,
    "distilbert": 66_362_880,
    "minilm": 22_713_216,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "tinyllama": 1_100_048_384,
    "smollm2": 134_515_008,
    "llama-2-7b": 6_738_415_616,
    "vit-base": 86_389_248,
    "deit-tiny": 5_561_472,
    "dinov2-small": 22_056_576,
    "clip-vit-base": 151_277_313,
    "whisper-tiny": 37_760_640,
    "t5-small": 60_506_624,
}
WITH_HEADS = [
    ("deberta-v3-base", "AutoModelForSequenceClassification", 2, 184_423_682),
    ("roberta-base", "AutoModelForSequenceClassification", 2, 124_647_170),
    ("roberta-large", "AutoModelForSequenceClassification", 2, 355_361_794),
    ("roberta-base", "AutoModelForMaskedLM", 2, 124_697_433),
    ("bert-base", "AutoModelForSequenceClassification", 2, 109_483_778),
    ("vit-base", "AutoModelForImageClassification", 1000, 86_567_656),
    ("deit-tiny", "AutoModelForImageClassification", 1000, 5_717_416),
]


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_parameters_are_those_of_the_published_model(name: str, parameters: int) -> None:
    assert count(build(name)) == parameters


@pytest.mark.parametrize(("name", "auto_class", "labels", "parameters"), WITH_HEADS)
def test_a_head_can_be_asked_for(name: str, auto_class: str, labels: int, parameters: int) -> None:
    assert count(build(name, auto_class=auto_class, num_labels=labels)) == parameters


def test_every_architecture_is_counted() -> None:
    assert set(known_names()) == set(PARAMETERS)


def test_nothing_is_stored_or_trained_by_building() -> None:
    model = build("deberta-v3-small")
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert not model.training


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("microsoft/deberta-v3-base", "deberta-v3-base"),
        ("FacebookAI/roberta-base", "roberta-base"),
        ("meta-llama/Llama-2-7b-hf", "llama-2-7b"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama"),
        ("BERT_base_uncased", "bert-base"),
        ("DebertaV3Base", "deberta-v3-base"),
        ("vit-base-patch16-224", "vit-base"),
        ("sentence-transformers/all-MiniLM-L6-v2", "minilm"),
    ],
)
def test_names_are_found_however_they_are_written(name: str, expected: str) -> None:
    found = find(name)
    assert found is not None
    assert found.name == expected


@pytest.mark.parametrize("name", ["someone/gpt2", "bert", "", "microsoft/", "gpt2/"])
def test_other_names_are_not(name: str) -> None:
    assert find(name) is None


def test_every_hub_id_finds_its_architecture() -> None:
    assert all(find(architecture.hub) is architecture for architecture in ARCHITECTURES)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(SpecFileError) as raised:
        build("roberta-basse")
    assert str(raised.value) == "`roberta-basse` is not a well-known model\n  hint: did you mean `roberta-base`?"


def test_a_name_near_to_none_gets_the_list() -> None:
    with pytest.raises(SpecFileError) as raised:
        build("x")
    assert raised.value.hint == f"well-known models are {', '.join(known_names())}"


def test_seven_billion_parameters_fit_into_a_few_hundred_megabytes() -> None:
    code = (
        "import resource; from specdsl.runtime.architectures import build; before = {peak}; "
        "build('llama-2-7b'); print({peak} - before)"
    ).format(peak="resource.getrusage(resource.RUSAGE_SELF).ru_maxrss")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 300_000  # kB
