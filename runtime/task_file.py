"""`task.json`, which lets a saved adapter be evaluated from its folder alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from datasets import Dataset
from pydantic import BaseModel, ConfigDict, ValidationError

from specdsl.errors import SpecCheckpointError, SpecFileError
from specdsl.runtime.tasks import Task

FILE = "task.json"


class Divided(BaseModel):
    """How data without a part for evaluation were divided, so that no row trained on is evaluated on.

    Attributes:
        digest: of all rows.
        share: what was held out.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    digest: str
    share: float


class TaskFile(BaseModel):
    """What an adapter was trained for.

    Attributes:
        model: the base model, as it was named; a folder by its full path.
        task: kind, columns and classes.
        max_length: tokens per example.
        bf16: whether it computed in bfloat16, over weights of the checkpoint's type.
        divided: set where the data were divided here.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    version: Literal[1] = 1
    model: str
    task: Task
    max_length: int
    bf16: bool = False
    divided: Divided | None = None

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The file in `folder`.

        Raises:
            SpecFileError: it is not there.
            SpecCheckpointError: it is not a task file of this version.
        """
        path = folder / FILE
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            if not folder.is_dir():
                raise SpecFileError(f"there is no folder `{folder}`", hint="`train` writes one") from error
            hint = "only `train` writes one"
            raise SpecFileError(f"cannot read `{path}`: {error.strerror}", hint=hint) from error
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            detail = error.errors()[0]
            place = ".".join(map(str, detail["loc"])) or "the file"
            raise SpecCheckpointError(f"`{path}` is no task file: {place}: {detail['msg']}") from error


def digest(rows: Dataset, columns: Iterable[str]) -> str:
    """A hash of the columns' values in all rows, the same for every file format that holds them."""
    found = hashlib.sha256()
    for row in rows.select_columns(list(columns)):
        found.update(json.dumps(row, sort_keys=True, default=str).encode())
    return found.hexdigest()
