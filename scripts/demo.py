"""The main job on real input: `specdsl train` with `W + A@G@B | orth(A)` on MiniLM and rated movie reviews.

    python scripts/demo.py            3,000 sentences, one epoch: about two minutes on two cores
    python scripts/demo.py --short    a few hundred sentences: shows that everything runs, and learns next to nothing

Exits with 1 unless the accuracy reaches the goal and the saved adapter gives the same predictions again, both loaded
into a fresh model and merged into it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

    from specdsl.runtime.task_model import TaskModel

SPEC = "W + A@G@B | orth(A)"
FOLDER = Path("demo/movie-reviews")
SHORT_FOLDER = Path("demo/short")
GOAL, SHORT_GOAL = 0.77, 0.4
TOLERANCE = 1e-4


def train(limit: int, folder: Path) -> None:
    """Run the command a user would type."""
    command = [
        "train", SPEC, "--model", "minilm", "--data", "movie-reviews", "--output", str(folder),
        "--limit", str(limit), "--epochs", "1", "--lr", "1e-3", "--max-length", "64", "--batch-size", "16",
        "--overwrite",
    ]  # fmt: skip
    shown = " ".join(f'"{word}"' if " " in word else word for word in command)
    print(f"$ specdsl {shown}\n", flush=True)
    subprocess.run([sys.executable, "-m", "specdsl.cli", *command], check=True)


def check(limit: int, goal: float, folder: Path) -> list[str]:
    """What the saved adapter is worth; returns what went wrong."""
    import torch

    import specdsl
    from specdsl.runtime.example_data import movie_reviews
    from specdsl.runtime.task_file import TaskFile
    from specdsl.runtime.task_model import TaskModel

    data = movie_reviews()
    test = data["test"]
    labels = torch.tensor(test["label"])
    file = TaskFile.read(folder)

    def fresh() -> TaskModel:
        return TaskModel.load(file.model, file.task, max_length=file.max_length)

    base, again = fresh(), fresh()
    probe = probe_accuracy(base, data["train"].select(range(limit)), test)
    adapter = specdsl.load(base.model, folder)
    reloaded = logits(base, test["text"])
    specdsl.load(again.model, folder).merge_and_unload()
    merged = logits(again, test["text"])

    accuracy = float((reloaded.argmax(-1) == labels).double().mean())
    trained = json.loads((folder / "metrics.json").read_text())["after"]["accuracy"]
    majority = float(torch.bincount(labels).max()) / len(labels)
    difference = float((reloaded - merged).abs().max())
    same = bool((reloaded.argmax(-1) == merged.argmax(-1)).all())
    error = (accuracy * (1 - accuracy) / len(labels)) ** 0.5
    print(f"\nAccuracy on {len(labels)} held-out sentences (standard error {error:.3f})")
    print(f"  majority baseline                        {majority:.3f}")
    print(f"  frozen embeddings, logistic regression   {probe:.3f}")
    print(f"  the adapter as trained                   {trained:.3f}")
    print(f"  the adapter loaded into a fresh model    {accuracy:.3f}")
    print(f"  merged: logits differ by at most {difference:.1e}, predictions {'are equal' if same else 'DIFFER'}")
    print(f"  {adapter.report().total_line()}")
    problems = []
    if accuracy < goal:
        problems.append(f"the accuracy {accuracy:.3f} is below {goal}")
    if abs(accuracy - trained) > 1e-9:
        problems.append(f"the reloaded adapter reaches {accuracy:.4f}, the trained one {trained:.4f}")
    if not same or difference > TOLERANCE:
        problems.append(f"merging changes predictions, or logits by {difference:.1e}")
    return problems


def logits(base: TaskModel, texts: Sequence[str]) -> Tensor:
    """The model's outputs, `sentences x classes`."""
    import torch

    base.model.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(texts), 64):
            batch = base.tokenizer(
                list(texts[start : start + 64]), truncation=True, max_length=base.max_length, padding=True,
                return_tensors="pt",
            )  # fmt: skip
            found.append(base.model(**batch).logits)
    return torch.cat(found)


def probe_accuracy(base: TaskModel, train_part: Dataset, test: Dataset) -> float:
    """Accuracy of a logistic regression on the bare model's mean embeddings: what needs no fine-tuning."""
    import torch

    def embedded(rows: Dataset) -> Tensor:
        found = []
        with torch.no_grad():
            for start in range(0, len(rows), 64):
                texts = list(rows["text"][start : start + 64])
                batch = base.tokenizer(
                    texts, truncation=True, max_length=base.max_length, padding=True, return_tensors="pt"
                )
                hidden = base.model.base_model(**batch).last_hidden_state
                mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                found.append((hidden * mask).sum(1) / mask.sum(1))
        vectors = torch.cat(found).double()
        return torch.nn.functional.normalize(vectors, dim=-1)

    base.model.eval()
    x, y = embedded(train_part), torch.tensor(train_part["label"]).double()
    weight = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(x @ weight[1:] + weight[0], y)
        value = value + 0.5 / len(y) * weight[1:].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    guessed = (embedded(test) @ weight[1:] + weight[0] > 0).long()
    return float((guessed == torch.tensor(test["label"])).double().mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="a few hundred sentences, for a quick check")
    short = parser.parse_args().short
    limit, goal = (320, SHORT_GOAL) if short else (3000, GOAL)
    folder = SHORT_FOLDER if short else FOLDER
    train(limit, folder)
    problems = check(limit, goal, folder)
    for problem in problems:
        print(f"demo: {problem}", file=sys.stderr)
    if not problems:
        print(f"\nThe adapter is in {folder}.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
