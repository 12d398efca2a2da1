"""What the fields of `adapter_config.json` may hold. PEFT reads them without a check, so anything can stand there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from specdsl.errors import SpecCheckpointError, SpecError, raise_all
from specdsl.limits import SIZE

LARGEST = 2.0**31
"""Of a scale; it multiplies float32 values, which have to stay finite."""

Whole = Annotated[int, Field(ge=0, le=SIZE)]
Number = Annotated[float, Field(gt=-LARGEST, lt=LARGEST, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Share = Annotated[float, Field(ge=0, lt=1)]

TYPES: dict[str, Any] = {
    **dict.fromkeys(("task_type", "bias"), str | None),
    "modules_to_save": list[str] | None,
    **dict.fromkeys((
        "use_rslora", "use_dora", "lora_bias", "coft", "block_share", "use_cayley_neumann", "apply_GS",
        "sample_at_inference", "use_effective_conv2d", "decompose_both", "save_only_topk_weights",
    ), bool),
    **dict.fromkeys((
        "r", "init_r", "target_r", "n_frequency", "oft_block_size", "num_cayley_neumann_terms", "boft_block_size",
        "boft_n_butterfly_factor", "mini_r", "num_vectors", "vector_length", "topk", "block_size",
    ), Whole),
    **dict.fromkeys(("lora_alpha", "alpha", "scaling", "eps"), Number),
    "lora_dropout": Share,
    "random_loc_seed": Seed,
    "decompose_factor": int | None,
    "init_lora_weights": bool | str,
    "init_weights": bool | str | None,
    "token_indices": list[Whole],
    **dict.fromkeys(("rank_pattern", "alpha_pattern", "target_svd_config"), dict[str, Any] | None),
    "effective_rank": int | float | None,
}  # fmt: skip
"""Of every field that the table of methods reads. None stands only where PEFT has it as a default that means the same
as a missing field."""


def check_fields(fields: Mapping[str, Any], place: str) -> None:
    """Raise SpecCheckpointError for each field that holds something else than PEFT writes there.

    >>> check_fields({"use_rslora": True}, "adapter_config.json")
    """
    errors: list[SpecError] = []
    for name in fields.keys() & TYPES:
        try:
            _adapter(name).validate_python(fields[name])
        except ValidationError as error:
            rules = dict.fromkeys(part["msg"].removeprefix("Input ") for part in error.errors())
            errors.append(SpecCheckpointError(f"`{name}` in `{place}` {' or '.join(rules)}, not {shown(fields[name])}"))
    raise_all(sorted(errors, key=lambda error: error.message))


def shown(value: object) -> str:
    """A value in a message: not too long.

    >>> shown("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"
    """
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(TYPES[name], config=ConfigDict(strict=True))
