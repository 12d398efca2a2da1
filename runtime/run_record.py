"""What a run was started with, so that only the same run goes on from its checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from specdsl.errors import SpecCheckpointError, SpecFileError
from specdsl.runtime.output_folder import check_output
from specdsl.runtime.settings import TrainSettings

FILE = "run.json"

FREE = frozenset({"output", "overwrite", "resume", "device", "log_every", "keep_checkpoints", "eval_batch_size"})
"""Settings that may differ between a run and its continuation: they change no trained number."""


class RunRecord(BaseModel):
    """The spec, the model, the data and the settings of a run, as text."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    values: dict[str, str]

    @classmethod
    def of(cls, settings: TrainSettings, **others: object) -> Self:
        values = settings.model_dump(exclude=set(FREE)) | others
        return cls(values={name: str(value) for name, value in values.items()})

    def write(self, checkpoints: Path) -> None:
        checkpoints.mkdir(parents=True, exist_ok=True)
        (checkpoints / FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def check_same(self, checkpoints: Path) -> None:
        """Raise SpecCheckpointError unless the checkpoints are of a run that was started like this one."""
        try:
            there = type(self).model_validate_json((checkpoints / FILE).read_bytes()).values
        except (OSError, ValidationError) as error:
            raise SpecCheckpointError(f"`{checkpoints}` does not say which run it belongs to") from error
        different = [name for name, value in self.values.items() if there.get(name) != value]
        if different:
            name = different[0]
            message = f"the run in `{checkpoints}` had {name} = {there.get(name)}, not {self.values[name]}"
            more = f"also different: {', '.join(different[1:])}" if different[1:] else None
            raise SpecCheckpointError(message, hint=more)


def checkpoint_folder(output: Path) -> Path:
    """Beside the adapter, not in it: saving an adapter replaces its whole folder."""
    return output.with_name(output.name + ".checkpoints")


def find_checkpoint(output: Path, run: RunRecord, *, resume: bool, overwrite: bool = False) -> Path | None:
    """The last whole checkpoint to go on from, or None for a fresh start.

    Raises:
        SpecFileError: `output` is something else than an adapter, or an adapter that may not be replaced; there is
            nothing to go on from, or there is and it was not asked for.
        SpecCheckpointError: the checkpoints are of another run.
    """
    check_output(output, overwrite or resume)
    folder = checkpoint_folder(output)
    last = last_checkpoint(folder)
    if resume and last is None:
        raise SpecFileError(f"there is no checkpoint in `{folder}` to go on from")
    if resume:
        run.check_same(folder)
        return last
    if last is not None:
        hint = "`resume=True` goes on with it; remove the folder to start anew"
        raise SpecFileError(f"`{folder}` holds a run that was interrupted", hint=hint)
    if (folder / FILE).is_file():
        # A run that ended before its first checkpoint.
        shutil.rmtree(folder)
    return None


def last_step(output: Path) -> int | None:
    """The step of the last whole checkpoint of the run that writes to `output`, or None."""
    last = last_checkpoint(checkpoint_folder(output))
    return None if last is None else int(last.name.removeprefix("checkpoint-"))


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of most steps; its `trainer_state.json` is written last and tells that it is whole."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    numbers = {path: path.name.removeprefix("checkpoint-") for path in whole}
    return max((path for path in whole if numbers[path].isdigit()), key=lambda path: int(numbers[path]), default=None)
