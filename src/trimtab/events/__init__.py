"""What happened, as values that outlive the process that saw it: calls, scores, feedback, withdrawals."""

from trimtab.events.attributes import read_attributes
from trimtab.events.model import (
    Arm,
    Event,
    Exposure,
    Feedback,
    Generation,
    Score,
    Withdrawal,
    decode_event,
    encode_event,
)

__all__ = [
    "Arm",
    "Event",
    "Exposure",
    "Feedback",
    "Generation",
    "Score",
    "Withdrawal",
    "decode_event",
    "encode_event",
    "read_attributes",
]
