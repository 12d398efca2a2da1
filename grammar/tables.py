"""The parser's tables, made once and kept as JSON, so that a command does not construct them anew.

`python -m specdsl.grammar.tables` writes them after a change of the grammar; a test holds them to it. Where the tables
are of another grammar or another version of Lark, the parser is constructed from the grammar instead.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

from specdsl.grammar import grammar_text

FILE = "tables.json"
_OPTIONS: dict[str, Any] = {"parser": "lalr", "propagate_positions": True, "maybe_placeholders": True}


def constructed() -> lark.Lark:
    """The parser made from the grammar."""
    return lark.Lark(grammar_text(), **_OPTIONS)


def parser() -> lark.Lark:
    """The parser, from the kept tables where they fit."""
    kept = json.loads((files(__package__) / FILE).read_text(encoding="utf-8"))
    if (kept["lark"], kept["grammar"]) != (lark.__version__, _fingerprint()):
        return constructed()
    loaded = lark.Lark._load_from_dict(  # type: ignore[no-untyped-call]
        _with_numbers(kept["data"]), _with_numbers(kept["memo"])
    )
    assert isinstance(loaded, lark.Lark)
    return loaded


def tables() -> dict[str, Any]:
    """The tables of the present grammar, as they are kept."""
    data, memo = constructed().memo_serialize([TerminalDef, Rule])
    found: dict[str, Any] = json.loads(json.dumps({"data": data, "memo": memo}))
    return {"lark": lark.__version__, "grammar": _fingerprint(), **found}


def _fingerprint() -> str:
    return hashlib.sha256(grammar_text().encode()).hexdigest()


def _with_numbers(value: Any) -> Any:
    """JSON keeps the keys of a table as texts; Lark's are numbers."""
    if isinstance(value, dict):
        return {int(key) if key.isdigit() else key: _with_numbers(entry) for key, entry in value.items()}
    return [_with_numbers(entry) for entry in value] if isinstance(value, list) else value


def write() -> Path:
    """Write the tables beside the grammar."""
    path = Path(str(files(__package__) / FILE))
    path.write_text(json.dumps(tables(), separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(write())
