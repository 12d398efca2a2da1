"""Properties of saved adapters: they come back identical, whatever torch's global seed is."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from specdsl.runtime.conform.case import Attached, Case
from specdsl.runtime.conform.outcome import Outcome, holds, is_same, worst
from specdsl.runtime.conform.property import states
from specdsl.runtime.load import load


@states
def comes_back_as_it_was_saved(case: Case) -> Outcome:
    """A loaded adapter has the same spec, factors (frozen and derived ones too), constants and output, bit for bit."""
    made = case.attached(moved=True)
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        made.adapter.save(Path(folder) / "adapter")
        torch.manual_seed(71)
        model = case.base()
        again = Attached(case, model, load(model, Path(folder) / "adapter"))
    if case.inputs:
        again.adapter.set_inputs(**case.inputs)
    before, after = _held(made), _held(again)
    wrong = [name for name, value in before.items() if name not in after or not is_same(after[name], value)]
    return worst([
        holds(again.adapter.spec == made.adapter.spec, "the spec is another one"),
        holds(before.keys() == after.keys() and not wrong, f"{', '.join(wrong)} came back otherwise"),
        holds(torch.equal(again.output(), made.output()), "the output is another one"),
    ])  # fmt: skip


@states
def saves_data_alone(case: Case) -> Outcome:
    """The folder holds safetensors and JSON; of the factors only the trained ones."""
    made = case.attached(moved=True)
    with tempfile.TemporaryDirectory() as folder:
        made.adapter.save(Path(folder) / "adapter")
        files = [path for path in (Path(folder) / "adapter").rglob("*") if path.is_file()]
        kinds = {path.suffix for path in files}
        size = sum(path.stat().st_size for path in files if path.suffix == ".safetensors")
    trained = sum(value.numel() * value.element_size() for _, _, value in made.adapter.trained_factors())
    header = 4096
    return worst([
        holds(".safetensors" in kinds and kinds <= {".safetensors", ".json", ".md", ".spec"}, f"files: {kinds}"),
        holds(size <= trained + header, f"{size} bytes are saved for {trained} of trained factors"),
    ])  # fmt: skip


def _held(made: Attached) -> Mapping[str, Tensor]:
    """Everything the adapters hold: factors, frozen ones, constants."""
    found: dict[str, Tensor] = {}
    for member in made.adapter.members:
        own = {**dict(member.layer.named_parameters()), **dict(member.layer.named_buffers())}
        found |= {f"{member.name}.{name}": value for name, value in own.items()}
    return found


PROPERTIES = (comes_back_as_it_was_saved, saves_data_alone)
