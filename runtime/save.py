"""Saving an adapter: a folder that is whole or not there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from specdsl.errors import SpecCheckpointError, SpecFileError
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.adapter_record import RECORD, TENSORS, AdapterRecord, TargetRecord, tensor_hash
from specdsl.runtime.base_weights import base_samples, dtype_name, whole_hash
from specdsl.runtime.derived_values import depends_on_base_values, sketches
from specdsl.version import VERSION


def save(adapter: Adapter, folder: str | Path) -> Path:
    """Write an adapter to `folder`: first to a sibling, synced, then renamed, so that no half-written one is left.

    Raises:
        SpecFileError: the folder cannot be written, or holds something that is no adapter. It is as it was.
        SpecCheckpointError: the adapter is detached or disabled, so what it trained whole is not in the model.
    """
    if not adapter.is_attached:
        raise SpecCheckpointError(f"the adapter `{adapter.name}` is not attached any more", hint="save before `detach`")
    if any(adapter.name in member.state.disabled for member in adapter.members):
        raise SpecCheckpointError(f"the adapter `{adapter.name}` is disabled", hint="save outside of `disabled()`")
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise SpecFileError(f"`{target}` is a file", hint="choose a folder")
    if target.is_dir() and any(target.iterdir()) and not (target / RECORD).exists():
        raise SpecFileError(f"the folder `{target}` holds other things", hint="choose an empty or new folder")
    tensors = _tensors(adapter)
    record = _record(adapter, tensors)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sibling = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _keep_other_files(target, sibling)
            save_file({name: value.contiguous() for name, value in tensors.items()}, sibling / TENSORS)
            (sibling / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
            _put_in_place(sibling, target)
        except BaseException:
            shutil.rmtree(sibling, ignore_errors=True)
            raise
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecFileError(f"the adapter cannot be written to `{target}`: {reason}") from None
    return target


def _keep_other_files(target: Path, sibling: Path) -> None:
    """Tokenizer files and the like that were put beside an earlier version of the adapter."""
    if target.is_dir():
        for entry in target.iterdir():
            if entry.name in (TENSORS, RECORD):
                continue
            if entry.is_dir():
                shutil.copytree(entry, sibling / entry.name)
            else:
                shutil.copy2(entry, sibling / entry.name)


def _put_in_place(sibling: Path, target: Path) -> None:
    for name in (TENSORS, RECORD):
        with (sibling / name).open("rb") as file:
            os.fsync(file.fileno())
    os.chmod(sibling, 0o755)
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        try:
            os.rename(target, old / "adapter")
            os.rename(sibling, target)
        except BaseException:
            if not target.exists():
                os.rename(old / "adapter", target)
            old.rmdir()
            raise
        shutil.rmtree(old)
    else:
        os.rename(sibling, target)
    if os.name == "posix":
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _tensors(adapter: Adapter) -> dict[str, Tensor]:
    """The trained factors (those of shared ones once), tensors of modules trained whole, values given at attach."""
    found: dict[str, Tensor] = {}
    for place, name, value in adapter.trained_factors():
        found[f"factors/{place}/{name}"] = value.detach().cpu().clone()
    for place, module in adapter.survey.trained_whole:
        for name, value in module.state_dict().items():
            found[f"whole/{place}/{name}"] = value.detach().cpu().clone()
    for (place, name), value in adapter.survey.given.items():
        found[f"given/{place}/{name}"] = value.detach().cpu().clone()
    return found


def _record(adapter: Adapter, tensors: dict[str, Tensor]) -> AdapterRecord:
    spec = adapter.spec
    derives = depends_on_base_values(adapter)
    return AdapterRecord(
        format=1,
        specdsl=VERSION,
        spec=spec.text,
        spec_hash=spec.hash,
        settings={name: str(value) for name, value in spec.settings.items()},
        indices={name: [int(place) for place in places] for name, places in adapter.survey.indices.items()},
        name=adapter.name,
        seed=adapter.seed,
        dtype=None if adapter.dtype is None else str(adapter.dtype).removeprefix("torch."),
        architecture=type(adapter.model).__name__,
        targets=[
            TargetRecord(
                name=member.name,
                role=member.surveyed.target.role,
                kind=member.surveyed.site.kind,
                sizes=member.surveyed.site.sizes,
                tied=list(member.surveyed.target.tied),
                dtype=dtype_name(member.base_site),
                base_samples=base_samples(member.base_site),
                weight_hash=whole_hash(member.base_site) if derives else None,
            )
            for member in adapter.members
        ],
        trained_whole=[name for name, _ in adapter.survey.trained_whole],
        tensors={name: tensor_hash(value) for name, value in tensors.items()},
        derived=sketches(adapter),
    )
