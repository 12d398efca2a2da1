"""What a gallery says of one method."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from specdsl.facts import Facts
from specdsl.gallery.compared import Compared
from specdsl.printing.count_text import factored
from specdsl.printing.explain import limit_text
from specdsl.spec import Spec


@dataclass(frozen=True)
class Card:
    """A method on a page.

    Attributes:
        name: what `specdsl show` calls it, and its file.
        group: the folder that it is in.
        spec: the checked spec.
        path: its file, relative to where the pages lie, or None where it has none.
        compared: where another package has the method, and in how many lines.
    """

    name: str
    group: str
    spec: Spec
    path: str | None = None
    compared: Compared | None = None

    @property
    def title(self) -> str:
        return self.spec.label

    @property
    def link(self) -> str | None:
        """The address of the paper, where the source of the method is one."""
        cite = self.spec.cite or ""
        found = re.fullmatch(r"arXiv:(\d{4}\.\d{4,5})", cite)
        if found:
            return f"https://arxiv.org/abs/{found[1]}"
        return cite if cite.startswith("https://") else None

    @property
    def cite(self) -> str:
        """The source as it is shown: an address without its beginning."""
        return re.sub(r"^https://([^/]+)/.*", r"\1", self.spec.cite or "")

    @property
    def lines(self) -> int:
        """Lines of the spec that are neither blank nor a comment, headers too."""
        lines = (line.strip() for line in self.spec.text.splitlines())
        return sum(bool(line) and not line.startswith("#") for line in lines)

    @property
    def parameters(self) -> list[str]:
        """What is trained in an n x m module, and what modules share; of a spec in parts for each of them."""
        found = []
        for part in self.spec.parts or (self.spec,):
            facts, place = part.facts, f" {limit_text(part)}" if part.limit else ""
            shared = facts.shared.constant != 0
            if facts.trained.constant != 0 or not shared:
                found.append(f"{factored(facts.trained)}{place}")
            found += [f"{factored(facts.shared)} shared{place}"] if shared else []
        return found

    @property
    def facts(self) -> list[str]:
        """What holds of the method, a few words each."""
        return list(_facts(self.spec.facts))

    @property
    def text(self) -> str:
        """Everything that a search looks through."""
        words = [self.name, self.title, self.group, self.spec.cite, self.spec.note, self.spec.text, *self.facts]
        return " ".join(" ".join(word for word in words if word).lower().split())


def _facts(facts: Facts) -> Iterable[str]:
    yield "merges" if facts.mergeable else "does not merge"
    if facts.exactly_lora:
        yield "exactly a LoRA"
    elif facts.rank_bound is not None and facts.rank_bound.terms:
        yield f"rank ≤ {factored(facts.rank_bound)}"
    if not facts.starts_at_base:
        yield "does not start at the base"
    if facts.derived:
        yield "computed from W"
    if facts.regenerated:
        yield "random factors from a seed"
    if facts.creates_bias:
        yield "gives every layer a bias"
    if facts.added_rows is not None:
        yield f"adds {factored(facts.added_rows)} tokens"
    if facts.noise:
        yield "noise in training"
    if facts.inputs:
        yield f"takes {', '.join(facts.inputs)}"
    measures = [need for need in facts.needs if not need.startswith("at ")]
    if measures:
        yield "needs data"
    if len(measures) < len(facts.needs):
        yield "events in training"
