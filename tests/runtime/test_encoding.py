from __future__ import annotations

from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertConfig, LlamaConfig, PreTrainedTokenizerFast, RobertaConfig

from specdsl.errors import SpecDataError, SpecSettingError
from specdsl.runtime.encoding import collator, encode, give_padding, length_limit
from specdsl.runtime.tasks import Task, find_task


def rows(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict(columns)


def test_text_and_label_become_tokens_and_a_number(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    data = rows(text=["a good film", "bad"], label=["yes", "no"])
    encoded = encode(data, find_task(data), tiny_tokenizer, 8)
    assert encoded["labels"][:] == [1, 0]
    assert encoded["input_ids"][0] == tiny_tokenizer("a good film")["input_ids"]


def test_a_pair_becomes_one_text_with_a_separator(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    data = rows(sentence1=["a film", "bad"], sentence2=["good", "bad"], score=[0.5, 1.5])
    encoded = encode(data, find_task(data), tiny_tokenizer, 16)
    assert encoded["input_ids"][0] == tiny_tokenizer("a film", "good")["input_ids"]
    assert encoded["labels"][:] == [0.5, 1.5]


def test_long_texts_are_cut(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    data = rows(text=["good " * 50, "bad"], label=[0, 1])
    encoded = encode(data, find_task(data), tiny_tokenizer, 6)
    assert [len(ids) for ids in encoded["input_ids"]] == [6, 3]


def test_a_word_is_tagged_at_its_first_token(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    data = rows(tokens=[["John", "films", "Rome"], ["bad"]], tags=[["B", "O", "B"], ["O"]])
    encoded = encode(data, find_task(data), tiny_tokenizer, 20)
    pieces = [len(tiny_tokenizer(word, add_special_tokens=False)["input_ids"]) for word in data["tokens"][0]]
    assert pieces[1] > 1
    expected = [-100]
    for tag, count in zip([0, 1, 0], pieces, strict=True):
        expected += [tag] + [-100] * (count - 1)
    assert encoded["labels"][0] == [*expected, -100]


@pytest.mark.parametrize("words", [["a b", "c"], ['["a", "b"]', '["c"]']])
def test_words_in_text_files_are_lists_or_have_blanks_between(
    tiny_tokenizer: PreTrainedTokenizerFast, words: list[str]
) -> None:
    data = rows(tokens=words, tags=["X Y", "X"])
    plain = rows(tokens=[["a", "b"], ["c"]], tags=[["X", "Y"], ["X"]])
    assert encode(data, find_task(data), tiny_tokenizer, 9)[:] == encode(plain, find_task(plain), tiny_tokenizer, 9)[:]


def test_texts_for_the_next_token_are_continued_not_cut(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    data = rows(text=["a good film and a bad film", "  ", "good"])
    encoded = encode(data, Task(kind="causal-lm", texts=("text",)), tiny_tokenizer, 4)
    whole = tiny_tokenizer("a good film and a bad film", add_special_tokens=False)["input_ids"]
    first, second = encoded["input_ids"][:2]
    assert [*first, *second] == whole[:8]
    assert encoded["labels"][:] == encoded["input_ids"][:]


def test_padding_has_no_target(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    data = rows(text=["a good film", "good bad"])
    task = find_task(data)
    batch = collator(task, tiny_tokenizer)(encode(data, task, tiny_tokenizer, 9).to_list())
    assert ((batch["labels"] == -100) == (batch["attention_mask"] == 0)).all()


CLASSES = Task(kind="classification", texts=("text",), label="label", classes=("bad", "good"))
TAGS = Task(kind="token-classification", texts=("tokens",), label="tags", classes=("B", "O"))


def test_numbers_stand_for_the_classes_that_training_had_names_for(
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert encode(rows(text=["a", "b"], label=[1, 0]), CLASSES, tiny_tokenizer, 8)["labels"][:] == [1, 0]
    features = Features({"text": Value("string"), "label": ClassLabel(names=["good", "bad"])})
    turned = Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    assert encode(turned, CLASSES, tiny_tokenizer, 8)["labels"][:] == [0, 1]


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (
            CLASSES,
            rows(text=["a"], label=["fair"]),
            "class 'fair' of `label` does not occur in training .there: bad, good.",
        ),
        (CLASSES, rows(text=["a"], label=[2]), "class '2' of `label` does not occur in training"),
        (CLASSES, rows(text=["a", None], label=["bad", "good"]), "`text` has no value in row 2"),
        (CLASSES, rows(texts=["a"], label=["bad"]), "no column `text` among `label`, `texts`"),
        (TAGS, rows(tokens=[["a", "b"]], tags=[["O"]]), "row 1 has 2 words, but 1 tags"),
        (TAGS, rows(tokens=[[1, 2]], tags=[["O", "B"]]), "row 1 of `tokens` holds a word that is no text"),
        (Task(kind="causal-lm", texts=("text",)), rows(text=["", " "]), "`text` holds no text of two tokens"),
        (
            Task(kind="regression", texts=("text",), label="score"),
            rows(text=["a"], score=[float("inf")]),
            "infinite in row 1",
        ),
        (
            Task(kind="regression", texts=("text",), label="score"),
            rows(text=["a"], score=[float("nan")]),
            "no value in row 1",
        ),
    ],
)
def test_rows_that_cannot_be_encoded_are_named(
    tiny_tokenizer: PreTrainedTokenizerFast, task: Task, data: Dataset, message: str
) -> None:
    with pytest.raises(SpecDataError, match=message):
        encode(data, task, tiny_tokenizer, 8)


def fresh(tokenizer: PreTrainedTokenizerFast, **values: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, **values)


def test_a_tokenizer_without_padding_pads_with_its_end(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer, config = fresh(tiny_tokenizer, eos_token="[SEP]"), LlamaConfig()
    give_padding(tokenizer, config)
    assert tokenizer.pad_token == "[SEP]"
    assert config.pad_token_id == tokenizer.pad_token_id


def test_a_tokenizer_without_any_token_to_pad_with_is_refused(
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    with pytest.raises(SpecDataError, match="no token to pad with"):
        give_padding(fresh(tiny_tokenizer), BertConfig())


@pytest.mark.parametrize(
    ("config", "wanted", "length"),
    [
        (BertConfig(max_position_embeddings=40), None, 40),
        (BertConfig(max_position_embeddings=512), None, 256),
        (BertConfig(max_position_embeddings=512), 300, 300),
        (RobertaConfig(max_position_embeddings=42, pad_token_id=1), None, 40),
    ],
)
def test_texts_are_as_long_as_the_model_can_take(
    tiny_tokenizer: PreTrainedTokenizerFast, config: BertConfig, wanted: int | None, length: int
) -> None:
    assert length_limit(wanted, tiny_tokenizer, config) == length


def test_more_tokens_than_positions_are_refused(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(SpecSettingError, match="max_length is 41, but the model reads at most 40 tokens"):
        length_limit(41, tiny_tokenizer, BertConfig(max_position_embeddings=40))


def test_words_of_byte_level_tokenizers_keep_the_blank_before_them() -> None:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(["a good film"] * 9, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    data = rows(tokens=[["good", "film"]], tags=[["X", "Y"]])
    encoded = encode(data, find_task(data), tokenizer, 9)
    assert encoded["input_ids"][0] == tokenizer("good film")["input_ids"]
