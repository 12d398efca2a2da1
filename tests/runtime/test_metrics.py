from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from datasets import Dataset

from specdsl.errors import SpecSettingError
from specdsl.runtime.metrics import (
    METRICS,
    baseline,
    compute,
    correlation,
    f1,
    more_is_better,
    ranks,
    summarise,
)
from specdsl.runtime.settings import TaskKind
from specdsl.runtime.tasks import Task

CLASSES = Task(kind="classification", texts=("text",), label="label", classes=("a", "b", "c"))
NUMBER = Task(kind="regression", texts=("text",), label="label")
TAGS = Task(kind="token-classification", texts=("tokens",), label="tags", classes=("B", "O"))
NEXT = Task(kind="causal-lm", texts=("text",))


def test_classification_counts_right_answers_and_averages_the_loss() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    labels = torch.tensor([0, 1, 2, 2])
    found = compute(CLASSES, summarise(CLASSES, logits, labels).numpy(), labels.numpy())
    assert found["accuracy"] == 0.75
    assert found["f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-6)


def test_large_logits_do_not_overflow_the_loss() -> None:
    found = compute(CLASSES, np.array([[1e5, 0.0, 0.0]]), np.array([1]))
    assert found["loss"] == pytest.approx(1e5)


def test_regression_correlates_and_squares() -> None:
    answers, labels = torch.tensor([[1.0], [2.0], [4.0], [3.0]]), torch.tensor([1.0, 2.0, 3.0, 40.0])
    found = compute(NUMBER, summarise(NUMBER, answers, labels).numpy(), labels.numpy())
    assert found["pearson"] == pytest.approx(np.corrcoef(answers[:, 0], labels)[0, 1])
    assert found["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert found["mse"] == found["loss"] == pytest.approx((1 + 37**2) / 4)


def test_tags_are_counted_at_the_targets_only() -> None:
    logits = torch.tensor([[[9.0, 0.0], [0.0, 2.0], [0.0, 2.0]], [[2.0, 0.0], [9.0, 0.0], [9.0, 0.0]]])
    labels = torch.tensor([[-100, 1, 0], [0, -100, -100]])
    found = compute(TAGS, summarise(TAGS, logits, labels).numpy(), labels.numpy())
    right, wrong = math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3), "of B alone: one of two found, none invented"
    assert found["loss"] == pytest.approx((2 * right + wrong) / 3, rel=1e-6)


def test_the_loss_of_next_tokens_is_a_mean_over_tokens_of_all_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, generator=generator)
    labels = torch.tensor([[1, 2, 3, 4], [1, 2, -100, -100]])
    parts = [summarise(NEXT, logits[row : row + 1], labels[row : row + 1]) for row in (0, 1)]
    found = compute(NEXT, torch.cat(parts).numpy(), labels.numpy())
    targets = torch.cat([labels[0, 1:], labels[1, 1:2]])
    expected = torch.nn.functional.cross_entropy(torch.cat([logits[0, :3], logits[1, :1]]), targets).item()
    assert found == {"perplexity": pytest.approx(math.exp(expected)), "loss": pytest.approx(expected)}


def test_further_outputs_and_low_precision_do_not_disturb() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert summarise(CLASSES, (logits, torch.zeros(3)), torch.tensor([0])).dtype == torch.float32


def test_equal_values_share_their_rank() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_a_constant_answer_correlates_with_nothing() -> None:
    assert correlation(np.ones(3), np.array([1.0, 2.0, 3.0])) == 0.0


def test_f1_leaves_out_the_tag_outside_and_absent_classes() -> None:
    answers, labels = np.array([0, 0, 2]), np.array([0, 2, 2])
    assert f1(answers, labels, outside=2) == pytest.approx(2 / 3)
    assert f1(answers, labels) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("task", "train", "asked", "expected"),
    [
        (CLASSES, [0, 1, 1], [1, 0, 1, 2], {"accuracy": 0.5}),
        (NUMBER, [1.0, 3.0], [2.0, 4.0], {"mse": 2.0}),
        (TAGS, [[-100, 1, 1], [0]], [[1, -100], [0]], {"accuracy": 0.5}),
        (NEXT, [[1, 2]], [[1, 2]], {}),
    ],
)
def test_the_baseline_answers_without_reading(
    task: Task, train: list[object], asked: list[object], expected: dict[str, float]
) -> None:
    assert baseline(task, Dataset.from_dict({"labels": train}), Dataset.from_dict({"labels": asked})) == expected


@pytest.mark.parametrize("kind", METRICS)
def test_each_metric_knows_its_direction(kind: TaskKind) -> None:
    task = Task(kind=kind, texts=("text",))
    assert more_is_better(task, "loss") is False
    with pytest.raises(SpecSettingError, match=f"{kind} has no metric `los`") as caught:
        more_is_better(task, "los")
    assert caught.value.hint == "did you mean `loss`?"
