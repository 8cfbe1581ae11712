"""Keys that people bring along from Argo Rollouts and Flagger, and what says the same here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MANIFEST_HINT", "foreign_hint", "foreign_metric"]

MANIFEST_HINT = "write what stands under `spec.strategy.canary` or `spec.analysis` here, and nothing around it"
_MANIFEST = f"a plan is no Kubernetes object: {MANIFEST_HINT}"
_NO_PODS = "releases are served by every process at once: there are no pods to scale, leave it out"
_NO_MESH = "requests are split where they are served: there is no ingress or mesh to configure, leave it out"
_METRICS_HERE = "metrics stand in the plan itself, under `metrics`, and are measured in every step"
_ONE_PROOF = "the evidence decides, not a count of checks: `alpha` says how seldom it errs, `margin` what is tolerated"

_STICKY = "units are sticky by themselves: whoever met the candidate meets it again; `unit` says what is randomised"
_HERE_IS_NO_LOOP = "evidence is looked at all the time, however often: there is no interval or delay to choose"
_GATE_IS_TOLD = "a gate is told rollout, releases and evidence in JSON: leave it out"

_ANYWHERE = {
    "apiVersion": _MANIFEST,
    "kind": _MANIFEST,
    "metadata": _MANIFEST,
    "spec": _MANIFEST,
    "strategy": _MANIFEST,
    "canary": _MANIFEST,
    "blueGreen": "shadow the candidate, then go to 100: `shadow`, `setWeight: 50`, `analysis`, `bake`",
    "selector": _MANIFEST,
    "targetRef": _MANIFEST,
    "template": _MANIFEST,
    "workloadRef": _MANIFEST,
    "maxSurge": _NO_PODS,
    "maxUnavailable": _NO_PODS,
    "replicas": _NO_PODS,
    "minReadySeconds": _NO_PODS,
    "revisionHistoryLimit": _NO_PODS,
    "setCanaryScale": _NO_PODS,
    "scaleDownDelaySeconds": _NO_PODS,
    "dynamicStableScale": _NO_PODS,
    "antiAffinity": _NO_PODS,
    "canaryMetadata": _NO_PODS,
    "stableMetadata": _NO_PODS,
    "minPodsPerReplicaSet": _NO_PODS,
    "autoscalerRef": _NO_PODS,
    "primaryReadyThreshold": _NO_PODS,
    "canaryReadyThreshold": _NO_PODS,
    "ingressRef": _NO_MESH,
    "routeRef": _NO_MESH,
    "match": "who meets the candidate is drawn at random, not picked by headers: else nothing could be compared",
    "sessionAffinity": _STICKY,
    "stickinessConfig": _STICKY,
    "plugin": "there are no plugins of steps: a `gate` step asks a webhook of yours",
    "suspend": "`trimtab rollout pause` holds a rollout where it is",
    "paused": "`trimtab rollout pause` holds a rollout where it is",
    "rollbackWindow": "`trimtab environment rollback` goes back at once, and the audit log says so",
    "weight": "write `setWeight: 5`, as a step",
    "wait": "write `pause: {duration: 10m}`",
    "sleep": "write `pause: {duration: 10m}`",
    "delay": "write `pause: {duration: 10m}`",
    "abortScaleDownDelaySeconds": "write `rollback: {cooldown: 30m}` to keep a candidate out for a while",
    "canaryService": _NO_MESH,
    "stableService": _NO_MESH,
    "service": _NO_MESH,
    "provider": _NO_MESH,
    "trafficRouting": _NO_MESH,
    "setHeaderRoute": _NO_MESH,
    "setMirrorRoute": "write a step `shadow: {traffic: 5, duration: 10m}`",
    "mirror": "write a step `shadow: {traffic: 5, duration: 10m}`",
    "mirrorWeight": "write a step `shadow: {traffic: 5, duration: 10m}`",
    "stepWeight": "write each weight as a step: `- setWeight: 5`, `- pause: {duration: 10m}`, `- setWeight: 10`",
    "stepWeights": "write each weight as a step: `- setWeight: 5`, `- pause: {duration: 10m}`, `- setWeight: 10`",
    "maxWeight": "write the largest weight as the last `setWeight`; `bake` then serves all but a small control",
    "stepWeightPromotion": "write `bake` as the last step: after it the candidate becomes stable",
    "skipAnalysis": "`trimtab rollout promote` skips what is left of a plan, and says so in the audit log",
    "progressDeadlineSeconds": "write `deadline: 7d`",
    "progressDeadlineAbort": "a rollout past its `deadline` always returns to stable",
    "templates": _METRICS_HERE,
    "templateName": _METRICS_HERE,
    "clusterScope": _METRICS_HERE,
    "args": _METRICS_HERE,
    "iterations": _ONE_PROOF,
    "threshold": _ONE_PROOF,
    "failureLimit": _ONE_PROOF,
    "consecutiveSuccessLimit": _ONE_PROOF,
    "initialDelay": _HERE_IS_NO_LOOP,
    "startingStep": "guardrails are analysed from the first step on: evidence that comes early is no less valid",
    "measurementRetention": "all evidence is kept: leave it out",
    "analysisRunMetadata": _NO_PODS,
    "consecutiveErrorLimit": _ONE_PROOF,
    "inconclusiveLimit": "write `maxDuration` in the `analysis` step: undecided after it, the rollout pauses",
    "count": "write `minUnits`: how many users (or whatever `unit` is) must be measured",
    "successCondition": "write `margin`: how much worse than the concurrent control is still tolerated",
    "failureCondition": "write `margin`: how much worse than the concurrent control is still tolerated",
    "thresholdRange": "write `margin`: how much worse than the concurrent control is still tolerated",
    "webhooks": "write a `gate` step to ask somebody, and `notify` to tell somebody",
    "alerts": "write `notify: [{urlEnv: SLACK_WEBHOOK_URL, format: slack}]`",
}
_WITHIN = {
    (
        "",
        "analysis",
    ): "guardrails run in every step: name them under `metrics`; a step `analysis` waits for proof",
    ("", "interval"): _HERE_IS_NO_LOOP,
    ("", "setWeight"): "write it under `steps`: `- setWeight: 5`",
    ("", "pause"): "write it under `steps`: `- pause: {duration: 10m}`",
    ("", "dryRun"): "write `dryRun: true` in the metric itself",
    ("analysis", "interval"): "evidence is looked at all the time; write `maxDuration` for how long to wait for it",
    ("analysis", "metrics"): _METRICS_HERE,
    (
        "metrics",
        "interval",
    ): "every metric is looked at all the time; `window` averages the requests of a unit",
    ("metrics", "provider"): "metrics are computed from recorded generations: use a built-in name, or a `scorer`",
    ("metrics", "query"): "metrics are computed from recorded generations: use a built-in name, or a `scorer`",
    ("metrics", "templateRef"): "metrics are computed from recorded generations: use a built-in name, or a `scorer`",
    ("metrics", "weight"): "metrics are not added up: each guardrail decides for itself",
    ("pause", "untilApproved"): "write `pause: {}`: it waits for `trimtab rollout resume`",
    ("notify", "url"): "write `urlEnv: NAME`, and set that variable where the server runs: the URL is a secret",
    ("notify", "webhook"): "write `urlEnv: NAME`, and set that variable where the server runs: the URL is a secret",
    ("notify", "channel"): "the channel belongs to the webhook's address: make one webhook for each",
    ("notify", "type"): "write `format: slack` or `format: json`",
    ("notify", "events"): "write `on: [paused, rolled_back]`",
    ("notify", "triggers"): "write `on: [paused, rolled_back]`",
    ("notify", "severity"): "write `on: [paused, rolled_back]`: which events to tell",
    ("notify", "secret"): "write `secretEnv: NAME`, and set that variable where the server runs",
    ("notify", "providerRef"): "write `urlEnv: NAME`, and set that variable where the server runs: the URL is a secret",
    ("gate", "webhook"): "write `url`, or `urlEnv` where the address is a secret",
    ("gate", "secret"): "write `secretEnv: NAME`, and set that variable where the server runs",
    ("gate", "retries"): "it is asked every `interval` until `timeout`",
    ("gate", "metadata"): _GATE_IS_TOLD,
    ("gate", "headers"): "what is sent can be signed: write `secretEnv: NAME`",
    ("gate", "body"): _GATE_IS_TOLD,
    ("notify", "slack"): "write `urlEnv: NAME` and `format: slack`",
    ("offlineEval", "file"): "record its results: `trimtab eval record FEATURE '#2' --suite NAME --results FILE`",
    ("offlineEval", "results"): "record them: `trimtab eval record FEATURE '#2' --suite NAME --results FILE`",
    ("offlineEval", "threshold"): "it belongs to the result: `trimtab eval record ... --threshold 0.95`",
    ("offlineEval", "name"): "write `suite`",
    ("offlineEval", "datasetDigest"): "write `dataset: sha256:...`",
    ("offlineEval", "split"): "write `dataset` alone: results over all of it, or what is held out of it, count",
    ("gate", "type"): "a gate both confirms and may refuse; `onFailure` says what a refusal leads to",
}


_METRICS = {
    "request-success-rate": "error",
    "success-rate": "error",
    "error-rate": "error",
    "errors": "error",
    "request-duration": "latency",
    "duration": "latency",
    "latency-p99": "latency",
    "p99": "latency",
}


def foreign_hint(key: str, keys: Sequence[str]) -> str | None:
    """Return what to write instead of a key of another tool, found under `keys`; `None` for one nobody knows."""
    return _WITHIN.get((keys[-1] if keys else "", key)) or _ANYWHERE.get(key)


def foreign_metric(name: str) -> str | None:
    """Return the built-in metric that measures what other tools call by this name."""
    return _METRICS.get(name)
