"""Comments of a spec: which clause each belongs to, so that formatting loses none."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from specdsl import tree

_STRING_OR_COMMENT = re.compile(r'"[^"\n]*"|#[^\n]*')


@dataclass
class ClauseComments:
    """The comments of one clause: lines before it, and one at the end of its line."""

    before: list[str] = field(default_factory=list)
    after: str | None = None


@dataclass
class Comments:
    """The comments of a spec, in the order of its clauses, those above the first and those below the last one.

    `is_apart` says whether an empty line follows those on top.
    """

    clauses: list[ClauseComments]
    top: list[str] = field(default_factory=list)
    is_apart: bool = False
    below: list[str] = field(default_factory=list)

    @staticmethod
    def of(spec: tree.SpecTree) -> Comments:
        """Read off the text of the spec.

        A comment above the first clause belongs to the whole spec and stays on top. Another one on a line of its own
        belongs to the clause below it, one behind a clause to that clause. Of several
        comments inside one clause the last stays at its end and the others move before it.
        """
        comments = Comments([ClauseComments() for _ in spec.clauses])
        text = spec.span.source.text
        starts = [clause.span.start for clause in spec.clauses]
        for start, comment in _found(text, [c for c in spec.clauses if isinstance(c, tree.Header)]):
            is_behind = text[text.rfind("\n", 0, start) + 1 : start].strip() != ""
            if starts and start < starts[0]:
                comments.top.append(comment)
                comments.is_apart = text[start : starts[0]].count("\n") > 1
                continue
            comments._place(spec.clauses, bisect_left(starts, start), start, comment, is_behind)
        return comments

    def _place(self, clauses: Sequence[tree.Clause], begun: int, start: int, comment: str, is_behind: bool) -> None:
        last = clauses[begun - 1] if begun else None
        if last is not None and not isinstance(last, tree.Header) and (is_behind or start < last.span.end):
            own = self.clauses[begun - 1]
            own.before += [] if own.after is None else [own.after]
            own.after = comment if is_behind else None
            own.before += [] if is_behind else [comment]
        elif begun < len(clauses):
            self.clauses[begun].before.append(comment)
        else:
            self.below.append(comment)


def _found(text: str, headers: Sequence[tree.Header]) -> list[tuple[int, str]]:
    """Every comment and where it begins; `#` in strings and headers begins none."""
    found: list[tuple[int, str]] = []
    position = 0
    ends = {header.span.start: header.span.end for header in headers}
    for stop in [*sorted(ends), len(text)]:
        for match in _STRING_OR_COMMENT.finditer(text, position, stop):
            if match.group().startswith("#"):
                found.append((match.start(), match.group().rstrip()))
        position = ends.get(stop, stop)
    return found
