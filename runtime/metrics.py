"""How good a model's answers are, per task, with numpy alone.

The loss is the mean over examples (over words or tokens, where the task asks for one answer each): batches of
unequal size do not change it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.nn import functional

from specdsl.errors import SpecSettingError, did_you_mean
from specdsl.runtime.encoding import IGNORED
from specdsl.runtime.settings import TaskKind
from specdsl.runtime.tasks import Task

Numbers = NDArray[np.float64]

METRICS: Mapping[TaskKind, Mapping[str, bool]] = {
    "classification": {"accuracy": True, "f1": True, "loss": False},
    "regression": {"pearson": True, "spearman": True, "mse": False, "loss": False},
    "token-classification": {"accuracy": True, "f1": True, "loss": False},
    "causal-lm": {"perplexity": False, "loss": False},
}
"""The metrics of each task, the main one first; whether more is better."""


def more_is_better(task: Task, metric: str) -> bool:
    """Whether a larger value of the metric is the better one.

    Raises:
        SpecSettingError: the task has no such metric.
    """
    known = METRICS[task.kind]
    if metric not in known:
        hint = did_you_mean(metric, known) or f"{task.kind} has {', '.join(known)}"
        raise SpecSettingError(f"{task.kind} has no metric `{metric}`", hint=hint)
    return known[metric]


def summarise(task: Task, logits: Any, labels: torch.Tensor) -> torch.Tensor:
    """What is kept of a batch's outputs for the metrics, so that no array of vocabulary size is gathered.

    Returns:
        batch x 2 for causal-lm (sum of losses, number of tokens); batch x words x 2 for tags (answer, loss);
        batch x classes for classification (logits); batch for regression.
    """
    outputs: torch.Tensor = logits[0] if isinstance(logits, (tuple, list)) else logits
    outputs = outputs.float()
    match task.kind:
        case "classification":
            return outputs
        case "regression":
            return outputs.reshape(-1)
        case "token-classification":
            losses = _token_losses(outputs, labels)
            return torch.stack([outputs.argmax(-1).float(), losses], dim=-1)
    losses = _token_losses(outputs[:, :-1], labels[:, 1:])
    counts = (labels[:, 1:] != IGNORED).sum(-1)
    return torch.stack([losses.sum(-1), counts.float()], dim=-1)


def _token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """batch x tokens; zero where there is no target."""
    return functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")


def compute(task: Task, summary: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    """The task's metrics from the summaries of all batches and the labels."""
    match task.kind:
        case "classification":
            return _classified(np.asarray(summary, float), labels)
        case "regression":
            return _measured(np.asarray(summary, float), np.asarray(labels, float))
        case "token-classification":
            real = labels != IGNORED
            answers, losses = summary[..., 0][real].astype(int), summary[..., 1][real]
            outside = task.classes.index("O") if "O" in task.classes else None
            scores = {
                "accuracy": float(np.mean(answers == labels[real])),
                "f1": f1(answers, labels[real], outside),
            }
            return scores | {"loss": float(np.mean(losses))}
    totals = np.asarray(summary, float).sum(0)
    loss = float(totals[0] / totals[1])
    return {"perplexity": math.exp(min(loss, 700)), "loss": loss}


def _classified(logits: Numbers, labels: NDArray[Any]) -> dict[str, float]:
    answers = logits.argmax(-1)
    top = logits.max(-1, keepdims=True)
    logarithms = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    loss = -logarithms[np.arange(len(labels)), labels].mean()
    return {"accuracy": float(np.mean(answers == labels)), "f1": f1(answers, labels), "loss": float(loss)}


def _measured(answers: Numbers, labels: Numbers) -> dict[str, float]:
    mse = float(np.mean((answers - labels) ** 2))
    ranked = correlation(ranks(answers), ranks(labels))
    return {"pearson": correlation(answers, labels), "spearman": ranked, "mse": mse, "loss": mse}


def f1(answers: NDArray[Any], labels: NDArray[Any], outside: int | None = None) -> float:
    """The mean F1 over the classes that occur in answers or labels, without the class `outside`.

    >>> f1(np.array([0, 1, 1]), np.array([0, 0, 1]))
    0.6666666666666666
    """
    scores = []
    for number in set(np.unique(answers)) | set(np.unique(labels)):
        if number != outside:
            both = np.sum((answers == number) & (labels == number))
            scores.append(2 * both / (np.sum(answers == number) + np.sum(labels == number)))
    return float(np.mean(scores)) if scores else 1.0


def correlation(a: Numbers, b: Numbers) -> float:
    """Pearson's correlation; 0 where one side does not vary at all.

    >>> correlation(np.array([1.0, 2, 3]), np.array([2.0, 4, 6]))
    1.0
    """
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip((a @ b) / scale, -1, 1)) if scale > 0 else 0.0


def ranks(values: Numbers) -> Numbers:
    """The place of each value in ascending order from 1; equal values share the mean of their places.

    >>> ranks(np.array([10.0, 30, 10])).tolist()
    [1.5, 3.0, 1.5]
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[which], float)


def baseline(task: Task, train: Dataset, held_out: Dataset) -> dict[str, float]:
    """What is reached on the encoded `held_out` without reading the text.

    The commonest class (or tag) of training as every answer gives an accuracy, its mean label an mse; the
    next token has no such answer.
    """
    if task.kind == "causal-lm":
        return {}
    known, asked = (np.concatenate([np.atleast_1d(row) for row in rows["labels"]]) for rows in (train, held_out))
    if task.kind == "regression":
        return {"mse": float(np.mean((asked - known.mean()) ** 2))}
    known, asked = known[known != IGNORED], asked[asked != IGNORED]
    return {"accuracy": float(np.mean(asked == np.bincount(known).argmax()))}
