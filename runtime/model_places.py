"""Where the checkpoint of a named model may lie, and reading from there safely."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
import transformers
from transformers.utils import logging

from specdsl.errors import SpecFileError
from specdsl.runtime.architectures import Architecture
from specdsl.runtime.example_model import minilm_path
from specdsl.runtime.hub import hub_is_reachable

Source = Literal["folder", "hub", "architecture", "package"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
SAFE_FILES = (".safetensors", ".safetensors.index.json")


@dataclass(frozen=True)
class Place:
    """A folder, or a repository of the hub.

    Attributes:
        path: the folder, or the id on the hub.
        local_only: read from the hub's cache only, without a look at the network.
    """

    source: Source
    path: str
    local_only: bool = True

    def config(self, **settings: Any) -> transformers.PreTrainedConfig:
        """The model's configuration with `settings` in it.

        Raises:
            SpecFileError: there is none, it is broken, or it asks for files or code that are not safe.
        """
        if self.source == "hub" and self.local_only and not self._is_cached():
            why = "is switched off" if huggingface_hub.constants.is_offline_mode() else "cannot be reached"
            raise SpecFileError(f"{self.path} is not in the local cache and the hub {why}")
        config: transformers.PreTrainedConfig = self.read(transformers.AutoConfig, **settings)
        # A configuration may name the file of its weights, and that file may be a pickle.
        if not str(getattr(config, "transformers_weights", None) or ".safetensors").endswith(SAFE_FILES):
            raise SpecFileError(f"{self} names weights that are not safetensors")
        return config

    def read(self, reader: Any, **options: Any) -> Any:
        """`reader.from_pretrained` of this place; whatever it raises comes as a SpecFileError."""
        options |= {"local_files_only": self.local_only, "trust_remote_code": False}
        try:
            with _without_reports(bars=not self.local_only and sys.stderr.isatty()):
                return reader.from_pretrained(self.path, **options)
        # A broken checkpoint raises whatever its reader trips over: KeyError, TypeError, errors of libraries.
        except Exception as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise SpecFileError(f"{self}: {first.rstrip('.')}") from error

    def _is_cached(self) -> bool:
        return isinstance(huggingface_hub.try_to_load_from_cache(self.path, "config.json"), str)

    def __str__(self) -> str:
        return f"{self.path} on the hub" if self.source == "hub" else self.path


def is_folder(text: str) -> bool:
    """Whether the name stands for a local folder: one that holds a model, or one written as a path."""
    looks_like_path = text.startswith((".", "/", "~")) or "\\" in text or text.count("/") > 1
    return looks_like_path or (_folder(text) / "config.json").is_file()


def places(text: str, architecture: Architecture | None, tried: list[str]) -> Iterator[Place]:
    """The places to look in, one after the other; places that are none go into `tried`."""
    if is_folder(text):
        folder = _folder(text)
        if (folder / "config.json").is_file():
            yield Place("folder", str(folder))
        else:
            tried.append("the folder holds no config.json" if folder.is_dir() else "there is no such folder")
        return
    if architecture and architecture.name == "minilm":
        try:
            yield Place("package", str(minilm_path()))
        except SpecFileError as error:
            tried.append(error.message)
    hub_id = architecture.hub if architecture else text
    if HUB_ID.fullmatch(hub_id):
        yield Place("hub", hub_id, local_only=not hub_is_reachable())
    else:
        tried.append("it is neither a folder nor a name that the hub could know")


def _folder(text: str) -> Path:
    return Path(text).expanduser()


@contextmanager
def _without_reports(bars: bool) -> Iterator[None]:
    """Without transformers' own report on what it loaded: the notes of a `LoadedModel` tell what matters."""
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    _show_bars(bars and had_bars)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        _show_bars(had_bars)


def _show_bars(shown: bool) -> None:
    switch: Callable[[], None] = logging.enable_progress_bar if shown else logging.disable_progress_bar
    switch()
