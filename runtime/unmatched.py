"""Why an item names no module of a model, and what its writer probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from torch import nn

from specdsl.errors import did_you_mean, nearest
from specdsl.role_names import GROUPS, ROLES, is_role, role_hint, split_tower
from specdsl.runtime.roles import SiteRow, answers, find_family, is_linear, model_type_of


def explain_role(
    text: str, model: nn.Module, rows: Sequence[SiteRow], written: Callable[[str], str]
) -> tuple[str, str | None]:
    """The message and the hint for a role that no row answers to.

    Args:
        written: writes a regular expression the way it is written where the role stands.
    """
    if not is_role(text):
        return _unknown(text, rows, written)
    family, model_type = find_family(model), model_type_of(model)
    tower, plain = split_tower(text)
    if family is None and plain.partition(".")[0] in GROUPS:
        names = f"models of type `{model_type}`" if model_type else "this model"
        return f"`{text}` is not known for {names}, only module names are", _example(rows, written)
    whole = _with_tower(tower, family.fused.get(plain)) if family else None
    part_of = next((row.name for row in rows if whole and answers(row.role, whole)), None)
    if part_of:
        return f"`{text}` is only a part of `{part_of}` in this model", f"did you mean `{whole}`?"
    return _absent(text, f"`{model_type}` model" if model_type else "model", rows)


def nearest_ending(pattern: str, rows: Sequence[SiteRow]) -> str | None:
    """A hint with the end of a module name that is most like the letters of the pattern."""
    near = _nearest_ending(re.sub(r"\\[dwsb]|\\|[\[\](){}^$*+?|]", "", pattern).strip("."), rows)
    return f"did you mean a name that ends in `{near}`?" if near else None


def summary(rows: Sequence[SiteRow]) -> str:
    """The roles of the rows in one line: `attention.{query, key}, mlp.down, norm; towers: text, vision`."""
    present = [split_tower(row.role) for row in rows if row.role]
    plain = [role for role in ROLES if any(role == found for _, found in present)]
    words = []
    for group in dict.fromkeys(role.partition(".")[0] for role in plain):
        parts = [role.removeprefix(f"{group}.") for role in plain if role.startswith(f"{group}.")]
        words.append(f"{group}.{{{', '.join(parts)}}}" if len(parts) > 1 else ".".join([group, *parts]))
    towers = dict.fromkeys(tower for tower, _ in present if tower)
    return ", ".join(words) + (f"; towers: {', '.join(towers)}" if towers else "")


def _unknown(text: str, rows: Sequence[SiteRow], written: Callable[[str], str]) -> tuple[str, str | None]:
    message = f"`{text}` is no role"
    hint = role_hint(text)
    if hint.startswith("did you mean"):
        return message, hint
    if any(f".{row.name}".endswith(f".{text}") for row in rows if row.name):
        return message, f"modules are named by a regular expression: `{written(_ending_in(text))}`"
    known = dict.fromkeys(way for row in rows if row.role for way in _ways_to_say(row.role))
    role, ending = did_you_mean(text, known), _nearest_ending(text, rows)
    if ending and not role:
        return message, f"did you mean `{written(_ending_in(ending))}`?"
    return message, role or f"the roles here are {summary(rows)}"


def _nearest_ending(text: str, rows: Sequence[SiteRow]) -> str | None:
    parts = [row.name.split(".") for row in rows if row.name]
    return nearest(text, dict.fromkeys(".".join(names[-size:]) for names in parts for size in (1, 2, 3)), 0.6)


def _absent(text: str, kind: str, rows: Sequence[SiteRow]) -> tuple[str, str | None]:
    tower, plain = split_tower(text)
    message = f"this {kind} has no `{text}`"
    parts = [text.removesuffix("qkv") + part for part in ("query", "key", "value")]
    if plain.endswith(".qkv") and all(any(answers(row.role, part) for row in rows) for part in parts):
        return message, f"did you mean `{', '.join(parts)}`?"
    if tower and any(answers(row.role, plain) for row in rows):
        return message, f"did you mean `{plain}`?"
    if plain == "head":
        return message, "`--task` gives a bare encoder one; in Python, load the model with a head"
    return message, f"the roles here are {summary(rows)}"


def _ways_to_say(role: str) -> list[str]:
    """`decoder.mlp.up` may be asked for as `mlp.up`, `mlp`, `decoder.mlp.up` or `decoder.mlp`."""
    tower, plain = split_tower(role)
    group = plain.partition(".")[0]
    return [plain, group, *([role, f"{tower}.{group}"] if tower else [])]


def _with_tower(tower: str | None, role: str | None) -> str | None:
    return f"{tower}.{role}" if tower and role else role


def _example(rows: Sequence[SiteRow], written: Callable[[str], str]) -> str | None:
    name = next((row.name for row in rows if is_linear(row.module) and row.role != "head"), None)
    return f"such as `{written(_ending_in(name.rpartition('.')[2]))}`" if name else None


def _ending_in(text: str) -> str:
    return rf"(.*\.)?{re.escape(text)}"
