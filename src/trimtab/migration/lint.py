"""What of a release's parameters the new model takes, refuses, ignores or means differently. Pure.

Each finding says what the plan will do about it, and waits for a person to acknowledge it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.migration.capabilities import Capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trimtab.migration.capabilities import ParameterRule, RuleKind
    from trimtab.releases.model import CompiledRelease

__all__ = ["Finding", "FindingKind", "LintReport", "LintRequest", "lint"]

FindingKind = Literal[
    "rejected",
    "ignored",
    "limited",
    "renamed",
    "required",
    "changed_default",
    "unsupported",
    "unknown_model",
    "alias",
    "shutdown",
    "context",
]

_KINDS: dict[RuleKind, FindingKind] = {
    "rejected": "rejected",
    "ignored": "ignored",
    "limited": "limited",
    "renamed": "renamed",
    "required": "required",
    "default": "changed_default",
}
_FALLBACK_LIMIT_TOKENS = 4096
"""Given for a required limit on tokens where neither the release nor the table names one."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs between what is pinned and what the new model takes."""

    id: str
    """The kind and what it is about, e.g. `rejected:temperature`; acknowledged by it."""
    kind: FindingKind
    about: str
    """Parameter, feature or model."""
    says: str
    does: str
    """What the plan does about it."""
    source: str = ""
    """Where the fact was read."""
    seen: str = ""
    """Date (ISO) on which it was."""


class LintReport(msgspec.Struct, frozen=True, kw_only=True):
    """The findings for one release, and the parameters its migrated release pins."""

    findings: list[Finding]
    parameters: dict[str, Any]
    """For the new model: rejected ones dropped, renamed ones renamed, the rest as they were."""
    unchecked: list[str]
    """What no row of the table is about."""


class LintRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is linted."""

    source: Capabilities
    target: Capabilities
    overrides: dict[str, Any] = {}
    """Parameters that a person wants pinned for the new model; `null` drops one."""
    largest_input_tokens: int = 0
    """Of the logged calls; 0 where unknown."""
    today: str = ""
    """ISO date."""


def lint(release: CompiledRelease, request: LintRequest) -> LintReport:
    """Return what must be known of moving a release's parameters from one model to another."""
    pinned, target = release.model.parameters, request.target
    parameters: dict[str, Any] = {}
    findings = list(_about_model(request))
    for name, value in pinned.items():
        rule = _rule(target, name, pinned)
        finding = None if rule is None else _judge(rule, value)
        if rule is None or finding is None:
            parameters.setdefault(name, value)
            continue
        findings.append(finding)
        if rule.rule == "renamed" and rule.use not in pinned:
            parameters[rule.use] = value
        elif rule.rule == "limited" and rule.only is None:
            parameters[name] = _nearest(rule, value)
    findings += _required(target, pinned, parameters)
    findings += _changed_defaults(request, pinned)
    findings += _unsupported(release, target)
    for name, value in request.overrides.items():
        parameters.pop(name, None)
        if value is not None:
            parameters[name] = value
    findings += _context(request, parameters)
    return LintReport(
        findings=[one for one in findings if one.about not in request.overrides],
        parameters=parameters,
        unchecked=_unchecked(release, target),
    )


def _about_model(request: LintRequest) -> Iterator[Finding]:
    target = request.target
    name = f"{target.provider}/{target.model}"
    if not target.known:
        yield Finding(
            id="unknown_model",
            kind="unknown_model",
            about=name,
            says=f"the capability table has no row about `{name}`: what it takes is not known",
            does="every parameter is kept as it is; the behavioural diff will show refusals",
        )
    if target.alias is not None:
        yield Finding(
            id=f"alias:{name}",
            kind="alias",
            about=name,
            says=f"`{name}` is an alias (of `{target.alias.snapshot}` today): the provider may move it",
            does="the release pins the alias, and what it meant is recorded per answer",
            source=target.alias.source,
            seen=target.alias.seen,
        )
    ends = target.shutdown
    if ends and target.lifecycle is not None:
        gone = bool(request.today) and ends <= request.today
        yield Finding(
            id=f"shutdown:{name}",
            kind="shutdown",
            about=name,
            says=f"`{name}` {'was' if gone else 'will be'} shut down on {ends}",
            does="nothing: consider another model" if gone else "nothing: plan the next migration",
            source=target.lifecycle.source,
            seen=target.lifecycle.seen,
        )


def _rule(target: Capabilities, name: str, pinned: Mapping[str, Any]) -> ParameterRule | None:
    """Return the rule for a pinned parameter, where it applies beside the others."""
    rule = target.parameters.get(name)
    if rule is None or rule.rule in {"required", "default"}:
        return None
    if rule.with_ and rule.with_ not in pinned:
        return None
    if any(pinned.get(other) not in values for other, values in rule.when.items()):
        return None
    return rule


def _judge(rule: ParameterRule, value: Any) -> Finding | None:  # noqa: ANN401 - any JSON value
    match rule.rule:
        case "limited" if rule.allows(value):
            return None
        case "limited":
            kept = rule.only is None
            says = f"`{rule.name}` is {msgspec.json.encode(value).decode()}, and the model takes {rule.limits}"
            does = f"pins {_nearest(rule, value):g} instead" if kept else "leaves it out"
        case "renamed":
            says, does = f"`{rule.name}` is refused; `{rule.use}` takes its place", f"pins it as `{rule.use}`"
        case "ignored":
            says, does = f"`{rule.name}` is taken and has no effect", "leaves it out"
        case _:
            says, does = f"`{rule.name}` is refused", "leaves it out"
    return Finding(
        id=f"{rule.rule}:{rule.name}",
        kind=_KINDS[rule.rule],
        about=rule.name,
        says=says + (f" ({rule.says})" if rule.says else ""),
        does=does,
        source=rule.source,
        seen=rule.seen,
    )


def _nearest(rule: ParameterRule, value: float) -> float:
    low = value if rule.minimum is None else max(value, rule.minimum)
    return low if rule.maximum is None else min(low, rule.maximum)


def _required(target: Capabilities, pinned: Mapping[str, Any], parameters: dict[str, Any]) -> Iterator[Finding]:
    for rule in target.parameters.values():
        if rule.rule != "required" or any(name in pinned for name in (rule.name, *rule.satisfied_by)):
            continue
        limit = target.max_output_tokens or _FALLBACK_LIMIT_TOKENS
        parameters[rule.name] = limit
        yield Finding(
            id=f"required:{rule.name}",
            kind="required",
            about=rule.name,
            says=f"`{rule.name}` is not pinned, and the model requires it" + (f": {rule.says}" if rule.says else ""),
            does=f"pins {limit}; `--set {rule.name}=...` says otherwise",
            source=rule.source,
            seen=rule.seen,
        )


def _changed_defaults(request: LintRequest, pinned: Mapping[str, Any]) -> Iterator[Finding]:
    for rule in request.target.parameters.values():
        if rule.rule != "default" or rule.name in pinned:
            continue
        before = request.source.parameters.get(rule.name)
        if before is not None and before.rule == "default" and before.default == rule.default:
            continue
        was = f"was {before.default!r}" if before is not None and before.rule == "default" else "did not exist"
        yield Finding(
            id=f"changed_default:{rule.name}",
            kind="changed_default",
            about=rule.name,
            says=f"`{rule.name}` is not pinned: it {was}, and is {rule.default!r} now"
            + (f" ({rule.says})" if rule.says else ""),
            does=f"leaves it unpinned; `--set {rule.name}=...` pins it",
            source=rule.source,
            seen=rule.seen,
        )


def _unsupported(release: CompiledRelease, target: Capabilities) -> Iterator[Finding]:
    for name in _asked_for(release):
        fact = target.features.get(name)
        if fact is not None and not fact.supported:
            yield Finding(
                id=f"unsupported:{name}",
                kind="unsupported",
                about=name,
                says=f"the release asks for `{name}`, and the model does not know it"
                + (f": {fact.says}" if fact.says else ""),
                does="nothing: calls will be refused until the feature's prompt asks for it in words",
                source=fact.source,
                seen=fact.seen,
            )


def _asked_for(release: CompiledRelease) -> list[str]:
    wanted = release.model.parameters.get("response_format")
    json_mode = isinstance(wanted, dict) and wanted.get("type") == "json_object"
    asked = [("tools", release.tools is not None), ("json_schema", release.schema is not None)]
    return [name for name, given in (*asked, ("json_object", json_mode)) if given]


def _context(request: LintRequest, parameters: Mapping[str, Any]) -> Iterator[Finding]:
    window = request.target.context_tokens
    limit = parameters.get("max_completion_tokens", parameters.get("max_tokens", 0))
    wanted = request.largest_input_tokens + (limit if isinstance(limit, int) else 0)
    if window is not None and request.largest_input_tokens and wanted > window:
        yield Finding(
            id="context",
            kind="context",
            about="context",
            says=f"the largest logged prompt and its answer take {wanted:,} tokens; the model's window is {window:,}",
            does="nothing: such calls will be refused",
        )


def _unchecked(release: CompiledRelease, target: Capabilities) -> list[str]:
    if not target.known:
        return [*release.model.parameters, *_asked_for(release)]
    return [name for name in _asked_for(release) if name not in target.features]
