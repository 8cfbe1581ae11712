"""The behavioural diff: what changes in answers when a model, a prompt or a parameter does. Pure; no configuration."""

from trimtab.behaviour.behaviour_diff import ALPHA, BehaviourDiff, diff
from trimtab.behaviour.causes import Cause, adapt
from trimtab.behaviour.detector import Detector
from trimtab.behaviour.detectors import DETECTORS
from trimtab.behaviour.findings import SEVERITIES, Finding
from trimtab.behaviour.flips import Flips
from trimtab.behaviour.model import Expected, Output, Pair, Severity
from trimtab.behaviour.pages import html_of, html_page_of, markdown_of
from trimtab.behaviour.words import HEADER, row_of, sentence_of, summary_of

__all__ = [
    "ALPHA",
    "DETECTORS",
    "HEADER",
    "SEVERITIES",
    "BehaviourDiff",
    "Cause",
    "Detector",
    "Expected",
    "Finding",
    "Flips",
    "Output",
    "Pair",
    "Severity",
    "adapt",
    "diff",
    "html_of",
    "html_page_of",
    "markdown_of",
    "row_of",
    "sentence_of",
    "summary_of",
]
