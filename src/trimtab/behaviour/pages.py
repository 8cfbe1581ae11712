"""A diff as Markdown and as HTML, for pull requests and reports."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from trimtab.behaviour.words import HEADER, row_of, summary_of
from trimtab.core.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.behaviour.behaviour_diff import BehaviourDiff
    from trimtab.behaviour.findings import Finding

__all__ = ["html_of", "html_page_of", "markdown_of"]

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.3rem .6rem;text-align:left;
vertical-align:top;border-bottom:1px solid color-mix(in srgb,CanvasText 20%,Canvas)}
"""


def markdown_of(found: BehaviourDiff) -> str:
    """Return a diff as Markdown: what changed in sentences, the flagged changes in a table, the proposed adapters."""
    parts = ["## Behavioural diff", "", *(f"- {_plain(sentence)}" for sentence in summary_of(found))]
    for title, findings in _tables(found):
        parts += ["", f"### {title}", "", *_markdown_table(findings)]
    if found.causes:
        steps = ", ".join(found.causes[0].steps)
        parts += ["", "### Proposed adapter", "", "```yaml", "adapter:", f"  output: [{steps}]", "```"]
    return "\n".join(parts) + "\n"


def html_of(found: BehaviourDiff) -> str:
    """Return a diff as an HTML fragment, one `<section>`; whatever outputs hold is escaped."""
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in summary_of(found))
    tables = "".join(f"<h3>{escape(title)}</h3>{_html_table(findings)}" for title, findings in _tables(found))
    adapter = ""
    if found.causes:
        steps = ", ".join(found.causes[0].steps)
        adapter = f"<h3>Proposed adapter</h3><pre>adapter:\n  output: [{escape(steps)}]</pre>"
    return f'<section class="behaviour-diff"><ul>{sentences}</ul>{tables}{adapter}</section>'


def html_page_of(found: BehaviourDiff) -> str:
    """Return a diff as one HTML page that needs nothing else: no network, no script; light and dark."""
    title = escape(f"{found.old_name} → {found.new_name}: {quantity(found.pairs, 'item')}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{html_of(found)}</body></html>\n"
    )


def _tables(found: BehaviourDiff) -> list[tuple[str, tuple[Finding, ...]]]:
    tables = [("What changed", found.flags), ("What changed in slices", found.slices)]
    return [(title, findings) for title, findings in tables if findings]


def _markdown_table(findings: Iterable[Finding]) -> list[str]:
    rows = [HEADER, ("---",) * len(HEADER), *map(row_of, findings)]
    return [f"| {' | '.join(map(_cell, row))} |" for row in rows]


def _html_table(findings: Iterable[Finding]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in HEADER)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row_of(one)) + "</tr>" for one in findings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """On one line, and without what Markdown would read as HTML."""
    return " ".join(text.split()).replace("<", "&lt;")
