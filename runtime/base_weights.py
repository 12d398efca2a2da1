"""By which a base is recognised: entries of the weights and biases that an adapter was trained on.

Up to `SAMPLES` evenly spaced entries of each are hashed in the dtype of the module and rounded to narrower ones, so a
base that is loaded in bfloat16 is still the one that was trained on in float32. It is a check against mistakes, quick
for any size of model, and covers nothing but the adapted modules: embeddings or a head without adapters may differ
unnoticed, and so may single entries of a large weight.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from specdsl.errors import SpecWarning
from specdsl.lowering.sites import LayerSite
from specdsl.runtime.adapter_record import AdapterRecord, tensor_hash
from specdsl.runtime.surveyed_modules import SurveyedModule

SAMPLES = 4096

NARROWER = {
    torch.float64: (torch.float32, torch.bfloat16, torch.float16),
    torch.float32: (torch.bfloat16, torch.float16),
}
"""The dtypes that a dtype may be rounded to."""


def base_samples(site: LayerSite) -> dict[str, str]:
    """A hash of entries of the weight and bias for the site's dtype and each narrower one."""
    dtype = site.weight.dtype
    return {_name(one): _hash(site, one) for one in (dtype, *NARROWER.get(dtype, ()))}


def whole_hash(site: LayerSite) -> str:
    """The sha256 of the whole weight and bias."""
    found = hashlib.sha256()
    for value in (site.weight, site.bias):
        found.update(b"none" if value is None else tensor_hash(value).encode())
    return found.hexdigest()


def dtype_name(site: LayerSite) -> str:
    """The dtype of the site's weight, as in `float32`."""
    return _name(site.weight.dtype)


def warn_of_another_base(record: AdapterRecord, modules: Sequence[SurveyedModule]) -> None:
    """Warn where modules hold other entries than those that the adapter was trained on."""
    other = [
        saved.name
        for saved, module in zip(record.targets, modules, strict=True)
        if _is_another(saved.base_samples, saved.dtype, module.site)
    ]
    if other:
        more = f" and {len(other) - 1} more" if len(other) > 1 else ""
        warnings.warn(
            f"the base weights of `{other[0]}`{more} are not those that the adapter `{record.name}` was trained on; "
            "load the same base checkpoint", SpecWarning, stacklevel=3,
        )  # fmt: skip


def _is_another(saved: dict[str, str], dtype: str, site: LayerSite) -> bool:
    """Compared in the narrower of both dtypes; neither of bfloat16 and float16 is the narrower one."""
    own = base_samples(site)
    name = dtype_name(site)
    if name in saved:
        return own[name] != saved[name]
    return dtype in own and own[dtype] != saved[dtype]


def _hash(site: LayerSite, dtype: torch.dtype) -> str:
    found = hashlib.sha256()
    for value in (site.weight, site.bias):
        if value is not None:
            found.update(_sampled(value).to(dtype).cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:32]


def _sampled(value: Tensor) -> Tensor:
    flat = value.detach().reshape(-1)
    return flat[:: max(1, -(-flat.numel() // SAMPLES))]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
