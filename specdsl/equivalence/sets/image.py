"""The reachable set of a spec as the image of a map: forms over free factors, and what each factor runs over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World
from specdsl.equivalence.forms.index import ONE, length
from specdsl.equivalence.forms.text import form_text
from specdsl.equivalence.sets.rank import remember
from specdsl.sizes import Environment, Size

RANGES = {
    "real": frozenset({"real"}),
    "nonnegative": frozenset({"real", "nonnegative"}),
    "nonzero": frozenset({"real", "nonzero"}),
    "positive": frozenset({"real", "nonnegative", "nonzero", "positive"}),
    "unit": frozenset({"real", "nonnegative", "nonzero", "positive", "unit", "within one", "at most one"}),
    "within one": frozenset({"real", "within one", "at most one"}),
    "at most one": frozenset({"real", "at most one"}),
    "rotations": frozenset({"real", "rotations"}),
    "reflections": frozenset({"real", "reflections"}),
}
"""What a factor runs over, with every range that contains it. Of entries: all numbers, `>= 0`, not 0, `> 0`, between 0
and 1, between -1 and 1 without and with the ends. Of square matrices: Cayley transforms of all skew matrices, which are
the rotations without the eigenvalue -1; products of at most `count` reflections, which are the orthogonal matrices H
with `rank(H - eye) <= count`."""


@dataclass(frozen=True)
class Space:
    """What a factor runs over.

    Attributes:
        axes: without those of size 1.
        range: of its entries; see `RANGES`.
        rank: at most this rank, for a matrix that stands for a product of two.
        orthonormal: axes over which it contracts to the identity.
        count: of reflections.
    """

    axes: tuple[Size, ...]
    range: str = "real"
    rank: Size | None = None
    orthonormal: frozenset[int] = frozenset()
    count: Size | None = None

    @property
    def is_free(self) -> bool:
        """Whether it is a whole linear space."""
        return self.range == "real" and self.rank is None and not self.orthonormal

    def key(self, name: str) -> Key:
        """The atom of a factor that runs over this."""
        text = self.range if self.rank is None else f"rank<={self.rank}"
        if self.rank is not None:
            remember(text, self.rank)
        if self.count is not None:
            text = f"{self.range}<={self.count}"
            remember(text, self.count)
        return Key("trained", name, self.axes, orthonormal=self.orthonormal, range=text)

    def dimension(self, sizes: Environment) -> int:
        """The dimension of the set of its values, for these sizes."""
        axes = [size.integer(sizes) for size in self.axes]
        entries = math.prod(axes)
        if self.rank is not None:
            n, m = axes
            k = min(self.rank.integer(sizes), n, m)
            return k * (n + m - k)
        if self.range == "rotations":
            return entries // axes[-1] * (axes[-1] - 1) // 2
        if self.count is not None:
            k = min(self.count.integer(sizes), axes[0])
            return k * axes[0] - k * (k + 1) // 2
        if self.orthonormal:
            k = min(axes)
            return entries - k * (k + 1) // 2
        return entries


@dataclass(frozen=True)
class Step:
    """One change of the parametrisation that leaves the image as it is.

    Attributes:
        rule: the name of the rule.
        gone: the old factors that are replaced, and what they ran over.
        new: new factors by old ones.
        old: old factors by new ones; empty where a theorem says that they exist.
        said: what the theorem says of them.
        condition: what has to hold, if anything.
    """

    rule: str
    gone: Mapping[str, Space]
    new: Mapping[str, Form]
    old: Mapping[str, Form]
    said: Mapping[str, str]
    condition: str = ""

    @cached_property
    def up(self) -> Mapping[str, str]:
        """New factors by old ones, as text."""
        return {name: form_text(form) for name, form in self.new.items()}

    @cached_property
    def down(self) -> Mapping[str, str]:
        """Old factors by new ones, as text."""
        return self.said or {name: form_text(form) for name, form in self.old.items()}


@dataclass(frozen=True)
class Image:
    """A parametrised set.

    Attributes:
        forms: the compared values over `factors`.
        factors: what each trained factor in them runs over.
        steps: how it came from the spec's own factors.
        paired: its random draws that are taken as draws of another name, or transposed, in the spec that it is compared
            with: `(own name, other's name, is transposed)`.
    """

    forms: Mapping[str, Form]
    factors: Mapping[str, Space]
    world: World
    steps: tuple[Step, ...] = field(default=())
    paired: tuple[tuple[str, str, bool], ...] = field(default=())

    @staticmethod
    def of(forms: Mapping[str, Form], world: World) -> Image:
        """The image as the spec has it."""
        factors: dict[str, Space] = {}
        for key in keys_of(forms):
            if key.kind == "trained":
                factors[key.name] = Space(key.axes, orthonormal=key.orthonormal)
        return Image(forms, dict(sorted(factors.items())), world)

    @cached_property
    def token(self) -> str:
        return " ; ".join(f"{name} = {form.token}" for name, form in self.forms.items())

    @cached_property
    def complexity(self) -> tuple[int, int, int]:
        """Rules make this smaller: the number of atoms, terms and parts, of factors, and of what holds factors."""
        held = sum(bool(space.orthonormal) + (space.rank is not None) for space in self.factors.values())
        return sum(map(_weight, self.forms.values())), len(self.factors), held

    @property
    def is_irreducible(self) -> bool:
        """Whether the closure is surely in one piece: orthogonal matrices have two, by the sign of the determinant."""
        return all(
            space.range != "reflections"
            and (not space.orthonormal or space.range == "rotations" or _is_never_square(space, self.world))
            for space in self.factors.values()
        )

    def put(self, values: Mapping[str, Form]) -> dict[str, Form]:
        return {name: form.put(values) for name, form in self.forms.items()}

    def over(self, forms: Mapping[str, Form], factors: Mapping[str, Space], step: Step) -> Image:
        """The image after a step; factors that nothing reads are dropped."""
        read = frozenset().union(*(form.trained for form in forms.values()))
        kept = {name: space for name, space in sorted(factors.items()) if name in read}
        return replace(self, forms=dict(forms), factors=kept, steps=(*self.steps, step))

    def fresh_name(self, *wanted: str) -> str:
        """A name for a new factor that no factor has or had."""
        taken = {*self.factors, *(name for step in self.steps for name in (*step.gone, *step.new))}
        name = wanted[0] if wanted else "T"
        stem, count = name.rstrip("0123456789") or name, 1
        while name in taken:
            count += 1
            name = f"{stem}{count}"
        return name

    def terms(self) -> Iterator[tuple[str, Term]]:
        for name, form in self.forms.items():
            for term in form.terms.values():
                yield name, term

    def terms_everywhere(self) -> Iterator[tuple[str, Term]]:
        """Every term, those in operators' arguments too; the same argument is visited once."""
        waiting = list(self.forms.items())
        seen: set[str] = set()
        while waiting:
            target, form = waiting.pop()
            for term in form.terms.values():
                yield target, term
                for argument in (one for atom in term.atoms for one in atom.key.arguments):
                    if argument.token not in seen:
                        seen.add(argument.token)
                        waiting.append((target, argument))

    def uses(self, name: str) -> list[Use]:
        """Every term that reads a factor, with its atom there; `atom` is None where it is inside an operator."""
        found = []
        for target, term in self.terms():
            if name not in term.trained:
                continue
            own = _own(term, name)
            inside = any(name in atom.key.trained for atom in term.atoms if atom not in own)
            found.append(Use(target, term, own[0] if len(own) == 1 and own[0].power == 1 and not inside else None))
        return found

    def uses_everywhere(self, name: str) -> list[Use]:
        """The same with the terms in operators' arguments, each for itself."""
        found = []
        for target, term in self.terms_everywhere():
            own = _own(term, name)
            if own:
                found.append(Use(target, term, own[0] if len(own) == 1 and own[0].power == 1 else None))
        return found


def _is_never_square(space: Space, world: World) -> bool:
    return len(space.axes) == 2 and any(
        world.at_most(one + ONE, other) for one, other in (space.axes, space.axes[::-1])
    )


def _own(term: Term, name: str) -> list[Atom]:
    return [atom for atom in term.atoms if atom.key.kind == "trained" and atom.key.name == name]


@dataclass(frozen=True)
class Use:
    """A term that reads a factor once (`atom`), or in another way."""

    target: str
    term: Term
    atom: Atom | None

    @property
    def rest(self) -> list[Atom]:
        return [atom for atom in self.term.atoms if atom is not self.atom]


def keys_of(forms: Mapping[str, Form]) -> Iterator[Key]:
    """Every key in forms, those inside operators too."""
    waiting = list(forms.values())
    while waiting:
        form = waiting.pop()
        for term in form.terms.values():
            for atom in term.atoms:
                yield atom.key
                waiting.extend(atom.key.arguments)


def _weight(form: Form) -> int:
    return sum(
        2
        + (term.coefficient != ONE)
        + sum(1 + _marks(atom) + sum(map(_weight, atom.key.arguments)) for atom in term.atoms)
        for term in form.terms.values()
    )


def _marks(atom: Atom) -> int:
    """What is not plain about a factor's atom: axes that are read in part, a power."""
    if atom.key.kind != "trained":
        return 0
    return (atom.power != 1) + sum(length(slot) != size for slot, size in zip(atom.slots, atom.key.axes, strict=True))
