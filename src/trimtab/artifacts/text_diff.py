"""Word-level difference of two texts: what an edit of a prompt says in a review."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from trimtab.artifacts.change import Change
from trimtab.artifacts.template_lexer import tokenize

__all__ = ["diff_text"]

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*|[^\w\s]")
_LONG_CHARACTERS = 50_000
_SHOWN_RUNS = 6
_SHOWN_CHARACTERS = 80


def diff_text(path: str, before: str, after: str, *, template: bool = False) -> list[Change]:
    """Return the change between two texts, or nothing. Comments of a `template` mean nothing."""
    if before == after:
        return []
    spoken_before, spoken_after = (_without_comments(text) if template else text for text in (before, after))
    removed, added = _runs(spoken_before, spoken_after)
    behaviour = bool(removed or added)
    return [
        Change(
            kind="changed",
            path=path,
            before=before,
            after=after,
            summary=_summary(removed, added) if behaviour else _unspoken(spoken_before, spoken_after),
            words_added=added,
            words_removed=removed,
            behaviour=behaviour,
        )
    ]


def _without_comments(text: str) -> str:
    return "".join(token.text for token in tokenize(text) if token.kind != "comment")


def _unspoken(before: str, after: str) -> str:
    return "only template comments changed" if before == after else "only whitespace changed"


def _summary(removed: list[str], added: list[str]) -> str:
    parts = [f'- "{_shorten(run)}"' for run in removed[:_SHOWN_RUNS]]
    parts += [f'+ "{_shorten(run)}"' for run in added[:_SHOWN_RUNS]]
    hidden = max(0, len(removed) - _SHOWN_RUNS) + max(0, len(added) - _SHOWN_RUNS)
    return ", ".join(parts) + (f", and {hidden} more" if hidden else "")


def _shorten(run: str) -> str:
    run = " ".join(run.split())
    return run if len(run) <= _SHOWN_CHARACTERS else run[: _SHOWN_CHARACTERS - 1] + "…"


def _runs(before: str, after: str) -> tuple[list[str], list[str]]:
    """Runs of words that only one of the texts has, as they stand in it."""
    if len(before) + len(after) < _LONG_CHARACTERS:
        return _word_runs(before, after)
    # Words of a book-long prompt are many and repeat: find the lines that differ first.
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    removed: list[str] = []
    added: list[str] = []
    for tag, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new).get_opcodes():
        if tag != "equal":
            gone, fresh = _word_runs("".join(old[old_from:old_to]), "".join(new[new_from:new_to]))
            removed += gone
            added += fresh
    return removed, added


def _word_runs(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = list(_WORD.finditer(before)), list(_WORD.finditer(after))
    start, old_end, new_end = _differing(old, new)
    matcher = SequenceMatcher(
        None, [word.group() for word in old[start:old_end]], [word.group() for word in new[start:new_end]]
    )
    removed: list[str] = []
    added: list[str] = []
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            continue
        if old_to > old_from:
            removed.append(before[old[start + old_from].start() : old[start + old_to - 1].end()])
        if new_to > new_from:
            added.append(after[new[start + new_from].start() : new[start + new_to - 1].end()])
    return removed, added


def _differing(old: list[re.Match[str]], new: list[re.Match[str]]) -> tuple[int, int, int]:
    """The range of words between the common beginning and the common end: edits are small, prompts are long."""
    start = 0
    while start < min(len(old), len(new)) and old[start].group() == new[start].group():
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end].group() == new[-1 - end].group():
        end += 1
    return start, len(old) - end, len(new) - end
