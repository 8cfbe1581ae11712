"""How an answer is put: openings and closings, refusals, language, questions, emptiness, being cut off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trimtab.analysis.refusal import is_refusal
from trimtab.artifacts.output_steps import closer_start, preamble_end
from trimtab.behaviour.detector import Detector

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS"]

_APOLOGY = re.compile(r"\b(?:sorry|apolog(?:y|i[sz]e|ies)|regret|entschuldig\w+|désolée?|lo siento)\b")
_AS_AN_AI = re.compile(r"\bas an? (?:ai|artificial intelligence|language model|large language model|assistant)\b")
_EVASION = re.compile(
    r"\b(?:is|are|be) (?:highly |very |a )?(?:subjective|a matter of (?:opinion|taste))\b|"
    r"\b(?:depends|vary|varies) (?:\w+ ){0,3}(?:on|by|depending on) (?:\w+ ){0,2}(?:individual|person)|"
    r"\b(?:don't|do not|cannot|can't) have (?:any )?(?:personal )?(?:opinion|belief|feeling|preference|experience)s?\b|"
    r"\bconsult (?:a|an|your) (?:\w+ )?(?:professional|doctor|lawyer|attorney|physician|advis[oe]r)\b"
)
_STEPS = re.compile(
    r"\bstep \d|\bfirst(?:ly)?,|\blet's (?:think|check|start|break|find|see|solve|go)|"
    r"\bto (?:determine|find|solve|answer)\b"
)
_LOOKED_AT = 300
_ENDINGS = frozenset(".!?:;)]}\"'`*>|\u3002\uff01\uff1f\u2019\u201d\u2026")
_LONG = 200


def _preamble(reading: Reading) -> bool:
    """The answer announces itself: its first line begins as in "Sure! Here is ...", as step `drop_preamble` has it."""
    return preamble_end(reading.text) > 0


def _closer(reading: Reading) -> bool:
    """The answer takes its leave: its last paragraph begins as in "Let me know ...", as step `drop_closer` has it."""
    return closer_start(reading.text) < len(reading.text)


def _refusal(reading: Reading) -> bool:
    """The answer declines: by its finish reason, or a phrase in its first 300 characters, as the metric `refusal`."""
    return is_refusal(reading.text, reading.output.finish_reason)


def _evasion(reading: Reading) -> bool:
    """The first 300 characters evade: a matter of opinion, depends on the person, has no feelings, ask a doctor."""
    return _EVASION.search(reading.lower, 0, _LOOKED_AT) is not None


def _apology(reading: Reading) -> bool:
    """The first 300 characters have a word of apology (sorry, apologize, regret; German, French, Spanish too)."""
    return _APOLOGY.search(reading.lower, 0, _LOOKED_AT) is not None


def _as_an_ai(reading: Reading) -> bool:
    """The text says "as an AI", "as a language model" or "as an assistant"."""
    return "as a" in reading.lower and _AS_AN_AI.search(reading.lower) is not None


def _reasons(reading: Reading) -> bool:
    """The text goes step by step: "step 1", "first,", "let's think", "to determine" or the like in it."""
    return _STEPS.search(reading.lower) is not None


def _asks(reading: Reading) -> bool:
    """The answer ends with a question mark, white space and quotes aside."""
    return reading.stripped.rstrip("\"'*_`)").endswith(("?", "\uff1f"))


def _language(reading: Reading) -> bool | None:
    """The text is in the language most common among both sides' answers. Not asked where it cannot be told."""
    found = reading.language
    return None if not found else found == reading.usual.language


def _empty(reading: Reading) -> bool:
    """There is no text but white space, and no tool call."""
    return not reading.stripped and not reading.output.tool_calls


def _cut_off(reading: Reading) -> bool | None:
    """The finish reason is `length`, `max_tokens`, `max_output_tokens` or `model_length`. Asked where there is one."""
    reason = reading.output.finish_reason.lower()
    return reason in {"length", "max_tokens", "max_output_tokens", "model_length"} if reason else None


def _unfinished(reading: Reading) -> bool | None:
    """The last character ends no sentence, quote, bracket or block. Asked of texts over 200 characters, not Python."""
    if len(reading.stripped) <= _LONG or reading.is_code:
        return None
    return reading.stripped[-1] not in _ENDINGS


def _opening(reading: Reading) -> bool | None:
    """The first four characters are as most common among both sides' texts, letters taken as one and digits as one."""
    return reading.opening == reading.usual.opening if reading.stripped else None


def _ending(reading: Reading) -> bool | None:
    """The last character is as most common among both sides' texts, letters taken as one and digits as one."""
    return reading.ending == reading.usual.ending if reading.stripped else None


DETECTORS = (
    Detector("answer.empty", "breaks", "is empty", _empty, worse="more"),
    Detector("answer.cut_off", "breaks", "was cut off at the token limit", _cut_off, worse="more"),
    Detector("answer.unfinished", "content", "stops without an end", _unfinished, worse="more"),
    Detector("answer.language", "content", "is in the usual language", _language, worse="unusual"),
    Detector("answer.refusal", "content", "declines to answer", _refusal, worse="more, never better"),
    Detector("answer.evasion", "content", "evades the question", _evasion, worse="more"),
    Detector("answer.reasons", "content", "reasons step by step", _reasons),
    Detector("answer.asks", "content", "ends with a question", _asks),
    Detector("answer.opening", "content", "begins in the usual form", _opening),
    Detector("answer.ending", "style", "ends in the usual form", _ending),
    Detector("answer.preamble", "style", "announces itself", _preamble),
    Detector("answer.closer", "style", "takes its leave", _closer),
    Detector("answer.apology", "style", "apologises", _apology),
    Detector("answer.as_an_ai", "style", "speaks as an AI", _as_an_ai),
)
