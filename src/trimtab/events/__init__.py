"""What happened: exposures, generations, scores and feedback, as values that outlive the process that saw them."""

from trimtab.events.model import Arm, Event, Exposure, Feedback, Generation, Score, decode_event, encode_event

__all__ = ["Arm", "Event", "Exposure", "Feedback", "Generation", "Score", "decode_event", "encode_event"]
