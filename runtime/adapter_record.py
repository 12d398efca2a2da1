"""What a folder with a saved adapter holds: a safetensors file and a JSON. Reading it runs no code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from specdsl.errors import SpecCheckpointError, SpecFileError

TENSORS = "adapter.safetensors"
RECORD = "adapter.json"


class TargetRecord(BaseModel):
    """One adapted module, as it was when saved."""

    model_config = ConfigDict(extra="forbid")
    name: str
    role: str | None
    kind: str
    sizes: dict[str, int]
    tied: list[str] = []
    """Other modules that hold its weight and take its factors."""
    dtype: str
    base_samples: dict[str, str]
    """Hashes of entries of its weight and bias (see `specdsl.runtime.base_weights`)."""
    weight_hash: str | None
    """Of its whole weight and bias, where values of the adapter were derived from the base."""


class AdapterRecord(BaseModel):
    """What `adapter.json` says."""

    model_config = ConfigDict(extra="forbid")
    format: Literal[1]
    specdsl: str
    spec: str
    spec_hash: str
    settings: dict[str, str]
    indices: dict[str, list[int]]
    name: str
    seed: int
    dtype: str | None
    architecture: str
    targets: list[TargetRecord]
    trained_whole: list[str]
    tensors: dict[str, str]
    """The sha256 of every stored tensor's bytes."""
    derived: dict[str, list[float]]
    """For values derived from the base at attach: a sketch that the recomputed value is held to."""


def read(folder: str | Path) -> tuple[AdapterRecord, dict[str, Tensor]]:
    """The record and the tensors of a saved adapter, checked against each other."""
    place = Path(folder)
    if not (place / RECORD).is_file():
        raise SpecFileError(f"there is no adapter in `{place}`", hint=f"an adapter folder holds `{RECORD}`")
    try:
        record = AdapterRecord.model_validate_json((place / RECORD).read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        raise SpecCheckpointError(f"`{place / RECORD}` is damaged: {_first_problem(error)}") from None
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(place / TENSORS, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (it is no dictionary)
                tensors[name] = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise SpecCheckpointError(f"`{place / TENSORS}` cannot be read: {error}") from None
    missing, extra = sorted(record.tensors.keys() - tensors.keys()), sorted(tensors.keys() - record.tensors.keys())
    if missing or extra:
        what = f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which nothing asks for"
        raise SpecCheckpointError(f"`{place / TENSORS}` {what}")
    for name, value in tensors.items():
        if tensor_hash(value) != record.tensors[name]:
            raise SpecCheckpointError(f"the tensor `{name}` in `{place}` is not the one that was saved (hash differs)")
    return record, tensors


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
    return str(error)


def tensor_hash(value: Tensor) -> str:
    """The sha256 of a tensor's dtype, shape and bytes."""
    plain = value.detach().cpu().contiguous()
    raw = plain.reshape(-1).view(torch.uint8) if plain.numel() else plain.reshape(-1)
    head = f"{plain.dtype}{tuple(plain.shape)}".encode()
    return hashlib.sha256(head + raw.numpy().tobytes()).hexdigest()
