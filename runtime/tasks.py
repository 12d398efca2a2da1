"""What a data set's columns ask of a model: classes, a number, a tag for each word, or the next token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Value
from pydantic import BaseModel, ConfigDict

from specdsl.errors import SpecDataError, did_you_mean
from specdsl.runtime.label_columns import classes_in, is_missing, label_kind
from specdsl.runtime.settings import TaskKind
from specdsl.runtime.tables import quoted

TEXT_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("query", "document"),
    ("text", "text_pair"),
)
TEXTS = (
    "text",
    "sentence",
    "content",
    "review",
    "comment",
    "question",
    "tweet",
    "message",
    "document",
    "body",
)
LABELS = ("label", "labels", "class", "category", "target", "sentiment", "intent", "polarity")
NUMBERS = ("score", "rating", "stars", "similarity", "similarity_score")
TOKENS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "labels", "pos_tags", "upos", "chunk_tags")
"""Names of columns, the likelier ones first; compared without case."""


class Task(BaseModel):
    """A task on certain columns.

    Attributes:
        kind: classification, regression, token-classification or causal-lm.
        texts: the columns of text, one or two; for token-classification the one column of words.
        label: the column of labels or tags; None for causal-lm.
        classes: names of the classes or tags, in the order of the model's outputs.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    kind: TaskKind
    texts: tuple[str, ...]
    label: str | None = None
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int | None:
        """Outputs of the head: the classes, 1 for regression, None where the vocabulary decides."""
        return {"regression": 1, "causal-lm": None}.get(self.kind, len(self.classes))

    @property
    def columns(self) -> tuple[str, ...]:
        return self.texts if self.label is None else (*self.texts, self.label)

    def __str__(self) -> str:
        """`classification of text by label: negative, positive`, shortened where there are many classes."""
        words = f"{self.kind} of {' and '.join(self.texts)}"
        names = ", ".join(self.classes[:6]) + (", ..." if len(self.classes) > 6 else "")
        return words + (f" by {self.label}" if self.label else "") + (f": {names}" if names else "")


def find_task(
    rows: Dataset,
    kind: TaskKind | None = None,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
) -> Task:
    """The task that the columns of the training rows ask for; the arguments overrule what is found.

    Text and a whole number or a name is classification, text and a fraction regression, words and tags
    token classification, text alone causal language modelling.

    Raises:
        SpecDataError: the columns fit no task, or not the one asked for.
    """
    if text_columns is not None and len(text_columns) not in (1, 2):
        raise SpecDataError(f"a task reads one or two columns of text, not {len(text_columns)}")
    for name in (*(text_columns or ()), *filter(None, [label_column])):
        check_column(rows, name)
    kind = kind or _kind(rows, text_columns, label_column)
    if kind == "token-classification":
        return _tagging(rows, text_columns, label_column)
    texts = tuple(text_columns) if text_columns else _texts(rows, kind, label_column)
    for name in texts:
        if rows.features[name] not in (Value("string"), Value("large_string")):
            raise SpecDataError(f"`{name}` holds no text but {_type(rows, name)}")
    if kind == "causal-lm":
        if len(texts) > 1:
            raise SpecDataError(f"causal-lm reads one column of text, not {quoted(texts)}")
        return Task(kind=kind, texts=texts)
    label = label_column or _find(rows, LABELS + NUMBERS)
    if label is None or label in texts:
        raise SpecDataError(f"no label for {kind} among the columns {quoted(rows.column_names)}", hint=HINT)
    return _labelled(rows, kind, texts, label)


HINT = "name the columns with `text_columns=` and `label_column=`"


def _kind(rows: Dataset, texts: Sequence[str] | None, label: str | None) -> TaskKind:
    words, tags = (texts[0] if texts else _find(rows, TOKENS)), label or _find(rows, TAGS)
    if words and tags:
        kinds = {label_kind(rows.features[words]), label_kind(rows.features[tags])}
        if kinds == {"list"} or (kinds == {"name"} and texts is None):
            return "token-classification"
    label = label or _find(rows, LABELS + NUMBERS)
    if label is None:
        return "causal-lm"
    return "regression" if label_kind(rows.features[label]) == "fraction" else "classification"


def _tagging(rows: Dataset, texts: Sequence[str] | None, label: str | None) -> Task:
    words, tags = (texts[0] if texts else _find(rows, TOKENS)), label or _find(rows, TAGS)
    if words is None or tags is None or words == tags:
        seen = quoted(rows.column_names)
        raise SpecDataError(f"no words and tags for token-classification among the columns {seen}", hint=HINT)
    for name in (words, tags):
        if label_kind(rows.features[name]) not in ("list", "name"):
            raise SpecDataError(f"`{name}` holds no lists but {_type(rows, name)}")
    classes = classes_in(rows, tags, lists=True)
    return Task(kind="token-classification", texts=(words,), label=tags, classes=classes)


def _labelled(rows: Dataset, kind: TaskKind, texts: tuple[str, ...], label: str) -> Task:
    found = label_kind(rows.features[label])
    if found in ("list", "other") or (kind == "regression" and found in ("name", "class")):
        raise SpecDataError(f"`{label}` is no label for {kind}: it holds {_type(rows, label)}")
    if kind == "regression":
        return Task(kind=kind, texts=texts, label=label)
    classes = classes_in(rows, label)
    if len(classes) < 2:
        raise SpecDataError(f"`{label}` is {classes[0]!r} in every row; there is nothing to learn")
    if found != "class" and len(rows) >= 20 and 2 * len(classes) > len(rows):
        hint = "task=regression learns a number" if found == "whole" else HINT
        raise SpecDataError(f"`{label}` has {len(classes)} values in {len(rows)} rows, too many for classes", hint=hint)
    return Task(kind=kind, texts=texts, label=label, classes=classes)


def _texts(rows: Dataset, kind: TaskKind, label: str | None) -> tuple[str, ...]:
    if kind != "causal-lm":
        for pair in TEXT_PAIRS:
            first, second = (_find(rows, (name,)) for name in pair)
            if first and second:
                return first, second
    known = _find(rows, TEXTS)
    if known:
        return (known,)
    others = [name for name, feature in rows.features.items() if label_kind(feature) == "name"]
    others = [name for name in others if name != label and name.lower() not in LABELS]
    if len(others) == 1:
        return (others[0],)
    if others:
        raise SpecDataError(f"more than one column of text: {quoted(others)}", hint=HINT)
    raise SpecDataError(f"no column of text among {quoted(rows.column_names)}", hint=HINT)


def _find(rows: Dataset, names: Iterable[str]) -> str | None:
    """The column with the first of `names` that there is, as it is written in the data."""
    written = {name.lower(): name for name in reversed(rows.column_names)}
    return next((written[name] for name in names if name in written), None)


def _type(rows: Dataset, name: str) -> str:
    feature = rows.features[name]
    return getattr(feature, "dtype", None) or type(feature).__name__.lower()


def check_column(rows: Dataset, name: str) -> None:
    """Raise SpecDataError unless the rows have the column `name`."""
    if name not in rows.column_names:
        hint = did_you_mean(name, rows.column_names)
        raise SpecDataError(f"no column `{name}` among {quoted(rows.column_names)}", hint=hint)


def without_hidden_labels(data: DatasetDict, task: Task) -> DatasetDict:
    """The parts that can be trained or evaluated on: public tests often keep their labels back."""
    return DatasetDict({part: rows for part, rows in data.items() if part == "train" or _has_labels(rows, task)})


def _has_labels(rows: Dataset, task: Task) -> bool:
    if task.label is None:
        return True
    if task.label not in rows.column_names:
        return False
    feature: Any = rows.features[task.label]
    hidden = -1 if isinstance(feature, ClassLabel) else None
    return not all(is_missing(value) or value == hidden for value in rows[task.label])
