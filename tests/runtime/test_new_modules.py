"""What a checkpoint does not hold is told by module, and a body that is not there is an error."""

from __future__ import annotations

import pytest

from specdsl.errors import SpecFileError
from specdsl.runtime.new_modules import new_modules
from tests.runtime.tiny_models import SIZES, bert, tiny


def test_nothing_missing_is_nothing_new() -> None:
    assert new_modules(bert(), (), ()) == ()


def test_a_head_is_new_as_a_whole() -> None:
    model = tiny("RobertaForSequenceClassification", "roberta", **SIZES)
    missing = [name for name, _ in model.named_parameters() if name.startswith("classifier")]
    assert len(missing) == 4
    assert new_modules(model, missing, ()) == ("classifier",)


def test_a_part_of_a_head_is_new_alone() -> None:
    model = tiny("RobertaForSequenceClassification", "roberta", **SIZES)
    assert new_modules(model, (), ["classifier.out_proj.weight", "classifier.out_proj.bias"]) == (
        "classifier.out_proj",
    )


def test_missing_and_mismatched_make_one_module() -> None:
    model = tiny("BertForSequenceClassification", "bert", **SIZES)
    assert new_modules(model, ["classifier.weight"], ["classifier.bias"]) == ("classifier",)


def test_a_pooler_may_be_new() -> None:
    assert new_modules(bert(), ["pooler.dense.weight", "pooler.dense.bias"], ()) == ("pooler",)


@pytest.mark.parametrize("key", ["encoder.layer.1.output.dense.weight", "embeddings.word_embeddings.weight"])
def test_a_part_of_the_body_may_not(key: str) -> None:
    with pytest.raises(SpecFileError) as raised:
        new_modules(bert(), [key], ["encoder.layer.1.output.dense.bias"])
    assert str(raised.value).startswith("the checkpoint does not fit the model: 2 tensors of its body are not there ")


def test_the_error_names_a_tensor() -> None:
    with pytest.raises(SpecFileError, match=r"or have another size, such as encoder\.layer\.0\.output\.dense\.bias$"):
        new_modules(bert(), (), ["encoder.layer.0.output.dense.bias"])
