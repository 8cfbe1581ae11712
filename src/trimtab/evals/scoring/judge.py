"""A model as a judge: one answer by a rubric, or two answers in both orders.

Judges favour the answer they see first, and long ones (Zheng et al., "Judging LLM-as-a-judge", arXiv 2306.05685), so a
pair is always asked twice, with the order swapped; where the two verdicts contradict each other it is a tie, and is
counted as a flip.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.canonical import canonical_digest
from trimtab.evals.scoring.case import Scored, Spec
from trimtab.releases.model import CompiledRelease, wire_of

if TYPE_CHECKING:
    from trimtab.evals.scoring.case import Case

__all__ = ["Judge", "judge_release", "pair_score", "point_score", "variables_of"]

_POINT = """\
You judge an answer by a rubric. Think first, then give one grade from {low} (worst) to {high} (best).
Answer with one JSON object and nothing else: {{"reason": "...", "grade": {low}}}"""
_YES_OR_NO = """\
You judge whether an answer satisfies a rubric. Think first.
Answer with one JSON object and nothing else: {"reason": "...", "pass": true}"""
_PAIR = """\
You compare two answers to one question by a rubric. Their order and their length do not matter. Think first.
Answer with one JSON object and nothing else: {"reason": "...", "better": "A"}; "B" where B is better, "tie" where
neither is."""
_ASKED = """\
Rubric:
{{ rubric }}

Question:
{{ question }}
{% if expected %}
A right answer:
{{ expected }}
{% endif %}
"""
_ONE = _ASKED + "\nAnswer:\n{{ answer }}\n"
_TWO = _ASKED + "\nAnswer A:\n{{ answer }}\n\nAnswer B:\n{{ other }}\n"
_OBJECT = re.compile(r"\{[^{}]*\}")


class Judge(Spec, frozen=True, kw_only=True, tag="judge"):
    """A model judges the answer by a rubric."""

    model: str
    """`provider/model`."""
    rubric: str
    mode: Literal["grade", "pass", "pair"] = "grade"
    """`grade`: from 1 to `grades`, put on [0, 1]. `pass`: yes or no. `pair`: against another answer;
    1 where it is better, 0 where it is worse, 1/2 for a tie."""
    grades: Annotated[int, msgspec.Meta(ge=2, le=100)] = 5
    against: Literal["baseline", "reference", "expected"] = "baseline"
    """Of a pair, the other answer: the baseline release's, or one that the item holds."""
    parameters: dict[str, Any] = {}
    """Of the judge's calls: `{temperature: 0}`, where the model takes it."""

    always_binary: ClassVar[bool] = False

    @property
    def kind(self) -> Literal["binary", "numeric"]:
        return "binary" if self.mode == "pass" or self.threshold is not None else "numeric"


def judge_release(spec: Judge) -> CompiledRelease:
    """Return the judge as a release of its own: its digest says how it judges, and its answers are kept under it."""
    provider, _, model = spec.model.partition("/")
    system = {
        "grade": _POINT.format(low=1, high=spec.grades),
        "pass": _YES_OR_NO,
        "pair": _PAIR,
    }[spec.mode]
    prompt = PromptContent(
        messages=[
            PromptMessage(role="system", content="{% raw %}" + system + "{% endraw %}"),
            PromptMessage(role="user", content=_TWO if spec.mode == "pair" else _ONE),
        ],
        variables={},
    )
    content = ModelContent(provider=provider, model=model, parameters=spec.parameters)
    compiled = CompiledRelease(
        digest="", feature="judge", number=0, prompt=prompt, model=content, wire=wire_of(content)
    )
    return msgspec.structs.replace(compiled, digest=canonical_digest(compiled))


def variables_of(spec: Judge, case: Case, *, answer: str, other: str = "") -> dict[str, Any]:
    """Return what the judge's prompt is filled in with."""
    expected = "" if spec.mode == "pair" and spec.against == "expected" else case.expected
    found = {"rubric": spec.rubric, "question": case.item.question, "expected": expected, "answer": answer}
    return found | ({"other": other} if spec.mode == "pair" else {})


def point_score(spec: Judge, said: str) -> Scored:
    """Return the judgement in what a judge of one answer said."""
    verdict = _verdict(said)
    reason = str(verdict.get("reason", ""))[:500]
    if spec.mode == "pass":
        passed = verdict.get("pass")
        return Scored(float(passed), reason) if isinstance(passed, bool) else _unreadable(said)
    grade = verdict.get("grade")
    if isinstance(grade, bool) or not isinstance(grade, int | float) or not 1 <= grade <= spec.grades:
        return _unreadable(said)
    return Scored((grade - 1) / (spec.grades - 1), reason)


def pair_score(first: str, swapped: str) -> Scored:
    """Return the judgement of a pair from both orders; `first` saw the judged answer as A, `swapped` saw it as B."""
    values = []
    for said, ours in ((first, "A"), (swapped, "B")):
        better = _verdict(said).get("better")
        if better not in {"A", "B", "tie"}:
            return _unreadable(said)
        values.append(0.5 if better == "tie" else float(better == ours))
    flipped = {values[0], values[1]} == {0.0, 1.0}
    reason = str(_verdict(first).get("reason", ""))[:500]
    return Scored(sum(values) / 2, "the order decided" if flipped else reason, order_flip=flipped)


def _verdict(said: str) -> dict[str, Any]:
    """Return the last JSON object in what was said: judges think before, whatever they are told."""
    for text in [said, *reversed(_OBJECT.findall(said))]:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            continue
        if isinstance(value, dict):
            return value
    return {}


def _unreadable(said: str) -> Scored:
    return Scored(error=f"the judge's verdict cannot be read: {' '.join(said.split())[:120]}")
