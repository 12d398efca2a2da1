"""Saved adapters: a folder with a safetensors file and a JSON. Loading is strict, runs no code, explains mismatches."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from specdsl.elaborate.calls import OWN_OPERATORS, unknown_operators
from specdsl.errors import SpecCheckpointError, SpecError, SpecFileError
from specdsl.facts import depends_on_base
from specdsl.ir import Initial, Site, topological
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.attach import attach_survey
from specdsl.runtime.survey import survey
from specdsl.spec import Spec, parse
from specdsl.version import VERSION

TENSORS = "adapter.safetensors"
RECORD = "adapter.json"


class TargetRecord(BaseModel):
    """One adapted module, as it was when saved."""

    model_config = ConfigDict(extra="forbid")
    name: str
    role: str | None
    kind: str
    sizes: dict[str, int]
    weight_hash: str | None


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


# ------------------------------------------------------------------------------------------------- save


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
    """The trained factors (those of shared ones once), and the tensors of modules trained whole."""
    found: dict[str, Tensor] = {}
    for place, name, value in _trained(adapter):
        found[f"factors/{place}/{name}"] = value.detach().cpu().clone()
    for place, module in adapter.survey.trained_whole:
        for name, value in module.state_dict().items():
            found[f"whole/{place}/{name}"] = value.detach().cpu().clone()
    return found


def _trained(adapter: Adapter) -> list[tuple[str, str, Tensor]]:
    """Every trained factor once: its module, its name, the parameter behind it."""
    return [
        (member.name, name, member.layer.stored(name))
        for member in adapter.members
        for name, _ in member.layer.own_factors()
        if adapter.spec.ir.factors[name].is_trained
    ]


def _record(adapter: Adapter, tensors: dict[str, Tensor]) -> AdapterRecord:
    spec = adapter.spec
    constants = [node for member in adapter.members for node in member.layer.lowered.constants]
    derives = reads_base_values(spec) or any(isinstance(node, Site) for node in topological(constants))
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
                weight_hash=_hash(member.state.base_site.weight) if derives else None,
            )
            for member in adapter.members
        ],
        trained_whole=[name for name, _ in adapter.survey.trained_whole],
        tensors={name: _hash(value) for name, value in tensors.items()},
        derived=_sketches(adapter),
    )


def reads_base_values(spec: Spec) -> bool:
    """Whether something is derived from the base's values, so that only the same weights will do."""
    ir = spec.ir
    if any(factor.start is not None and depends_on_base(ir, factor.start) for factor in ir.factors.values()):
        return True
    nodes = topological([*ir.targets.values(), *(penalty.value for penalty in ir.penalties)])
    has_initial = any(isinstance(node, Initial) for node in nodes)
    derived = any(
        node.definition.name in ("svd", "qr", "ldu", "eigh", "pinv")
        and any(isinstance(n, Site) for n in topological([node]))
        for node in nodes
        if hasattr(node, "definition")
    )
    return derived or (has_initial and any(isinstance(node, Site) and node.name in ("W", "b") for node in nodes))


def _hash(value: Tensor) -> str:
    plain = value.detach().cpu().contiguous()
    raw = plain.reshape(-1).view(torch.uint8) if plain.numel() else plain.reshape(-1)
    head = f"{plain.dtype}{tuple(plain.shape)}".encode()
    return hashlib.sha256(head + raw.numpy().tobytes()).hexdigest()


def _stored_values(adapter: Adapter) -> list[tuple[str, Tensor]]:
    """Frozen factors and constants: what comes back from the spec, the seed and the base."""
    found = []
    for member in adapter.members:
        for name, value in member.layer.own_factors():
            if not adapter.spec.ir.factors[name].is_trained:
                found.append((f"{member.name}/{name}", value))
        for position, node in enumerate(member.layer.lowered.constants):
            found.append((f"{member.name}/constant {position}", member.layer.read(node)))
    return found


def _sketches(adapter: Adapter) -> dict[str, list[float]]:
    return {name: _sketch(value) for name, value in _stored_values(adapter)}


def _sketch(value: Tensor) -> list[float]:
    """The norm and two weighted sums: equal values give equal sketches, other signs or orders do not."""
    plain = value.detach().cpu()
    flat = (torch.view_as_real(plain) if plain.is_complex() else plain).double().reshape(-1)
    place = torch.arange(flat.numel(), dtype=torch.float64)
    return [float(flat.norm()), float((flat * torch.cos(place)).sum()), float((flat * torch.sin(0.7 * place)).sum())]


# ------------------------------------------------------------------------------------------------- load


def load(model: nn.Module, folder: str | Path, *, name: str | None = None) -> Adapter:
    """Attach a saved adapter to a model. On any mismatch the model is as it was.

    Args:
        model: the base it was trained on, freshly loaded.
        folder: what `adapter.save` wrote.
        name: another name for the adapter.

    Raises:
        SpecCheckpointError: the folder is damaged, or the model is not the one it belongs to.
        SpecFileError: there is no adapter in the folder.
    """
    record, tensors = read(folder)
    spec = _spec(record, folder)
    if spec.hash != record.spec_hash:
        raise SpecCheckpointError(f"the spec in `{folder}` does not have the hash that was saved with it")
    on = [f"re:{re.escape(target.name)}" for target in record.targets]
    train = [f"re:{re.escape(place)}" for place in record.trained_whole]
    _check_modules(model, record)
    found = survey(model, _without_placement(spec), on=on, train=train, indices=record.indices)
    _check_targets(record, found.modules)
    adapter = attach_survey(model, found, name=name or record.name, seed=record.seed, dtype=record.dtype)
    try:
        _check_derived(adapter, record)
        _fill(adapter, tensors)
    except BaseException:
        adapter.detach()
        raise
    return adapter


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
        if _hash(value) != record.tensors[name]:
            raise SpecCheckpointError(f"the tensor `{name}` in `{place}` is not the one that was saved (hash differs)")
    return record, tensors


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
    return str(error)


def _spec(record: AdapterRecord, folder: str | Path) -> Spec:
    try:
        return parse(record.spec, **{key: _number(value) for key, value in record.settings.items()})
    except (SpecError, ValueError) as error:
        unknown = unknown_operators(record.spec)
        if unknown:
            names = ", ".join(f"`{name}`" for name in unknown)
            raise SpecCheckpointError(
                f"the spec in `{folder}` needs the operator {names}", hint=OWN_OPERATORS
            ) from None
        reason = error.message if isinstance(error, SpecError) else error
        raise SpecCheckpointError(f"the spec in `{folder}` is not one that was saved: {reason}") from None


def _number(text: str) -> Any:
    from fractions import Fraction

    return Fraction(text) if "/" in text or not set(".eE") & set(text) else float(text)


def _without_placement(spec: Spec) -> Spec:
    spec.clauses.train.clear()  # the saved list of modules replaces it
    return spec


def _check_modules(model: nn.Module, record: AdapterRecord) -> None:
    modules = dict(model.named_modules())
    wanted = [*(target.name for target in record.targets), *record.trained_whole]
    missing = [name for name in wanted if name not in modules]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise SpecCheckpointError(
            f"the adapter belongs to a {record.architecture} with a module `{missing[0]}`{others}, "
            f"which this {type(model).__name__} does not have",
            hint="load the same architecture, with the same head",
        )


def _check_targets(record: AdapterRecord, modules: Any) -> None:
    for saved, module in zip(record.targets, modules, strict=True):
        sizes = module.site.sizes
        if saved.name != module.target.name:
            raise SpecCheckpointError(f"the modules are in another order: `{saved.name}`, `{module.target.name}`")
        if saved.kind != module.site.kind:
            raise SpecCheckpointError(f"`{saved.name}` is of type {module.site.kind}, not {saved.kind}")
        if saved.sizes != sizes:
            raise SpecCheckpointError(
                f"`{saved.name}` was {saved.sizes['n']} x {saved.sizes['m']} and is {sizes['n']} x {sizes['m']}"
            )
        if saved.weight_hash is not None and _hash(module.site.weight) != saved.weight_hash:
            raise SpecCheckpointError(
                f"the weight of `{saved.name}` is not the one that the adapter's values were derived from",
                hint="load the same base checkpoint in the same dtype",
            )


def _check_derived(adapter: Adapter, record: AdapterRecord) -> None:
    found = dict(_stored_values(adapter))
    if found.keys() != record.derived.keys():
        raise SpecCheckpointError("this version of specdsl derives other values from the spec than were saved")
    for name, value in found.items():
        sketch, saved = _sketch(value), record.derived[name]
        scale = max(abs(saved[0]), 1e-12)
        if any(abs(a - b) > 1e-3 * scale for a, b in zip(sketch, saved, strict=True)):
            raise SpecCheckpointError(
                f"`{name}`, recomputed from the base, is not what the adapter was trained with",
                hint="singular vectors may differ between devices; load on the kind of device it was saved on",
            )


def _fill(adapter: Adapter, tensors: dict[str, Tensor]) -> None:
    known = {f"factors/{place}/{name}" for place, name, _ in _trained(adapter)}
    whole = tuple(f"whole/{place}/" for place, _ in adapter.survey.trained_whole)
    for key in tensors:
        if key not in known and not key.startswith(whole):
            raise SpecCheckpointError(f"the folder holds a tensor `{key}`, which nothing asks for")
    with torch.no_grad():
        for place, name, value in _trained(adapter):
            saved = tensors.get(f"factors/{place}/{name}")
            if saved is None:
                raise SpecCheckpointError(f"the factor `{name}` of `{place}` is not in the folder")
            if saved.shape != value.shape:
                raise SpecCheckpointError(f"`{name}` of `{place}` is {tuple(saved.shape)}, not {tuple(value.shape)}")
            value.copy_(saved)
        for place, module in adapter.survey.trained_whole:
            prefix = f"whole/{place}/"
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            for key, now in module.state_dict().items():
                if key in state and state[key].shape != now.shape:
                    shapes = f"{tuple(now.shape)}, not {tuple(state[key].shape)}"
                    raise SpecCheckpointError(f"`{place}`, trained whole, does not fit: {key} is {shapes}")
            try:
                module.load_state_dict(state)
            except RuntimeError as error:
                raise SpecCheckpointError(f"`{place}`, trained whole, does not fit: {error}") from None
