"""An adapter merged into its base, as a folder that `transformers` loads without specdsl."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specdsl.cli.base_model import base_of
from specdsl.errors import SpecFileError, SpecMergeError, SpecWarning

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def merge_to_folder(
    folder: Path, model: str | None, output: Path, *, task: str | None = None, num_labels: int | None = None
) -> list[str]:
    """Write the merged model to `output`, a new or empty folder.

    Args:
        folder: of the adapter.
        model: its base; by default the one of the training.
        task, num_labels: the head of the base, where `train` did not save the adapter.

    Returns:
        What the user should know, a sentence each.

    Raises:
        SpecFileError: the adapter or its base cannot be read, or the output cannot be written.
        SpecMergeError: the adapter is no weight, or the merged model would not load as it is.
    """
    from specdsl.runtime.load import load

    _check_output(output)
    base, tokenizer, notes = base_of(folder, model, task, num_labels)
    adapter = load(base, folder)
    with warnings.catch_warnings():
        # A bias that the model has no place for is refused below.
        warnings.simplefilter("ignore", SpecWarning)
        merged: Any = adapter.merge_and_unload()
    merged.requires_grad_(True)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise SpecFileError(f"`{output}` cannot be written: {error.strerror or error}") from None
    try:
        with _without_bars():
            _write(merged, tokenizer, new)
            _check_reloads(merged, new)
        os.chmod(new, 0o755)
        new.rename(output)
    except OSError as error:
        raise SpecFileError(f"`{output}` cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return notes


def _check_output(output: Path) -> None:
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise SpecFileError(f"`{output}` is there already", hint="choose a new folder")


def _write(merged: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, folder: Path) -> None:
    merged.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def _check_reloads(merged: PreTrainedModel, folder: Path) -> None:
    """Raise SpecMergeError unless the folder loads as the model that was written, bit for bit."""
    import torch

    load: Any = type(merged).from_pretrained
    again, info = load(
        folder, dtype="auto", use_safetensors=True, local_files_only=True, output_loading_info=True
    )  # fmt: skip
    kind, hint = type(merged).__name__, "keep it as an adapter"
    if info["unexpected_keys"]:
        name = min(info["unexpected_keys"])
        raise SpecMergeError(f"merging adds `{name}`, which a {kind} has no place for", hint=hint)
    wanted, found = merged.state_dict(), again.state_dict()
    for name, value in wanted.items():
        if name not in found or found[name].shape != value.shape or found[name].dtype != value.dtype:
            raise SpecMergeError(f"`{name}` of the merged model does not fit into a {kind}", hint=hint)
        if not torch.equal(found[name], value.to(found[name].device)):
            raise SpecMergeError(f"`{name}` of the merged model does not load as it was written", hint=hint)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the bars of `transformers`, which show even where nobody watches."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if had_bars:
            logging.enable_progress_bar()
