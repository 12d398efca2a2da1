"""The folder of `compile -o`: resolved spec, report, code, and with real weights an adapter that `load` reads."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from specdsl.cli.compiled import Compiled
from specdsl.cli.emitted import emitted_code
from specdsl.errors import SpecFileError, SpecNotBuiltError
from specdsl.printing.resolved import resolved_text

SPEC = "resolved.spec"
REPORT = "compile.json"
CODE = "module.py"


def check_folder(folder: Path) -> None:
    """Raise SpecFileError unless the folder is new, empty, or an earlier `compile -o` wrote it."""
    if folder.exists() and not folder.is_dir():
        raise SpecFileError(f"`{folder}` is a file", hint="choose a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / REPORT).is_file():
        raise SpecFileError(f"the folder `{folder}` holds other things", hint="choose an empty or new folder")


def has_weights_here(model: str) -> bool:
    """Whether the name stands for weights on this machine: a folder of them, or the MiniLM package."""
    from specdsl.runtime.architectures import find
    from specdsl.runtime.example_model import minilm_path
    from specdsl.runtime.model_places import is_folder

    if is_folder(model):
        return any(Path(model).expanduser().glob("*.safetensors"))
    architecture = find(model)
    if architecture is None or architecture.name != "minilm":
        return False
    try:
        minilm_path()
    except SpecFileError:
        return False
    return True


def write_folder(compiled: Compiled, folder: Path, seed: int) -> list[str]:
    """Write everything beside the folder and then put it in its place, so that no half-written one is left.

    Returns:
        What the user should know, a sentence each.

    Raises:
        SpecFileError: the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            notes = _fill(compiled, new, seed)
            os.chmod(new, 0o755)
            if folder.exists():
                shutil.rmtree(folder)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise SpecFileError(f"`{folder}` cannot be written: {error.strerror or error}") from None
    return notes


def _fill(compiled: Compiled, folder: Path, seed: int) -> list[str]:
    notes = []
    if compiled.loaded.has_weights:
        from specdsl.runtime.attach import attach_survey

        attach_survey(compiled.loaded.model, compiled.survey, seed=seed, events=False).save(folder)
    else:
        notes.append("no adapter is written: its values need the weights of the model")
    (folder / SPEC).write_text(resolved_text(compiled.spec) + "\n", encoding="utf-8")
    report = json.dumps(compiled.as_dict(), indent=2, ensure_ascii=False)
    (folder / REPORT).write_text(report + "\n", encoding="utf-8")
    try:
        (folder / CODE).write_text(emitted_code(compiled), encoding="utf-8")
    except SpecNotBuiltError as error:
        notes.append(f"no {CODE} is written: {error.message}")
    return notes
