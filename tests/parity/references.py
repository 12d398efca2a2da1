"""The two references: how to put a method of theirs beside a spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

import torch

from tests.parity import lycoris_methods, lycoris_pair, peft_methods, peft_pair
from tests.parity.peft_methods import Configuration, Method
from tests.parity.peft_pair import Pair
from tests.parity.prompt_methods import PromptMethod
from tests.parity.starts import Fresh, fresh_lycoris, fresh_peft


@dataclass(frozen=True)
class Reference:
    """A library that methods are compared with."""

    name: str
    version: str
    trained_pair: Callable[[Method, Configuration, torch.dtype], Pair]
    fresh: Fresh


PEFT = Reference("PEFT", version("peft"), peft_pair.trained_pair, fresh_peft)
LYCORIS = Reference("LyCORIS", version("lycoris-lora"), lycoris_pair.trained_pair, fresh_lycoris)
SINGLE = 1e-5


def all_methods() -> Iterator[tuple[Reference, Method]]:
    """Every method that is compared, with its reference."""
    yield from ((PEFT, method) for method in peft_methods.METHODS)
    yield from ((LYCORIS, method) for method in lycoris_methods.METHODS)


def tolerances(method: Method | PromptMethod) -> list[tuple[torch.dtype, float]]:
    """The dtypes in which a method is compared, and the relative deviation that is allowed there."""
    return [(torch.float32, SINGLE), *([(torch.float64, method.double)] if method.double else [])]
