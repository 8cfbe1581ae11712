from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from trimtab.core.errors import InputError, IntegrityError, SourceError
from trimtab.core.ids import digest_of
from trimtab.rollout.plan_check import plan_problems, plan_warnings
from trimtab.rollout.plan_file import parse_plan, read_plan
from trimtab.rollout.spec import decode_plan, default_plan, encode_plan, plan_json_schema, seconds

GOOD = b"""\
unit: session
window: 10s
alpha: 0.01
minUnits: 30
onNoData: rollback
deadline: 2d
metrics:
  - name: error
    margin: 0.01
  - name: latency
    role: signal
    cap: 5000
  - name: correct
    role: goal
    scorer: {python: "scorers:correct"}
steps:
  - shadow: {traffic: 5, duration: 10m, minUnits: 20}
  - setWeight: 5
  - pause: {}
  - setWeight: 50
  - analysis: {mode: nonInferior, minUnits: 300, maxDuration: 1h}
  - bake: {duration: 30m, controlWeight: 2.5}
"""


def refusal(text: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        parse_plan(text.encode(), path="here/rollout.yaml")
    return caught.value


def test_a_plan_reads_as_written() -> None:
    plan = parse_plan(GOOD)
    assert (plan.unit, plan.window_ms, plan.alpha, plan.on_no_data) == ("session", 10_000, 0.01, "rollback")
    assert plan.shadow_stages == {0}
    assert plan.phases == 2
    assert plan.steps[2].pause is not None
    assert plan.steps[2].pause.waits_for_people
    assert [step.text for step in plan.steps][-2:] == [
        "analysis of non-inferiority, at most 1h, at least 300 units",
        "bake for 30m with 2.5 % control",
    ]


def test_a_frozen_plan_writes_its_defaults_out_and_reads_back() -> None:
    frozen = encode_plan(parse_plan(GOOD))
    assert msgspec.json.decode(frozen)["metrics"][1]["margin"] == 0.1
    assert encode_plan(decode_plan(frozen)) == frozen
    with pytest.raises(IntegrityError):
        decode_plan(b"{}")


def test_plans_of_the_first_version_keep_their_digests() -> None:
    digests = [digest_of(encode_plan(plan)) for plan in (default_plan(), parse_plan(GOOD))]
    assert digests == [
        "sha256:7bc5d7ccdcca40ccc665559369be46d58f3354089cc6237912edcb9fb6fa842f",
        "sha256:5cb0c9e1844a3ec3fe366bc0149d962698bf3b79c043595dd6ef055aec15895b",
    ]


def test_keys_that_say_nothing_are_left_out_of_every_part_that_is_younger() -> None:
    text = b"""
notify: [{urlEnv: HOOK}]
metrics: [{name: error}, {name: thumbs, feedback: {name: thumbs}}]
srm: {}
rollback: {}
steps:
  - offlineEval: {suite: smoke}
  - shadow: {traffic: 5, duration: 1m}
  - gate: {urlEnv: CHANGES}
  - setWeight: 5
"""
    written = msgspec.json.decode(encode_plan(parse_plan(text)))
    assert written["notify"] == [{"urlEnv": "HOOK"}]
    assert written["metrics"][1]["feedback"] == {"name": "thumbs"}
    assert {"srm", "rollback"}.isdisjoint(written)
    assert written["steps"] == [
        {"offlineEval": {"suite": "smoke"}},
        {"shadow": {"traffic": 5, "duration": "1m", "minUnits": None}},
        {"gate": {"urlEnv": "CHANGES"}},
        {"setWeight": 5},
    ]
    assert decode_plan(encode_plan(parse_plan(text))) == msgspec.structs.replace(
        parse_plan(text),
        metrics=[msgspec.structs.replace(one, margin=one.allowance) for one in parse_plan(text).metrics],
    )


def test_metric_types_read_as_written_and_survive_storage() -> None:
    text = b"""metrics:
  - {name: error}
  - {name: latency, type: quantile, quantile: 0.99}
  - {name: slow, of: latency, limit: 2000}
  - {name: cost-per-token, of: cost, per: tokens, margin: 0.2}
steps: [{setWeight: 5}]
"""
    plan = parse_plan(text)
    assert [metric.kind for metric in plan.metrics] == ["binary", "quantile", "quantile", "ratio"]
    stored = decode_plan(encode_plan(plan))
    assert [metric.tolerance for metric in stored.metrics] == [metric.tolerance for metric in plan.metrics]
    assert encode_plan(stored) == encode_plan(plan)
    with pytest.raises(SourceError, match="binary is what is 0 or 1"):
        parse_plan(b"metrics:\n  - name: latency\n    type: binary\nsteps: [{setWeight: 5}]\n")


def test_the_built_in_plan_is_sound_and_survives_storage() -> None:
    assert list(plan_problems(default_plan())) == []
    assert list(plan_warnings(default_plan())) == []
    assert decode_plan(encode_plan(default_plan())) == default_plan()


@pytest.mark.parametrize(
    ("text", "line", "code", "words"),
    [
        ("steps:\n  - setweight: 5\n", 2, "unknown_field", "did you mean `setWeight`?"),
        ("stepz: []\n", 1, "unknown_field", "did you mean `steps`?"),
        ("steps:\n  - setWeight: 5\n  - pause: {duratoin: 5s}\n", 3, "unknown_field", "did you mean `duration`?"),
        ("steps:\n  - pause: {duration: 5x}\n", 2, "invalid_plan", "500ms, 30s"),
        ("window: 10\nsteps: [{setWeight: 1}]\n", 1, "invalid_plan", "500ms, 30s"),
        ("steps:\n  - pause:\n", 2, "invalid_plan", "write `pause: {}`"),
        ("steps:\n  - setWeight: 900\n", 2, "invalid_plan", "<= 100"),
        ("steps:\n  - setWeight: 50\n  - setWeight: 10\n", 3, "invalid_plan", "weights only grow"),
        ("steps:\n  - analysis: {}\n", 2, "invalid_plan", "setWeight"),
        ("steps:\n  - setWeight: 9\n  - shadow: {traffic: 5, duration: 5s}\n", 3, "invalid_plan", "shadow first"),
        ("steps:\n  - setWeight: 9\n  - offlineEval: {suite: a}\n", 3, "invalid_plan", "put it first"),
        (
            "steps:\n  - shadow: {traffic: 5, duration: 5s}\n  - offlineEval: {suite: a}\n",
            3,
            "invalid_plan",
            "put it first",
        ),
        ("steps:\n  - offlineEval: {suite: A b}\n", 2, "invalid_plan", "such as smoke"),
        ("steps:\n  - offlineEval: {timeout: 1h}\n", 2, "missing_field", "needs `suite`"),
        ("steps:\n  - bake: {duration: 5s}\n  - setWeight: 9\n", 2, "invalid_plan", "not the last step"),
        ("steps:\n  - setWeight: 100\n  - bake: {duration: 5s}\n", 3, "invalid_plan", "drop `setWeight: 100`"),
        (
            "metrics:\n  - name: error\n    role: guardrial\nsteps: [{setWeight: 5}]\n",
            3,
            "invalid_plan",
            "`guardrail`?",
        ),
        ("metrics:\n  - name: eror\nsteps: [{setWeight: 5}]\n", 2, "invalid_plan", "not a built-in metric"),
        ("metrics:\n  - name: error\n  - name: error\nsteps: [{setWeight: 5}]\n", 3, "invalid_plan", "named twice"),
        (
            "metrics:\n  - name: error\n    role: signal\nsteps: [{setWeight: 5}]\n",
            1,
            "invalid_plan",
            "nothing could roll back",
        ),
        ("alpha: 0.05\n", 1, "missing_field", "needs `steps`"),
        ("steps:\n  - shadow: {traffic: 5}\n", 2, "missing_field", "needs `duration`"),
        ("steps: [\n", 2, "malformed_yaml", "not YAML"),
        ("steps: {}\n", 1, "invalid_plan", "must be a list, not a mapping"),
        ("steps: []\n", 1, "invalid_plan", "length >= 1"),
    ],
)
def test_every_complaint_names_file_line_and_remedy(text: str, line: int, code: str, words: str) -> None:
    error = refusal(text)
    assert (error.code, error.path, error.line) == (code, "here/rollout.yaml", line)
    assert words in str(error)


def test_bytes_that_are_not_utf8_are_refused_with_their_line() -> None:
    with pytest.raises(SourceError) as caught:
        parse_plan(b"unit: user\nwindow: \xff\n")
    assert (caught.value.code, caught.value.line) == ("not_utf8", 2)


@pytest.mark.parametrize(("text", "expected"), [("500ms", 0.5), ("90s", 90), ("1.5h", 5400), ("7d", 604_800)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "1h30m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError):
        seconds(text)


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"steps": [{"setWeight": 5}, {"pause": {}}]}, True),
        ({"steps": [{"setWeight": 5, "pause": {}}]}, False),
        ({"steps": [{}]}, False),
        ({"steps": [{"setWeight": None}]}, False),
        ({"steps": [{"setWeight": 5}], "window": "5x"}, False),
        ({"steps": [{"setWeight": 5}], "metrics": [{"name": "x", "scorer": {"regex": "y"}}]}, True),
        ({"steps": [{"setWeight": 5}], "extra": 1}, False),
    ],
)
def test_the_generated_schema_agrees_with_the_reader(document: dict[str, Any], *, valid: bool) -> None:
    assert jsonschema_rs.is_valid(plan_json_schema(), document) is valid
    if valid:
        parse_plan(msgspec.json.encode(document))
    else:
        with pytest.raises(SourceError):
            parse_plan(msgspec.json.encode(document))


def test_the_example_of_the_reference_page_is_a_plan() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "rollout-yaml.md"
    example = page.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert len(parse_plan(example.encode()).steps) == 7


@pytest.mark.parametrize("scorer", ["{regex: '('}", "{jsonSchema: {type: 5}}"])
def test_a_scorer_that_cannot_judge_is_told_before_a_rollout_starts(scorer: str) -> None:
    text = f"metrics: [{{name: error}}, {{name: r, scorer: {scorer}}}]\nsteps: [{{setWeight: 5}}]\n"
    reading = read_plan(text.encode())
    assert reading.plan is None
    (error,) = reading.errors
    assert error.param is not None
    assert error.param.endswith(":1")
    assert "of metric `r` is wrong" in error.message


@pytest.mark.parametrize("steps", ["[{shadow: {traffic: 5, duration: 1m}}]", "[{bake: {duration: 1m}}]"])
def test_a_plan_without_a_canary_is_doubtful(steps: str) -> None:
    warnings = read_plan(f"steps: {steps}\n".encode()).warnings
    assert any("nobody meets the candidate before" in warning.message for warning in warnings)
