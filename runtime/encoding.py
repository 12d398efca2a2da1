"""From rows of text to the token numbers and targets that a model trains on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datasets import Dataset
from transformers import (
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from specdsl.errors import SpecDataError, SpecSettingError
from specdsl.runtime.label_columns import class_ids, full_column, list_column, numbers, tag_ids
from specdsl.runtime.tasks import Task, check_column

IGNORED = -100
"""The target that torch's cross entropy leaves out: special tokens, padding, all but a word's first token."""

USUAL_LENGTH = 256
NO_LIMIT = 100_000
"""Tokenizers without a limit report an astronomic one."""


def encode(rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    """The rows as a model reads them: `input_ids`, `attention_mask`, `labels`, at most `max_length` tokens.

    Longer texts are cut, for causal-lm continued in the next example. A word's tag is the target of its
    first token.

    Raises:
        SpecDataError: a column or a value is missing, or a class is unknown.
    """
    for name in task.columns:
        check_column(rows, name)
    match task.kind:
        case "token-classification":
            return _words(rows, task, tokenizer, max_length)
        case "causal-lm":
            return _blocks(rows, task, tokenizer, max_length)
    assert task.label is not None
    texts = [full_column(rows, name) for name in task.texts]
    tokens = tokenizer(*texts, truncation=True, max_length=max_length)
    labels: list[Any] = (
        numbers(rows, task.label) if task.kind == "regression" else class_ids(rows, task.label, task.classes)
    )
    return Dataset.from_dict({**tokens, "labels": labels})


def _words(rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    if not tokenizer.is_fast:
        raise SpecDataError(f"{type(tokenizer).__name__} does not say which word a token comes from")
    assert task.label is not None
    words = list_column(rows, task.texts[0])
    tags = tag_ids(rows, task.label, task.classes)
    for number, (row, targets) in enumerate(zip(words, tags, strict=True), start=1):
        if len(row) != len(targets):
            raise SpecDataError(f"row {number} has {len(row)} words, but {len(targets)} tags")
        if not all(isinstance(word, str) for word in row):
            raise SpecDataError(f"row {number} of `{task.texts[0]}` holds a word that is no text")
    if tokenizer.tokenize("a") != tokenizer.tokenize(" a"):
        # Byte-level tokenizers know a word inside a text by the blank before it.
        words = [[word if place == 0 else f" {word}" for place, word in enumerate(row)] for row in words]
    tokens = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
    labels = [_first_tokens(tokens.word_ids(index), targets) for index, targets in enumerate(tags)]
    return Dataset.from_dict({**tokens, "labels": labels})


def _first_tokens(word_ids: list[int | None], targets: list[int]) -> list[int]:
    """The target of each token: that of its word if it begins the word, else `IGNORED`.

    >>> _first_tokens([None, 0, 0, 1, None], [5, 7])
    [-100, 5, -100, 7, -100]
    """
    before = [None, *word_ids]
    return [
        targets[word] if word is not None and word != last else IGNORED
        for word, last in zip(word_ids, before, strict=False)
    ]


def _blocks(rows: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Dataset:
    texts = [text for text in rows[task.texts[0]] if text and text.strip()]
    # Special tokens belong to a text, not to each of its blocks, so the tokenizer is not asked for them.
    plain = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    start = [token for token in [tokenizer.bos_token_id] if token is not None and _adds_start(tokenizer)]
    end = [token for token in [tokenizer.eos_token_id] if token is not None]
    blocks = [block for ids in plain for block in _cut([*start, *ids, *end], max_length)]
    if not blocks:
        raise SpecDataError(f"`{task.texts[0]}` holds no text of two tokens or more")
    return Dataset.from_dict(
        {"input_ids": blocks, "attention_mask": [[1] * len(ids) for ids in blocks], "labels": blocks}
    )


def _adds_start(tokenizer: PreTrainedTokenizerBase) -> bool:
    ids = tokenizer("a")["input_ids"]
    return bool(ids) and ids[0] == tokenizer.bos_token_id


def _cut(ids: list[int], length: int) -> Iterator[list[int]]:
    """Stretches of `length` tokens; the last is left out where it has no next token to predict."""
    for start in range(0, len(ids), length):
        block = ids[start : start + length]
        if len(block) > 1:
            yield block


def collator(task: Task, tokenizer: PreTrainedTokenizerBase) -> Any:
    """What makes one padded batch of encoded rows."""
    if task.kind in ("token-classification", "causal-lm"):
        return DataCollatorForTokenClassification(tokenizer, label_pad_token_id=IGNORED)
    return DataCollatorWithPadding(tokenizer)


def give_padding(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Let tokenizer and model pad with the same token; a tokenizer without one pads with its end of text.

    Raises:
        SpecDataError: the tokenizer has no token to pad with.
    """
    if tokenizer.pad_token is None:
        other = tokenizer.eos_token or tokenizer.unk_token
        if other is None:
            raise SpecDataError("the tokenizer has no token to pad with")
        tokenizer.pad_token = other
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = tokenizer.pad_token_id


def length_limit(wanted: int | None, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> int:
    """Tokens per example: `wanted`, or 256 where the model can take that many.

    Raises:
        SpecSettingError: more tokens are wanted than the model has positions for.
    """
    positions = getattr(config, "max_position_embeddings", None) or NO_LIMIT
    if config.model_type in OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    limit = min(positions, tokenizer.model_max_length)
    if wanted is not None and wanted > limit:
        raise SpecSettingError(f"max_length is {wanted}, but the model reads at most {limit} tokens")
    return wanted or min(limit, USUAL_LENGTH)


OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet"})
"""Model types whose first position has the number after that of the padding token."""
