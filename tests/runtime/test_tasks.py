from __future__ import annotations

from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from specdsl.errors import SpecDataError
from specdsl.runtime.tasks import Task, find_task, without_hidden_labels

TEXT = ["a", "b", "c", "d"]


def rows(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict(columns)


@pytest.mark.parametrize(
    ("data", "task"),
    [
        (
            rows(text=TEXT, label=[0, 1, 1, 0]),
            Task(kind="classification", texts=("text",), label="label", classes=("0", "1")),
        ),
        (
            rows(id=[1, 2, 3, 4], Review=TEXT, Sentiment=["pos", "neg", "pos", "neg"]),
            Task(kind="classification", texts=("Review",), label="Sentiment", classes=("neg", "pos")),
        ),
        (
            rows(premise=TEXT, hypothesis=TEXT, label=[2, 10, 2, 10]),
            Task(kind="classification", texts=("premise", "hypothesis"), label="label", classes=("2", "10")),
        ),
        (
            rows(utterance=TEXT, intent=["x", "y", "x", "y"]),
            Task(kind="classification", texts=("utterance",), label="intent", classes=("x", "y")),
        ),
        (
            rows(text=TEXT, label=[True, False, True, False]),
            Task(kind="classification", texts=("text",), label="label", classes=("False", "True")),
        ),
        (
            rows(sentence1=TEXT, sentence2=TEXT, score=[0.5, 1.0, 2.0, 5.0]),
            Task(kind="regression", texts=("sentence1", "sentence2"), label="score"),
        ),
        (
            rows(tokens=[["a", "b"], ["c"]], ner_tags=[["O", "B"], ["O"]], id=["1", "2"]),
            Task(kind="token-classification", texts=("tokens",), label="ner_tags", classes=("B", "O")),
        ),
        (
            rows(words=["a b", "c"], tags=["O B", "O"]),
            Task(kind="token-classification", texts=("words",), label="tags", classes=("B", "O")),
        ),
        (rows(text=TEXT, url=TEXT, length=[1, 2, 3, 4]), Task(kind="causal-lm", texts=("text",))),
    ],
)
def test_the_columns_decide(data: Dataset, task: Task) -> None:
    assert find_task(data) == task


def test_declared_classes_keep_their_order_and_absent_ones() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["z", "a", "unused"])})
    assert find_task(Dataset.from_dict({"text": TEXT, "label": [0, 1, 0, 1]}, features=features)).classes == (
        "z",
        "a",
        "unused",
    )


def test_declared_tags_inside_lists_are_found() -> None:
    features = Features({"tokens": List(Value("string")), "pos_tags": List(ClassLabel(names=["N", "V"]))})
    assert find_task(Dataset.from_dict({"tokens": [["a"]], "pos_tags": [[1]]}, features=features)).classes == ("N", "V")


@pytest.mark.parametrize(
    ("data", "kind", "label"),
    [
        (rows(text=TEXT, label=[0, 1, 1, 0]), "regression", "label"),
        (rows(text=TEXT, label=[0.0, 1.0, 1.0, 0.0]), "classification", "label"),
        (rows(text=TEXT, label=[0, 1, 1, 0]), "causal-lm", None),
    ],
)
def test_the_task_can_be_overruled(data: Dataset, kind: Any, label: str | None) -> None:
    task = find_task(data, kind)
    assert (task.kind, task.label) == (kind, label)


def test_fractions_that_are_whole_have_classes_without_a_point() -> None:
    assert find_task(rows(text=TEXT, label=[0.0, 1.0, 2.0, 0.0]), "classification").classes == ("0", "1", "2")


def test_columns_can_be_named() -> None:
    data = rows(title=TEXT, text=TEXT, label=[0, 1, 0, 1], stars=[1, 5, 1, 5])
    task = find_task(data, text_columns=["title"], label_column="stars")
    assert task == Task(kind="classification", texts=("title",), label="stars", classes=("1", "5"))


MANY = [str(number) for number in range(30)]


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (rows(a=[1, 2], b=[1, 2]), {}, "no column of text among `a`, `b`"),
        (
            rows(a=TEXT, b=TEXT, label=[0, 1, 0, 1]),
            {},
            "more than one column of text: `a`, `b`",
        ),
        (rows(text=[1, 2], label=[0, 1]), {}, "`text` holds no text but int64"),
        (rows(text=TEXT), {"kind": "classification"}, "no label for classification among the columns `text`"),
        (rows(text=TEXT), {"kind": "regression"}, "no label for regression among the columns `text`"),
        (rows(text=TEXT), {"kind": "token-classification"}, "no words and tags for token-classification"),
        (
            rows(text=TEXT, label=["x", "y"] * 2),
            {"kind": "regression"},
            "`label` is no label for regression: it holds string",
        ),
        (
            rows(text=TEXT, label=[0.5, 1.0, 0.5, 1.0]),
            {"kind": "classification"},
            "`label` has the value 0.5, which names no class",
        ),
        (
            rows(text=TEXT, label=[[0], [1], [0], [1]]),
            {},
            "`label` is no label for classification: it holds list",
        ),
        (rows(text=TEXT, label=[1, 1, 1, 1]), {}, "`label` is '1' in every row"),
        (rows(text=TEXT, label=[1, None, 1, None]), {}, "`label` has no value in row 2 and in 1 more"),
        (rows(text=TEXT, label=["x", " ", "x", "y"]), {}, "`label` has no value in row 2"),
        (
            rows(text=MANY, label=list(range(30))),
            {},
            "`label` has 30 values in 30 rows, too many for classes",
        ),
        (
            rows(premise=TEXT, hypothesis=TEXT),
            {},
            "more than one column of text: `hypothesis`, `premise`",
        ),
        (
            rows(text=TEXT, label=[0, 1] * 2),
            {"text_columns": ["txet"]},
            "no column `txet` among `label`, `text`",
        ),
        (
            rows(text=TEXT, label=[0, 1] * 2),
            {"text_columns": ["text"] * 3},
            "one or two columns of text, not 3",
        ),
        (
            rows(a=TEXT, b=TEXT),
            {"kind": "causal-lm", "text_columns": ["a", "b"]},
            "causal-lm reads one column of text",
        ),
        (rows(tokens=[["a"], ["b"]], tags=[["O"], [None]]), {}, "`tags` in row 2 has an empty entry"),
        (rows(tokens=['["a"]', '["b"]'], tags=['["O"]', "['O']"]), {}, "`tags` in row 2 is no JSON list"),
        (rows(tokens=["a", "b"], tags=["O", None]), {}, "`tags` has no value in row 2"),
    ],
)
def test_columns_that_fit_no_task_are_named(data: Dataset, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecDataError, match=message):
        find_task(data, **arguments)


def test_parts_whose_labels_are_kept_back_are_left_out() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["n", "p"])})
    train = Dataset.from_dict({"text": TEXT, "label": [0, 1, 0, 1]}, features=features)
    hidden = Dataset.from_dict({"text": TEXT, "label": [-1] * 4}, features=features)
    data = DatasetDict(train=train, validation=train, test=hidden)
    assert list(without_hidden_labels(data, find_task(train))) == ["train", "validation"]
    assert list(without_hidden_labels(DatasetDict(train=train, test=rows(text=TEXT)), find_task(train))) == ["train"]


def test_a_task_reads_as_a_phrase() -> None:
    assert str(find_task(rows(text=TEXT, label=[0, 1, 1, 0]))) == "classification of text by label: 0, 1"
    assert str(find_task(rows(text=TEXT))) == "causal-lm of text"


def test_a_task_survives_its_json() -> None:
    task = find_task(rows(text=TEXT, label=[0, 1, 1, 0]))
    assert Task.model_validate_json(task.model_dump_json()) == task
