"""`Spec`: a checked spec, and `parse`, which makes one from a line, a file or a library name."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specdsl import limits, tree
from specdsl.elaborate.clauses import Clauses
from specdsl.elaborate.elaborator import Elaborated, elaborate
from specdsl.elaborate.hyperparameters import check_rank, check_settings
from specdsl.elaborate.start_check import check_start
from specdsl.errors import SpecError, SpecFileError, SpecLimitError, SpecWarning, did_you_mean, raise_all
from specdsl.facts import Facts, facts_of, joined_facts
from specdsl.ir import SpecIR, joined
from specdsl.library_specs import library_names, library_path
from specdsl.parser import parse_tree
from specdsl.placement import Items, has_target, limits_of, part_needed, parts_of
from specdsl.printing.text import spec_line, spec_text
from specdsl.sizes import Number
from specdsl.source import Span

if TYPE_CHECKING:
    from specdsl.printing.explanation import Explanation


@dataclass(frozen=True, eq=False)
class Spec:
    """A checked spec. Make one with `specdsl.parse`.

    Attributes:
        text: what was written.
        name: the file it came from, or `<spec>`.
        tree: its syntax.
        clauses: its clauses by kind (`on`, `train`, headers).
        ir: its meaning.
        warnings: things that are legal but probably not meant.
        settings: hyper-parameters set from outside.
        matrix_products: where `*` joins matrices, for the printer, which writes `@`.
        limit: of a part, the items that its modules are; without items, the modules that no other part is for.
        parts: of a spec with clauses limited to some modules, the specs that hold in each; `ir` then joins them.
    """

    text: str
    name: str
    tree: tree.SpecTree
    clauses: Clauses
    ir: SpecIR
    warnings: tuple[SpecError, ...]
    settings: Mapping[str, Number]
    matrix_products: tuple[Span, ...] = ()
    limit: Items = ()
    parts: tuple[Spec, ...] = ()

    @property
    def title(self) -> str | None:
        """The method's name as the `title:` header has it."""
        return self._header("title")

    @property
    def cite(self) -> str | None:
        return self._header("cite")

    @property
    def note(self) -> str | None:
        return self._header("note")

    @property
    def label(self) -> str:
        """A short name for a `repr`: title, file's stem, or the start of its clauses but `on` and `train`."""
        if self.title:
            return self.title
        if not self.name.startswith("<"):
            return Path(self.name).stem
        said = tuple(one for one in self.tree.clauses if not isinstance(one, tree.On | tree.Train))
        text = spec_line(replace(self.tree, clauses=said))
        return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1].rstrip()}…"

    def _header(self, key: str) -> str | None:
        header = self.clauses.headers.get(key)
        return header.text if header else None

    @cached_property
    def facts(self) -> Facts:
        """What holds of the spec for all models."""
        return joined_facts([part.facts for part in self.parts]) if self.parts else facts_of(self.ir)

    @cached_property
    def hyperparameters(self) -> dict[str, Number]:
        """The value of every hyper-parameter."""
        return self.ir.hyper_values()

    @property
    def hash(self) -> str:
        """A fingerprint of what the clauses say and of the settings, 16 hexadecimal digits."""
        settings = ";".join(f"{name}={float(value)!r}" for name, value in sorted(self.settings.items()))
        return hashlib.sha256(f"{spec_line(self.tree)}\n{settings}".encode()).hexdigest()[:16]

    def set(self, /, **hyperparameters: Number) -> Spec:
        """The spec with other values of its hyper-parameters.

        Raises:
            SpecSettingError: the spec uses no such hyper-parameter, or the value is impossible.

        >>> import specdsl
        >>> specdsl.parse("W + A@B").set(r=4).hyperparameters["r"]
        Fraction(4, 1)
        """
        if not hyperparameters:
            return self
        return _checked(self.text, self.name, {**self.settings, **hyperparameters})

    def at(self, applying: Iterable[Items]) -> Spec:
        """The ordinary spec that holds where the clauses limited to `applying` do; see `limits`."""
        if not self.parts:
            return self
        syntax = part_needed(self.tree, applying)
        for part in self.parts:
            if part.tree == syntax:
                return part
        found = _elaborated(syntax, self.settings, True)
        return _spec(self.text, self.name, syntax, found, _read_of(self.settings, found))

    @property
    def limits(self) -> list[Items]:
        """The distinct items that clauses are limited to."""
        return limits_of(self.tree)

    @property
    def adapts_everywhere(self) -> bool:
        """Whether some target holds in every module."""
        return has_target(self.tree)

    def explain(self) -> Explanation:
        """Every inferred shape, start, kind, size condition and fact, and why."""
        from specdsl.printing.explain import explain

        return explain(self)

    def latex(self) -> str:
        """The method as mathematics."""
        from specdsl.printing.latex import spec_latex

        return spec_latex(self)

    def __str__(self) -> str:
        return spec_text(self.tree, self.matrix_products)

    def __repr__(self) -> str:
        return f"<Spec {self.label}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and (self.ir, str(self)) == (other.ir, str(other))

    def __hash__(self) -> int:
        return hash(str(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Spec:
        return self  # nothing in it changes, and copies of a model share it

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"


LONGEST_LABEL = 60
_LIBRARY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def parse_text(text: str, name: str = "<spec>", /, **hyperparameters: Any) -> Spec:
    """A checked spec of a text that is never a name or a path; errors call it `name`.

    Raises:
        SpecError: the spec is wrong.
    """
    return _checked(text, name, hyperparameters)


def parse(text_or_path: str | Path, /, **hyperparameters: Any) -> Spec:
    """A checked spec.

    Args:
        text_or_path: a path or name that ends in `.spec` (a file, else a library method), a bare name (a library
            method), or else the text of a spec.
        hyperparameters: values that replace those in the text.

    Raises:
        SpecError: the spec is wrong; all independent mistakes are reported together.
        SpecFileError: there is no such file or library method.

    >>> import specdsl
    >>> spec = specdsl.parse("W + A@B")
    >>> print(spec.facts.trained)
    m*r + n*r
    """
    text, name = source_of(text_or_path)
    return _checked(text, name, hyperparameters)


def source_of(text_or_path: str | Path) -> tuple[str, str]:
    """The text of a spec and what errors call it; see `parse`.

    Raises:
        SpecFileError: there is no such file or library method.
    """
    given = str(text_or_path)
    if isinstance(text_or_path, Path) or (given.endswith(".spec") and "\n" not in given):
        path = Path(given)
        if _is_file(path):
            return read_spec_file(path), given
        in_library = library_path(path.name) if path.name == given else None
        if in_library is None:
            raise SpecFileError(
                f"there is no file `{given[:100]}`", hint=did_you_mean(path.stem[:100], library_names())
            )
        return read_spec_file(in_library), in_library.name
    stripped = given.strip()
    if _LIBRARY_NAME.fullmatch(stripped):
        in_library = library_path(stripped)
        if in_library is not None:
            return read_spec_file(in_library), in_library.name
        if stripped.replace("_", "").isalnum():
            beside = f"{stripped}.spec"
            hint = did_you_mean(stripped, library_names()) or "`specdsl ls` lists the library"
            hint = f"did you mean the file `{beside}`?" if _is_file(Path(beside)) else hint
            raise SpecFileError(f"the library has no method `{stripped}`", hint=hint)
    return given, "<spec>"


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a name that is too long for one is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_spec_file(path: Path) -> str:
    """The text of a spec file, refused where it is no text of a spec's length."""
    try:
        with path.open("rb") as file:
            content = file.read(limits.TEXT_BYTES + 1)
    except OSError as error:
        raise SpecFileError(f"`{path}` cannot be read: {error.strerror}") from None
    if len(content) > limits.TEXT_BYTES:
        raise SpecFileError(f"`{path}` is larger than a spec may be ({limits.TEXT_BYTES:,} bytes)")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise SpecFileError(f"`{path}` is not UTF-8 text") from None


def _checked(text: str, name: str, settings: Mapping[str, Any]) -> Spec:
    syntax = parse_tree(text, name)
    limited = parts_of(syntax)
    found = [_elaborated(part, settings, bool(limited)) for _, part in limited or [((), syntax)]]
    if limited:
        check_settings(settings, frozenset().union(*(one.settings_read for one in found)))
    for warning in dict.fromkeys(str(one) for part in found for one in part.warnings):
        warnings.warn(warning, SpecWarning, stacklevel=4)
    if not limited:
        return _spec(text, name, syntax, found[0], settings)
    whole = Clauses.of(syntax)
    raise_all(whole.errors)
    check_rank(whole, any("r" in one.settings_read for one in found))
    parts = tuple(
        _spec(text, name, part, one, _read_of(settings, one), items)
        for (items, part), one in zip(limited, found, strict=True)
    )
    every = Elaborated(
        joined([part.ir for part in parts]), whole, tuple(one for part in found for one in part.warnings),
        tuple(span for part in found for span in part.matrix_products), frozenset(settings),
    )  # fmt: skip
    return replace(_spec(text, name, syntax, every, settings), parts=parts)


def _read_of(settings: Mapping[str, Any], found: Elaborated) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in found.settings_read}


def _elaborated(syntax: tree.SpecTree, settings: Mapping[str, Any], is_part: bool) -> Elaborated:
    try:
        elaborated = elaborate(syntax, settings, is_part)
        spans = {target: elaborated.clauses.targets[target][0].span for target in elaborated.ir.targets}
        check_start(elaborated.ir, spans, elaborated.calls)
    except RecursionError:
        raise SpecLimitError("with its definitions written out the spec is nested too deeply", syntax.span) from None
    return elaborated


def _spec(
    text: str, name: str, syntax: tree.SpecTree, found: Elaborated, settings: Mapping[str, Any],
    limit: Items = (),
) -> Spec:  # fmt: skip
    return Spec(text, name, syntax, found.clauses, found.ir, found.warnings, dict(settings), found.matrix_products,
                limit)  # fmt: skip
