"""The verdict card in a notebook: as HTML and as Markdown, with the same parts as the text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from specdsl.equivalence.card import WIDTH, Section, SenseLine, sections, sense_lines, title, witness_lines

if TYPE_CHECKING:
    from specdsl.equivalence.verdict import Verdict

_COLOURS = {"proved": "#1a7f37", "refuted": "#b42318", "supported": "#9a6700", "unknown": "#6e7781"}


def card_html(verdict: Verdict) -> str:
    """The card as a fragment of HTML with its own styles; every text in it is escaped."""
    rows = "".join(_html_sense(line) for line in sense_lines(verdict))
    parts = "".join(_html_section(section) for section in sections(verdict))
    specs = f"a  {verdict.text_a}\nb  {verdict.text_b}"
    return (
        '<div style="font-family:system-ui,sans-serif;max-width:60em;line-height:1.45">'
        f'<div style="font-weight:600;font-size:1.1em">{escape(title(verdict))}</div>'
        f'{_pre(specs)}<table style="border-collapse:collapse;margin:.4em 0">{rows}</table>{parts}</div>'
    )


def card_markdown(verdict: Verdict) -> str:
    """The card as Markdown."""
    lines = [f"**{_plain(title(verdict))}**", "", *_fenced([f"a  {verdict.text_a}", f"b  {verdict.text_b}"]), ""]
    lines += ["| sense | relation | known | why |", "|---|---|---|---|"]
    for line in sense_lines(verdict):
        status = f"**{line.known}**" if line.known else ""
        lines.append(f"| {line.name} | {_plain(line.symbol)} | {status} | {_plain(line.reason)} |")
    for section in sections(verdict):
        body = [*section.lines, *_values(section)]
        if section.witness is None and len(body) == 1:
            lines += ["", f"**{_plain(section.heading)}**: {_plain(body[0])}"]
        else:
            lines += ["", f"**{_plain(section.heading)}**", "", *_fenced(body)]
    return "\n".join(lines)


def _html_sense(line: SenseLine) -> str:
    colour = _COLOURS.get(line.status, "inherit")
    cells = (
        f"<b>{escape(line.name)}</b>" if line.status else escape(line.name),
        f"<code>{escape(line.symbol)}</code>",
        f'<span style="color:{colour};font-weight:600">{escape(line.known)}</span>',
        escape(line.reason),
    )
    style = "padding:.15em .9em .15em 0;text-align:left;vertical-align:top"
    return f"<tr>{''.join(f'<td style={chr(34)}{style}{chr(34)}>{cell}</td>' for cell in cells)}</tr>"


def _html_section(section: Section) -> str:
    body = [*section.lines, *_values(section)]
    if section.witness is None and len(body) == 1:
        return f"<div><b>{escape(section.heading)}</b>: {escape(body[0])}</div>"
    return f'<div style="margin-top:.5em"><b>{escape(section.heading)}</b></div>{_pre(chr(10).join(body))}'


def _values(section: Section) -> list[str]:
    return [] if section.witness is None else witness_lines(section.witness, WIDTH)


def _pre(text: str) -> str:
    style = "margin:.2em 0 .2em 1em;white-space:pre-wrap;background:none;font-size:.95em"
    return f'<pre style="{style}">{escape(text)}</pre>'


def _fenced(lines: list[str]) -> list[str]:
    return ["```text", *(line.replace("```", "'''") for line in lines), "```"]


def _plain(text: str) -> str:
    """Text without meaning for Markdown, in a table or outside."""
    for sign in "\\|*_`<>[]":
        text = text.replace(sign, f"\\{sign}") if sign in "\\|*_`[]" else text.replace(sign, escape(sign))
    return text
