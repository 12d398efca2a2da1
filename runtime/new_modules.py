"""The modules of a loaded model that its checkpoint does not hold, such as the head of a new task."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch import nn

from specdsl.errors import SpecFileError
from specdsl.runtime.roles import locate


def new_modules(model: nn.Module, missing: Iterable[str], mismatched: Iterable[str]) -> tuple[str, ...]:
    """The modules that begin at random, each as the largest module of which nothing was loaded.

    Args:
        missing: parameters that the checkpoint does not hold.
        mismatched: parameters that it holds in another size.

    Raises:
        SpecFileError: a part of the model's body is among them, so the checkpoint is not one of this model.
    """
    fresh = {*missing, *mismatched}
    body = [row.name for row in locate(model) if row.layer is not None or (row.role or "").endswith("embedding")]
    lost = sorted(key for key in fresh if key.rpartition(".")[0] in set(body))
    if lost:
        raise SpecFileError(
            f"the checkpoint does not fit the model: {len(lost)} tensors of its body are not there"
            f" or have another size, such as {lost[0]}"
        )
    whole = [name for name, module in model.named_modules() if name and _is_new(name, module, fresh)]
    return tuple(name for name in whole if not any(name.startswith(f"{outer}.") for outer in whole))


def _is_new(name: str, module: nn.Module, fresh: Collection[str]) -> bool:
    parameters = [f"{name}.{parameter}" for parameter, _ in module.named_parameters()]
    return bool(parameters) and all(parameter in fresh for parameter in parameters)
