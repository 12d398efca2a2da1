"""The one spec of all modules that a PEFT adapter adapts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from specdsl.errors import SpecCheckpointError, SpecError
from specdsl.printing.resolved import resolved_text
from specdsl.runtime.interchange.correspondence import Correspondence, Fields
from specdsl.runtime.interchange.factors import axis_sizes
from specdsl.runtime.interchange.peft_reading import PeftModule, PeftReading
from specdsl.spec import Spec, parse, parse_text, source_of

BIAS = "bias_shift"
_NOT_LIMITED = re.compile(r"^(?:on|train|at|title:|cite:|note:|starts:).*\n(?:[ \t].*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Group:
    """The modules that follow one row of the table with the same hyper-parameters."""

    row: Correspondence
    settings: Mapping[str, float]
    places: list[str] = field(default_factory=list)


def spec_of(found: PeftReading) -> Spec:
    """The spec of all modules together; where they differ, its clauses are limited to them.

    Raises:
        SpecCheckpointError: the clauses do not go together.
    """
    groups = _groups(found)
    rows = rows_of(found)
    try:
        if len(groups) == 1 and not found.biases:
            return _spec(groups[0], found.fields)
        parts = [_limited(group, found, number) for number, group in enumerate(groups, 1)]
        if found.biases:
            items = items_of(found.biases, found.names)
            parts += [f"on {items}: {BIAS} : m ~ zeros", f"on {items}: b' = b + {BIAS}"]
        return parse_text("\n".join(parts), "<peft>")
    except SpecError as error:
        names = " and ".join(f"`{row.spec}`" for row in rows)
        raise SpecCheckpointError(
            f"the modules follow {names}, which cannot be one spec here: {error.message}"
        ) from None


def text_of(row: Correspondence, fields: Fields) -> tuple[str, str]:
    """The text of a row's spec under a configuration, and its name."""
    text, name = source_of(row.spec)
    for switch, (old, new) in row.exchange.items():
        if fields.get(switch):
            text = text.replace(old, new)
    return text, name


def rows_of(found: PeftReading) -> list[Correspondence]:
    """The rows of the table that the modules follow."""
    rows: list[Correspondence] = []
    for one in found.modules.values():
        if not any(one.row is row for row in rows):
            rows.append(one.row)
    return rows


def items_of(places: Iterable[str], names: Iterable[str]) -> str:
    """Modules as the items of a clause: one for all blocks, where they have the module in all blocks.

    >>> items_of(["h.0.q", "h.1.q", "h.0.k"], ["h.0.q", "h.0.k", "h.1.q", "h.1.k"])
    '"h\\\\.\\\\d+\\\\.q", "h\\\\.0\\\\.k"'
    """
    chosen, items = set(places), dict[str, None]()
    for place in places:
        everywhere = re.sub(r"(?<=\\.)\d+(?=\\.)", r"\\d+", re.escape(place))
        alike = {name for name in names if re.fullmatch(everywhere, name)}
        items[f'"{everywhere if alike <= chosen else re.escape(place)}"'] = None
    return ", ".join(items)


def _spec(group: Group, fields: Fields) -> Spec:
    if not group.row.exchange:
        return parse(group.row.spec, **group.settings)
    text, name = text_of(group.row, fields)
    return parse_text(text, name, **group.settings)


def _limited(group: Group, found: PeftReading, number: int) -> str:
    """All clauses of a row limited to its modules, its hyper-parameters with the number of the group."""
    spec = _spec(group, found.fields)
    global_ones = tuple(f"{numbered(name, number)} = " for name in spec.hyperparameters)
    items = items_of(group.places, found.names)
    kept = _NOT_LIMITED.sub("", f"{numbered_text(spec, number)}\n").strip("\n")
    return "\n".join(line if line.startswith(global_ones) else f"on {items}: {line}" for line in kept.split("\n"))


def numbered(name: str, number: int) -> str:
    """A hyper-parameter of a group: `r`, `r_2`, `r_3`."""
    return name if number == 1 else f"{name}_{number}"


def numbered_text(spec: Spec, number: int) -> str:
    """The resolved text of a spec with the hyper-parameters of a group; options keep their names (`terms=terms_2`)."""
    text, names = resolved_text(spec), "|".join(map(re.escape, spec.hyperparameters))
    return re.sub(rf"\b(?:{names})\b(?!'|=)", lambda name: numbered(name[0], number), text) if names else text


def _groups(found: PeftReading) -> list[Group]:
    groups: list[Group] = []
    for place, one in found.modules.items():
        settings = _settings(one)
        group = next((group for group in groups if group.row is one.row and group.settings == settings), None)
        if group is None:
            group = Group(one.row, settings)
            groups.append(group)
        group.places.append(place)
    return groups


def _settings(one: PeftModule) -> dict[str, float]:
    """The hyper-parameters of a module: from the configuration, or from the sizes of its tensors."""
    settings: dict[str, float] = {}
    for name, field_name in one.row.settings.items():
        value = one.fields.get(field_name)
        if name == "alpha" and value is None:
            raise SpecCheckpointError(
                f"the configuration does not say `{field_name}`, and nothing else says how much the factors count",
                hint="PEFT's default depends on the method and release; write it into `adapter_config.json`",
            )
        if name not in one.row.axes and value is not None:
            settings[name] = value
    sizes = axis_sizes(one.row, one.site.kind, one.tensors)
    return settings | {name: size(sizes) for name, size in one.row.axes.items()}
