"""One model call, whichever format the caller speaks and whichever its upstream: planned, sent, read."""

from trimtab.providers.calls.plan import Plan, Plans, Target
from trimtab.providers.calls.reader import AnswerListener, AnswerReader, Outcome, failure, send
from trimtab.providers.calls.selection import translation_of
from trimtab.providers.calls.translation import Format, Translation
from trimtab.providers.calls.upstreams import Upstreams

__all__ = [
    "AnswerListener",
    "AnswerReader",
    "Format",
    "Outcome",
    "Plan",
    "Plans",
    "Target",
    "Translation",
    "Upstreams",
    "failure",
    "send",
    "translation_of",
]
