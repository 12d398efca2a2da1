"""specdsl: parameter-efficient fine-tuning methods as algebra over a frozen weight and trainable factors.

    >>> import specdsl
    >>> spec = specdsl.parse("W + A@G@B | orth(A)")
    >>> print(spec.facts.trained)
    m*r + n*r + r^2

`parse` and what it needs import neither torch nor transformers; `attach`, `load` and `weight` do when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from specdsl.errors import (
    SpecCheckpointError,
    SpecDataError,
    SpecError,
    SpecErrors,
    SpecFileError,
    SpecLimitError,
    SpecMergeError,
    SpecNameError,
    SpecNotBuiltError,
    SpecOperatorError,
    SpecSettingError,
    SpecShapeError,
    SpecStartError,
    SpecSyntaxError,
    SpecTargetError,
    SpecWarning,
)
from specdsl.operators import Option, operator
from specdsl.spec import Spec, parse
from specdsl.version import VERSION

if TYPE_CHECKING:
    from specdsl.equivalence.decide import equivalent
    from specdsl.equivalence.verdict import Verdict
    from specdsl.reference import weight
    from specdsl.runtime.adapter import Adapter
    from specdsl.runtime.attach import attach
    from specdsl.runtime.interchange.import_peft import import_peft
    from specdsl.runtime.load import load

__version__ = VERSION

_LATER = {
    "attach": "specdsl.runtime.attach",
    "load": "specdsl.runtime.load",
    "import_peft": "specdsl.runtime.interchange.import_peft",
    "Adapter": "specdsl.runtime.adapter",
    "Verdict": "specdsl.equivalence.verdict",
    "equivalent": "specdsl.equivalence.decide",
    "weight": "specdsl.reference",
}

__all__ = [
    "Adapter", "Option", "Spec", "SpecCheckpointError", "SpecDataError", "SpecError", "SpecErrors", "SpecFileError",
    "SpecLimitError", "SpecMergeError", "SpecNameError", "SpecNotBuiltError", "SpecOperatorError", "SpecSettingError",
    "SpecShapeError", "SpecStartError", "SpecSyntaxError", "SpecTargetError", "SpecWarning", "Verdict", "attach",
    "equivalent", "import_peft", "load", "operator", "parse", "weight",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
