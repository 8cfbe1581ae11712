"""One model call, whichever format the caller speaks and whichever its upstream: planned, sent, read."""

from trimtab.calls.formats import Format, Translation, translation_of
from trimtab.calls.plan import Plan, Plans, Target
from trimtab.calls.reader import AnswerListener, AnswerReader, Outcome, failure, send
from trimtab.calls.upstreams import Upstreams

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
