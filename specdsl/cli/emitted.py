"""The adapted layers of a compiled spec as standalone PyTorch code."""

from __future__ import annotations

from specdsl.cli.compiled import Compiled


def emitted_code(compiled: Compiled) -> str:
    """The code for every kind of module, one after the other; modules of one plan and size share theirs."""
    from specdsl.lowering.emit import emit_torch

    sizes = {id(module.lowered): module.sizes for module in compiled.survey.modules}
    codes = [emit_torch(lowered, compiled.spec, sizes[id(lowered)]) for lowered in compiled.kinds]
    return "\n\n".join(dict.fromkeys(code.rstrip("\n") for code in codes)) + "\n"
