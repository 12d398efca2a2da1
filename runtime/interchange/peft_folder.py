"""The folder of a PEFT adapter: `adapter_config.json` and `adapter_model.safetensors`. Reading it runs no code."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from specdsl.errors import SpecCheckpointError, SpecFileError
from specdsl.runtime.interchange.peft_fields import check_fields

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"


def read_folder(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the tensors of a PEFT adapter.

    Raises:
        SpecFileError: there is none in the folder, or it is a pickle, which could run code.
        SpecCheckpointError: it is damaged, or a field holds what PEFT never writes there.
    """
    place = Path(folder)
    if not (place / CONFIG).is_file():
        raise SpecFileError(f"there is no adapter of PEFT in `{place}`", hint=f"its folder holds `{CONFIG}`")
    try:
        fields = json.loads((place / CONFIG).read_text(encoding="utf-8"))
    except RecursionError:
        raise SpecCheckpointError(f"`{place / CONFIG}` is damaged: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise SpecCheckpointError(f"`{place / CONFIG}` is damaged: {error}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("peft_type"), str):
        raise SpecCheckpointError(f"`{place / CONFIG}` is damaged: it has no `peft_type`")
    check_fields(fields, str(place / CONFIG))
    if not (place / WEIGHTS).is_file():
        if (place / PICKLE).is_file():
            raise SpecFileError(
                f"`{place / PICKLE}` is a pickle, which could run code, and is not read",
                hint="save it again with `safe_serialization=True`",
            )
        raise SpecFileError(f"there is no `{WEIGHTS}` in `{place}`")
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(place / WEIGHTS, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (it is no dictionary)
                tensors[name] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise SpecCheckpointError(f"`{place / WEIGHTS}` cannot be read: {error}") from None
    return fields, tensors


def write_folder(folder: str | Path, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write a PEFT adapter to a new or empty folder: first to a sibling, then renamed, so that none is half-written.

    Raises:
        SpecFileError: the folder holds something, or cannot be written.
    """
    target = Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise SpecFileError(f"`{target}` is there already", hint="choose a new folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
            save_file(plain, new / WEIGHTS, metadata={"format": "pt"})
            (new / CONFIG).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            os.chmod(new, 0o755)
            new.rename(target)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise SpecFileError(f"`{target}` cannot be written: {getattr(error, 'strerror', None) or error}") from None
    return target
