"""The adapted layers of a compiled spec as standalone PyTorch code."""

from __future__ import annotations

from specdsl.cli.compiled import Compiled


def emitted_code(compiled: Compiled) -> str:
    """One class for every kind of layer that the spec adapts in the model.

    Raises:
        SpecNotBuiltError: an operator or a layer's type has no form in plain PyTorch.
    """
    from specdsl.lowering.emit import AdaptedKind, emit_torch_file

    kinds = [AdaptedKind(one.lowered, one.sizes, one.site.traits) for one in compiled.kinds]
    return emit_torch_file(compiled.spec, kinds).rstrip("\n") + "\n"
