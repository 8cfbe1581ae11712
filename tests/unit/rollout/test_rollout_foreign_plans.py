"""Plans as people write them who come from Argo Rollouts or Flagger: every complaint says what to write instead."""

from __future__ import annotations

import pytest

from trimtab.rollout.plan_file import read_plan

ARGO_MANIFEST = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: support-reply}
spec:
  strategy:
    canary:
      steps: [{setWeight: 20}, {pause: {}}]
"""

ARGO = """\
maxSurge: 1
canaryService: support-reply-canary
dynamicStableScale: true
dryRun:
  - metricName: latency
analysis:
  templates: [{templateName: success-rate}]
  startingStep: 2
metrics:
  - name: success-rate
    interval: 5m
    count: 3
    initialDelay: 1m
    successCondition: result[0] >= 0.95
    failureLimit: 3
    consecutiveSuccessLimit: 4
    provider: {prometheus: {query: "sum(x)"}}
steps:
  - setWeight: 20%
  - pause: {duration: 600}
  - pause: 10m
  - pause:
  - setCanaryScale: {weight: 25}
  - setHeaderRoute: {name: internal}
  - setMirrorRoute: {name: mirror}
  - plugin: {name: x}
  - analysis:
      templates: [{templateName: success-rate}]
      args: [{name: service-name, value: x}]
"""

FLAGGER = """\
analysis:
  interval: 1m
  threshold: 5
  maxWeight: 50
  stepWeight: 10
  stepWeights: [1, 2, 10, 80]
  iterations: 10
  mirror: true
  match: [{headers: {x-canary: {exact: insider}}}]
  sessionAffinity: {cookieName: flagger}
  primaryReadyThreshold: 100
  webhooks: [{name: load-test, url: "http://tester/"}]
  alerts: [{name: on-call, severity: error, providerRef: {name: slack}}]
targetRef: {kind: Deployment, name: support-reply}
progressDeadlineSeconds: 60
autoscalerRef: {kind: HorizontalPodAutoscaler}
skipAnalysis: false
suspend: true
metrics:
  - name: request-success-rate
    thresholdRange: {min: 99}
    interval: 1m
  - name: request-duration
    templateRef: {name: latency}
notify:
  - {url: "https://hooks.slack.com/services/T0/B0/x", channel: general}
  - {type: slack, urlEnv: $SLACK_URL}
steps:
  - gate: {type: confirm-promotion, url: "http://gate/", retries: 2, metadata: {a: b}}
  - analysis: {interval: 1m, threshold: 5, maxWeight: 50}
  - weight: 10
  - wait: 10m
"""


def complaints(text: str) -> dict[str, str]:
    """What is said, `line: message` -> hint."""
    found = read_plan(text.encode(), path="rollout.yaml")
    assert found.plan is None
    return {f"{error.line}: {error.message}": error.hint or "" for error in found.errors}


@pytest.mark.parametrize("text", [ARGO, FLAGGER], ids=["argo", "flagger"])
def test_every_complaint_says_what_to_write_instead(text: str) -> None:
    for message, hint in complaints(text).items():
        assert hint, message
        assert not hint.startswith("known:"), message


@pytest.mark.parametrize("text", [ARGO, FLAGGER], ids=["argo", "flagger"])
def test_every_line_that_is_wrong_is_told_in_one_go_and_in_order(text: str) -> None:
    lines = [int(message.partition(":")[0]) for message in complaints(text)]
    assert lines == sorted(lines)
    silent = {"metrics:", "steps:", "notify:", "- metricName: latency", "- analysis:"}
    wrong = {number for number, line in enumerate(text.splitlines(), start=1) if line.strip() not in silent}
    assert set(lines) == wrong


def test_a_manifest_is_told_once_to_be_one() -> None:
    assert complaints(ARGO_MANIFEST) == {
        "1: this is a Kubernetes object (`kind: Rollout`), not a plan": (
            "write what stands under `spec.strategy.canary` or `spec.analysis` here, and nothing around it"
        )
    }


def test_what_argo_and_trimtab_have_in_common_is_just_a_plan() -> None:
    steps = "steps:\n- setWeight: 20\n- pause: {}\n- setWeight: 40\n- pause: {duration: 10m}\n- pause: {duration: 1h}\n"
    found = read_plan(steps.encode())
    assert (found.errors, found.warnings) == ([], [])


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("setWeight: 20%", "must be a number, not text", "write the number alone, without quotes or `%`"),
        ("setWeight: {weight: 20}", "must be a number, not a mapping", "write `setWeight: 5`"),
        ("setWeight: 0", "must be a number > 0.0", ""),
        ("pause: {duration: 600}", "this is not a duration", "`600s` are 600 seconds"),
        ("pause: {duration: 1h30m}", "this is not a duration", "write a number and a unit"),
        ("pause: 10m", "must be a mapping, not text", "write `pause: {duration: 10m}`"),
        ("pause:", "a step has exactly one of", "write `pause: {}`"),
        ("pause: {untilApproved: true}", "`untilApproved` is not a field of `pause`", "`trimtab rollout resume`"),
        ("analysis: 1h", "must be a mapping, not text", "write `analysis: {maxDuration: 1d}`"),
        ("gate: https://x/", "must be a mapping, not text", 'write `gate: {url: "https://..."}`'),
        ("gate: {url: 'ftp://x/'}", "this is not a URL of http or https", ""),
        ("gate: {urlEnv: $GATE}", "this is not the name of an environment variable", "write the name alone"),
        ("gate: {url: 'http://a:b@x/'}", "the gate's URL holds a password", "`urlEnv`"),
        ("shadow: 5", "must be a mapping, not a whole number", "write `shadow: {traffic: 5, duration: 10m}`"),
        ("{setWeight: 5, pause: {duration: 5m}}", "a step has exactly one of", "give each a dash of its own"),
    ],
)
def test_slips_of_the_hand_are_answered_with_the_right_form(line: str, message: str, hint: str) -> None:
    ((said, advice),) = complaints(f"steps:\n  - setWeight: 5\n  - {line}\n").items()
    assert said.startswith("3: ")
    assert message in said
    assert hint in advice


@pytest.mark.parametrize(
    ("key", "message", "hint"),
    [
        ("minUnits: -1", "must be a whole number >= 0", ""),
        ("metrics: [{name: eror}]", "is not a built-in metric", "did you mean `error`?"),
        ("metrics: [{name: warmth}]", "is not a built-in metric", "or give it a `scorer`"),
        ("unit: Two Words", "must match", "a word such as user"),
        ("rollback: auto", "must be a mapping, not text", "`rollback: {mode: auto}`"),
        ("notify: {urlEnv: X}", "must be a list, not a mapping", "`notify: [{urlEnv: SLACK_WEBHOOK_URL"),
        ("metrics: {name: error}", "must be a list, not a mapping", "each metric behind a dash"),
        ("setWeight: 5", "is not a field of a rollout plan", "write it under `steps`"),
    ],
)
def test_slips_at_the_top_are_answered_too(key: str, message: str, hint: str) -> None:
    ((said, advice),) = complaints(f"{key}\nsteps: [{{setWeight: 5}}]\n").items()
    assert said.startswith("1: ")
    assert message in said
    assert hint in advice


def test_no_complaint_repeats_an_address_written_where_a_name_belongs() -> None:
    text = "notify: [{urlEnv: 'https://hooks.slack.com/services/T0/B0/token'}]\nsteps: [{setWeight: 5}]\n"
    assert "token" not in str(complaints(text))
