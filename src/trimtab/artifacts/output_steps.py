"""Output adapters: what a release does to the model's text before the caller sees it. Pure, light, never raises.

Every step is conservative: where it does not clearly apply, the text stays as it is, so that an answer is never cut in
half and a truncated one still fails where it is read.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "OUTPUT_STEPS",
    "apply_output_adapters",
    "closer_start",
    "embedded_json",
    "only_code_block",
    "preamble_end",
    "strip_fence",
]

_WHOLE_FENCE = re.compile(r"\s*```[^\n`]*\n(?P<inside>.*?)\n?[ \t]*```\s*", re.DOTALL)
_FENCE_LINE = re.compile(r"^[ \t]*```[^\n`]*$", re.MULTILINE)
_BRACKET = re.compile(r"[{\[]")
_STARTS_TRIED = 64
"""Brackets at which JSON is looked for: prose full of them costs no more than that."""
_LONGEST_LINE = 200
_OPENERS = (
    r"sure(?: thing)?|certainly|of course|absolutely|definitely|no problem|great(?: question)?|okay|ok|alright|got it|"
    r"here(?:'s| is| are| you go)|below (?:is|are)|the following (?:is|are)|i(?:'d| would) be happy to|happy to help|"
    r"natürlich|gerne?|selbstverständlich|hier (?:ist|sind)|bien sûr|voici|claro|por supuesto|aquí (?:está|tiene)"
)
_CLOSERS = (
    r"(?:please )?let me know|(?:i )?hope (?:this|that|it)|(?:please )?feel free|if you (?:have|need|would|want|'d)|"
    r"is there anything|(?:i'm |i am )?happy to help|don't hesitate|do you (?:want|need|have)|would you like|"
    r"lass(?:en sie)? (?:es )?mich wissen|ich hoffe|n'hésitez pas|j'espère|espero que|no dudes?"
)
_PREAMBLE = re.compile(rf"\s*(?:{_OPENERS})\b[^\n]*[:!.]['\"*]*[ \t]*\n", re.IGNORECASE)
_CLOSER = re.compile(rf"\n[ \t]*\n[ \t]*(?:{_CLOSERS})\b[^\n]*\s*\Z", re.IGNORECASE)


def strip_fence(text: str) -> str:
    """Unwrap a text that is one fenced block and nothing else; text around the fence means more was said, and stays."""
    match = _WHOLE_FENCE.fullmatch(text)
    return match["inside"] if match and "```" not in match["inside"] else text


def only_code_block(text: str) -> str:
    """Return what is inside the fenced block of a text, where it has exactly one that opens and closes on its lines."""
    if "```" not in text:
        return text
    fences = list(_FENCE_LINE.finditer(text))
    if len(fences) != 2:  # noqa: PLR2004 - one opens, one closes
        return strip_fence(text)
    opening, closing = fences
    if closing[0].strip() != "```":
        return text
    return text[opening.end() + 1 : max(closing.start() - 1, opening.end() + 1)]


def embedded_json(text: str) -> str:
    """Return the JSON object inside a text where there is exactly one; without objects, the one array; else the text.

    A text that is JSON as it stands is returned as it is. An array of one number is a footnote, such as [1].
    """
    if not ("{" in text or "[" in text) or _is_json(text):
        return text
    objects, arrays = _values(text)
    found = objects or arrays
    return found[0] if len(found) == 1 else text


def _is_json(text: str) -> bool:
    try:
        _decoder.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _values(text: str) -> tuple[list[str], list[str]]:
    """Find the objects and arrays that lie in no other value; nothing where too many brackets were no JSON."""
    objects: list[str] = []
    arrays: list[str] = []
    position = 0
    for _ in range(_STARTS_TRIED):
        start = _BRACKET.search(text, position)
        if start is None:
            return objects, arrays
        position = start.start()
        try:
            value, end = _decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            continue
        if isinstance(value, dict):
            objects.append(text[position:end])
        elif not _is_footnote(value):
            arrays.append(text[position:end])
        position = end
    return [], []


def _is_footnote(array: list[object]) -> bool:
    return len(array) == 1 and isinstance(array[0], int)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_decoder = json.JSONDecoder(parse_constant=_no_constant)  # NaN and Infinity are no JSON


def preamble_end(text: str) -> int:
    """Return where the line ends in which an answer announces itself ("Sure! Here is ...:"); 0 where there is none.

    That is the first line that is not blank, at most 200 characters, beginning with one of the openers above, ending
    with a colon, a full stop or an exclamation mark, with something other than blank lines behind it.
    """
    match = _PREAMBLE.match(text)
    if match is None or len(match[0].strip()) > _LONGEST_LINE or not text[match.end() :].strip():
        return 0
    return match.end()


def closer_start(text: str) -> int:
    """Return where the paragraph begins in which an answer takes its leave ("Let me know if ..."); its length without.

    That is the last line, behind a blank one, at most 200 characters, beginning with one of the closers above, with
    something other than blank lines before it.
    """
    tail = text[-2 * _LONGEST_LINE :]
    match = _CLOSER.search(tail)
    start = len(text) - len(tail) + match.start() if match else 0
    if match is None or len(match[0].strip()) > _LONGEST_LINE or not text[:start].strip():
        return len(text)
    return start


def _without_preamble(text: str) -> str:
    end = preamble_end(text)
    return text[end:].lstrip("\n") if end else text


def _without_closer(text: str) -> str:
    return text[: closer_start(text)]


OUTPUT_STEPS: Mapping[str, Callable[[str], str]] = {
    "trim": str.strip,
    "strip_code_fence": strip_fence,
    "extract_code_block": only_code_block,
    "extract_json": embedded_json,
    "drop_preamble": _without_preamble,
    "drop_closer": _without_closer,
}
"""Every `trimtab.artifacts.model.OutputStep` by its name in `adapter.output`, each from text to text."""


def apply_output_adapters(text: str, steps: Sequence[str]) -> str:
    """Return `text` after each step in order."""
    for step in steps:
        text = OUTPUT_STEPS[step](text)
    return text
