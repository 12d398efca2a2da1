"""Counts the lines that Hugging Face PEFT needs for the methods of the library, and keeps them as data.

    python scripts/peft_lines.py        writes library_specs/peft_lines.json from the PEFT that is installed

A line counts if it is neither blank nor a comment. Where a method has no folder of its own (DoRA is part of
`tuners/lora`), the whole folder is counted and its name is shown.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

DATA = Path(__file__).parents[1] / "library_specs" / "peft_lines.json"

PLACES = {
    "lora": (
        "lora lora_bias lora_dropout lora_embedding rslora dora pissa olora corda eva loftq lora_ga orthogonal_init "
        "mica alora intruder_dimensions"
    ),
    "adalora": "adalora", "beft": "beft", "boft": "boft", "c3a": "c3a", "cartridge": "cartridge", "cpt": "cpt",
    "fourierft": "fourierft", "hra": "hra hra_gs", "ia3": "ia3 ia3_original", "ln_tuning": "ln_tuning",
    "loha": "loha loha_conv", "lokr": "lokr lokr_conv lokr_lowrank", "miss": "miss miss_mini bone bone_affine",
    "multitask_prompt_tuning": "multitask_prompt_tuning", "oft": "oft oft_shared oftv2 coft", "osf": "osf",
    "p_tuning": "p_tuning", "prefix_tuning": "prefix_tuning prefix_tuning_mlp", "prompt_tuning": "prompt_tuning",
    "pvera": "pvera", "shira": "shira", "trainable_tokens": "trainable_tokens", "vblora": "vblora", "vera": "vera",
}  # fmt: skip
"""Folders of `peft.tuners` and the specs whose methods they hold."""
OPTIMIZERS = {"lorafa.py": "lora_fa", "loraplus.py": "lora_plus", "riemannian.py": "riemannian"}


def counted() -> dict[str, object]:
    """The release, and for every spec the place of its method in PEFT and the lines there."""
    found = find_spec("peft")
    assert found is not None
    assert found.submodule_search_locations is not None
    root = Path(next(iter(found.submodule_search_locations)))
    places = {f"tuners/{folder}": specs.split() for folder, specs in PLACES.items()}
    places |= {f"optimizers/{file}": [spec] for file, spec in OPTIMIZERS.items()}
    methods = {
        spec: {"place": place, "lines": lines_below(root / place)} for place, specs in places.items() for spec in specs
    }
    return {"release": version("peft"), "methods": dict(sorted(methods.items()))}


def lines_below(path: Path) -> int:
    """The lines of a file, or of all Python files in a folder, that are neither blank nor a comment."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    lines = (line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


if __name__ == "__main__":
    DATA.write_text(json.dumps(counted(), indent=1) + "\n", encoding="utf-8")
    print(f"written to {DATA}")
