"""What became of a rollout, and why, in one paragraph with the numbers: for somebody who was not there. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from trimtab.rollout.attempt import WITHDREW
from trimtab.rollout.moves import CONTROLLER, weight_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trimtab.analysis.model import MetricEvidence
    from trimtab.analysis.segments import SegmentEvidence
    from trimtab.analysis.verdict import Verdict
    from trimtab.rollout.model import Rollout, Transition
    from trimtab.rollout.spec import RolloutPlan

__all__ = ["Cause", "Story", "blamed", "cause_of", "paragraph", "segment_words"]

Cause = Literal["", "harm", "withdrawn", "person", "controller"]
"""Why an attempt was rolled back: proven harm, a process that took the candidate out by itself, a person, or something
else that the controller saw (a gate, a lack of traffic, a scorer that does not load). Empty where it was not."""

_BACK = frozenset({"rolling_back", "rolled_back"})
_EVIDENCE = "The evidence"
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
_PAUSED = {
    "manual": "is paused",
    "signal": "is paused, because a signal metric alarms",
    "srm": "is paused, because the sizes of the arms do not fit the shares that they should have, so that nothing can "
    "be concluded from them",
    "no_data": "is paused for want of traffic",
    "inconclusive": "is paused, because nothing was decided",
    "eval": "is paused, because a test suite did not pass",
    "harm": "is paused: harm is proven, and its plan leaves the rollback to people",
}
_THEN = {
    "eval": "Record another run with `trimtab eval record` and go on with `trimtab rollout resume {id} --reason ...`, "
    "or end it with `trimtab rollout abort {id} --reason ...`.",
    "no_data": "It goes on by itself when traffic of both arms is back.",
    "harm": "End it with `trimtab rollout abort {id} --reason ...`; `trimtab rollout resume {id} --reason ...` goes on "
    "against the evidence.",
}
_DECIDE = (
    "Go on with `trimtab rollout resume {id} --reason ...`, or end it with `trimtab rollout abort {id} --reason ...`."
)


class Story(NamedTuple):
    """What there is to tell of."""

    rollout: Rollout
    plan: RolloutPlan
    verdict: Verdict | None
    transitions: Sequence[Transition]
    stable: str
    """`feature#number`, as `candidate`."""
    candidate: str


def cause_of(rollout: Rollout, verdict: Verdict | None, transitions: Sequence[Transition]) -> Cause:
    """Return why an attempt was rolled back, or is being."""
    if rollout.state not in _BACK:
        return ""
    turned = _turn(transitions, "rolling_back")
    if turned is not None and turned.actor != CONTROLLER:
        return "person"
    if verdict is not None and verdict.status == "failed":
        return "harm"
    return "withdrawn" if WITHDREW in rollout.reason else "controller"


def blamed(verdict: Verdict | None) -> MetricEvidence | None:
    """Return the metric a verdict is about: of what is proven against the candidate the strongest, else the weakest.

    Weakest is what bets most against it; where all is proven no worse, what is proven least.
    """
    heard = [] if verdict is None else [metric for metric in verdict.metrics if not metric.dry_run]
    failed = [metric for metric in heard if metric.failed]
    if failed:
        return max(failed, key=lambda metric: (metric.role == "guardrail", metric.harm_peak / metric.limit))
    measured = [metric for metric in heard if metric.pairs] or heard
    decided = [metric for metric in measured if metric.role != "signal"] or measured
    if decided and all(metric.passed for metric in decided):
        return min(decided, key=lambda metric: metric.non_inferior)
    return max(decided, key=lambda metric: (metric.harm_peak / metric.limit, -_lead(metric)), default=None)


def paragraph(story: Story) -> str:
    """Return the paragraph."""
    rollout = story.rollout
    match rollout.state:
        case "rolled_back" | "rolling_back":
            told = _rolled_back(story)
        case "promoted":
            told = [f"`{story.candidate}` became stable{_by(story, 'promoted')}{_when(story)}: {rollout.reason}"]
            told.append(_evidence(story))
        case "superseded" | "expired":
            how = "was superseded" if rollout.state == "superseded" else "expired"
            by = _by(story, rollout.state)
            told = [f"`{story.candidate}` {how}{by}{_when(story)}{_in_step(story)}: {rollout.reason}"]
            told += [_evidence(story), f"Everybody meets {_stable_now(story)}."]
        case "paused":
            told = _paused(story)
        case _:
            told = _under_way(story)
    worst = _worst_segment(story)
    if worst and not any(worst in part for part in told):
        told.insert(2 if told[1:] and told[1].startswith(_EVIDENCE) else 1, worst)
    return " ".join(_sentence(part) for part in told if part)


def segment_words(segment: SegmentEvidence) -> str:
    """Return what a segment says, and whether harm to it is proven."""
    return f"{'Harmed' if segment.harmed else 'Hurt most'}: {segment.words}"


def _worst_segment(story: Story) -> str:
    """Return what the segment that is hurt most says, unless the reason does."""
    segments = [] if story.verdict is None else story.verdict.segments
    return segment_words(segments[0]) if segments and segments[0].words not in story.rollout.reason else ""


_STATES = {
    "draft": "drafted",
    "validating": "about to start",
    "evaluating": "being evaluated",
    "shadowing": "answering in shadow",
    "progressing": "being tried on users",
    "baking": "serving all but the control",
}


def _under_way(story: Story) -> list[str]:
    rollout = story.rollout
    doing = _STATES.get(rollout.state, rollout.state)
    if rollout.state == "progressing" and not weight_at(story.plan, rollout.stage):
        doing = "under way, and no user meets it yet"
    since = _since(story) if rollout.stage >= 0 else ""
    return [f"`{story.candidate}` is {doing}{_in_step(story)}{since}", _evidence(story), _upper(rollout.reason)]


def _rolled_back(story: Story) -> list[str]:
    rollout = story.rollout
    cause = cause_of(rollout, story.verdict, story.transitions)
    how = "is being rolled back" if rollout.state == "rolling_back" else "was rolled back"
    why = {"harm": " for proven harm", "withdrawn": " because its calls plainly failed where it was served"}.get(
        cause, ""
    )
    told = [
        f"`{story.candidate}` {how}{_by(story, 'rolling_back')}{why}{_when(story)}{_in_step(story)}: {rollout.reason}"
    ]
    if cause != "harm":
        told.append(_evidence(story))
    return [*told, f"Everybody meets `{story.stable}` again." if rollout.state == "rolled_back" else ""]


def _paused(story: Story) -> list[str]:
    rollout = story.rollout
    how = _PAUSED.get(rollout.pause_reason, "is paused")
    turned = _turn(story.transitions, "paused")
    by = "" if turned is None or turned.actor == CONTROLLER else f" by {turned.actor}"
    share = weight_at(story.plan, rollout.stage)
    meet = f"{share:.0%} of {story.plan.unit}s go on meeting the candidate." if share else ""
    then = _THEN.get(rollout.pause_reason, _DECIDE).format(id=rollout.id)
    told = f"`{story.candidate}` {how}{by}{_since(story)}{_in_step(story)}: {rollout.reason}"
    return [told, _evidence(story), meet, then]


def _evidence(story: Story) -> str:
    """Return what the evidence says, unless that is the reason already."""
    verdict = story.verdict
    if verdict is None or verdict.reason in story.rollout.reason:
        return ""
    ended = story.rollout.ended_at_ms is not None
    return f"{_EVIDENCE} {'at its end' if ended else 'so far'}: {verdict.reason}"


def _by(story: Story, state: str) -> str:
    turned = _turn(story.transitions, state)
    return "" if turned is None or turned.actor == CONTROLLER else f" by {turned.actor}"


def _turn(transitions: Sequence[Transition], state: str) -> Transition | None:
    return next((one for one in reversed(transitions) if one.to_state == state), None)


def _stable_now(story: Story) -> str:
    """Return whom everybody meets after an attempt that ended by itself; a superseded one cannot know."""
    return f"`{story.stable}`" if story.rollout.state == "expired" else "what the environment points at"


def _when(story: Story) -> str:
    rollout = story.rollout
    at_ms = rollout.updated_at_ms if rollout.ended_at_ms is None else rollout.ended_at_ms
    return f" on {_moment(at_ms)}, {_span(at_ms - rollout.created_at_ms)} after it started"


def _since(story: Story) -> str:
    last = story.transitions[-1].at_ms if story.transitions else story.rollout.updated_at_ms
    return f" since {_moment(last)}"


def _in_step(story: Story) -> str:
    stage, steps = story.rollout.stage, story.plan.steps
    return f", in step {stage + 1} of {len(steps)} ({steps[stage].text})" if 0 <= stage < len(steps) else ""


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(milliseconds: int) -> str:
    seconds = max(0, milliseconds) / 1000
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} days"


def _lead(metric: MetricEvidence) -> float:
    """Return by how much the candidate is better, in score."""
    return (metric.candidate_mean or 0.0) - (metric.control_mean or 0.0)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
