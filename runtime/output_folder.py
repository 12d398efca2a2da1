"""The folder that an adapter is written to."""

from __future__ import annotations

from pathlib import Path

from specdsl.errors import SpecFileError
from specdsl.runtime.adapter_record import RECORD


def check_output(output: Path, overwrite: bool) -> None:
    """Raise SpecFileError unless the folder is new, empty, or holds an adapter that may be replaced."""
    is_adapter = (output / RECORD).is_file()
    if output.exists() and not is_adapter and not (output.is_dir() and not any(output.iterdir())):
        raise SpecFileError(f"`{output}` is there already and is no adapter", hint="choose another output")
    if is_adapter and not overwrite:
        raise SpecFileError(
            f"`{output}` holds an adapter already", hint="choose another output, or say `overwrite=True`"
        )
