"""What computing any operator costs is counted as torch counts it: products by `FlopCounterMode`, memory by hooks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from specdsl.arrays.counted import Counted, Ledger, Memory
from specdsl.arrays.counted_arrays import CountedArrays
from specdsl.arrays.torch_arrays import TorchArrays
from tests.test_operators import WITH_ARRAYS, Case, as_tuple, random_cases

DECOMPOSED = {"svd", "qr", "lu", "ldu", "eigh", "pinv"}
"""Their gradients are products inside torch that depend on the sizes; the count has one estimate for all of it."""


NOT_COMPARED = {
    **dict.fromkeys(DECOMPOSED, "torch keeps what its own gradient wants, and signs that we settle"),
    "dropout": "torch keeps a byte for each entry on GPUs, and on CPUs a number",
    "einsum": "torch copies operands where their strides do not fit, and keeps the copies",
}


def in_torch(case: Case, gradients: bool) -> tuple[int, int, list[Tensor]]:
    """Operations of products over forward and backward, bytes kept, and the values."""
    tensors = case.tensors(torch.float32)
    leaves = [tensors[i].requires_grad_(gradients) for i in case.floats]
    held = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            values = list(case.in_torch(*tensors, xp=TorchArrays(dtype=torch.float32)))
        learning = [value for value in values if value.requires_grad]
        if learning:
            torch.autograd.grad(sum(value.abs().sum() for value in learning), leaves, allow_unused=True)
    return (
        counter.get_total_flops(),
        sum(t.untyped_storage().nbytes() for p, t in kept.items() if p not in held),
        values,
    )


def counted(case: Case, gradients: bool) -> tuple[Ledger, list[Counted]]:
    ledger = Ledger()
    arrays = [
        Counted(ledger, array.shape, gradients and i in case.floats, Memory(0, is_held=True),
                "float" if i in case.floats else "int")
        for i, array in enumerate(case.arrays)
    ]  # fmt: skip
    return ledger, list(as_tuple(case.operator.value(CountedArrays(ledger), *arrays, **case.options)))


@pytest.mark.parametrize("name", WITH_ARRAYS)
def test_values_have_the_shapes_that_torch_gives(name: str) -> None:
    for case in random_cases(name):
        _, _, values = in_torch(case, gradients=True)
        _, arrays = counted(case, gradients=True)
        assert [array.shape for array in arrays] == [tuple(value.shape) for value in values]
        assert [array.learns for array in arrays] == [value.requires_grad for value in values]


@pytest.mark.parametrize("name", sorted(set(WITH_ARRAYS) - DECOMPOSED))
def test_products_are_those_of_torch(name: str) -> None:
    for case in random_cases(name):
        assert counted(case, gradients=True)[0].products == in_torch(case, gradients=True)[0]


@pytest.mark.parametrize("name", sorted(set(WITH_ARRAYS) - NOT_COMPARED.keys()))
def test_the_memory_is_that_of_torch(name: str) -> None:
    for case in random_cases(name):
        assert counted(case, gradients=True)[0].saved == in_torch(case, gradients=True)[1]


def test_dropout_keeps_which_entries_remain() -> None:
    """A byte for each."""
    ledger = Ledger()
    CountedArrays(ledger).dropout(Counted(ledger, (5, 3), learns=True), 0.1)
    assert ledger.saved == 5 * 3


@pytest.mark.parametrize("name", WITH_ARRAYS)
def test_nothing_is_kept_without_gradients(name: str) -> None:
    for case in random_cases(name):
        ledger, _ = counted(case, gradients=False)
        assert ledger.products == in_torch(case, gradients=False)[0]
        assert ledger.saved == 0
