"""Features as OpenFeature flags.

| flag | type | value |
|---|---|---|
| `<feature>` | string | label of the release, `support-reply#42` |
| `<feature>` | object | the release: label, digest, model, parameters, message templates, tools, ... |
| `<feature>.<field>` | by field | one entry of it, `support-reply.model`, `support-reply.parameters.temperature` |

The targeting key is the unit, the attribute `session` what a plan may fall back on without one. Nothing here raises
into the application: OpenFeature wants the default and a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from trimtab.core.errors import NotFoundError, StorageError, TrimtabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagMetadata, FlagValueType
    from openfeature.track import TrackingEventDetails

    from trimtab.sdk.client import Trimtab
    from trimtab.sdk.resolved import Resolved

__all__ = ["TrimtabProvider"]

_Value = TypeVar("_Value")
_MISSING: Any = object()
_NOT_READY = frozenset({"no_snapshot", "closed"})


class TrimtabProvider(AbstractProvider):
    """An OpenFeature provider over an open `Trimtab`, which stays the application's to close."""

    def __init__(self, tt: Trimtab) -> None:
        super().__init__()
        self._tt = tt

    def get_metadata(self) -> Metadata:
        return Metadata(name="Trimtab")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - the port's signature
        """Raise `ProviderNotReadyError` while nothing is published; flags resolve as soon as something is."""
        if not self._tt.health()["revision"]:
            raise ProviderNotReadyError(f"nothing is published for environment `{self._tt.environment}` yet")

    def shutdown(self) -> None:
        """Make everything recorded so far durable."""
        self._tt.flush()

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,  # noqa: ARG002 - the port's signature
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Record feedback: the details carry `value` and, as an attribute, the id of the `generation`.

        What names no generation is about nothing that Trimtab serves, and is left alone.
        """
        details = tracking_event_details
        generation = details.attributes.get("generation") if details is not None else None
        if details is not None and isinstance(generation, str):
            value = 1.0 if details.value is None else details.value
            self._tt.feedback(generation, tracking_event_name, value, durable=False)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - the port's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        return self._details(flag_key, default_value, evaluation_context, bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._details(flag_key, default_value, evaluation_context, str)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._details(flag_key, default_value, evaluation_context, int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._details(flag_key, default_value, evaluation_context, float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._details(flag_key, default_value, evaluation_context, dict, list)

    def _details(
        self, flag_key: str, default: _Value, context: EvaluationContext | None, *types: type
    ) -> FlagResolutionDetails[_Value]:
        unit = (context.targeting_key if context is not None else None) or ""
        session = context.attributes.get("session") if context is not None else None
        try:
            resolved, path = self._resolve(flag_key, unit, session if isinstance(session, str) else "")
        except TrimtabError as error:
            return _failure(default, _code(error), str(error))
        value = _at(resolved, path, as_text=types == (str,))
        if value is _MISSING:
            return _failure(default, ErrorCode.FLAG_NOT_FOUND, f"{resolved.release} has no `{'.'.join(path)}`")
        if types == (float,) and type(value) is int:
            value = float(value)
        if type(value) not in types:
            kind = type(value).__name__
            return _failure(default, ErrorCode.TYPE_MISMATCH, f"`{flag_key}` is a {kind}, not a {types[0].__name__}")
        return FlagResolutionDetails(
            value=value, variant=resolved.arm, reason=self._reason(resolved), flag_metadata=_metadata(resolved)
        )

    def _resolve(self, flag_key: str, unit: str, session: str) -> tuple[Resolved, list[str]]:
        """Features may have dots in their names: the longest one that the key begins with is meant."""
        parts = flag_key.split(".")
        for cut in range(len(parts), 1, -1):
            try:
                return self._tt.resolve(".".join(parts[:cut]), unit=unit, session=session), parts[cut:]
            except NotFoundError:
                continue
        return self._tt.resolve(parts[0], unit=unit, session=session), parts[1:]

    def _reason(self, resolved: Resolved) -> Reason:
        if self._tt.health()["snapshot_problem"]:
            return Reason.STALE
        if not resolved.rollout:
            return Reason.STATIC
        return Reason.SPLIT if resolved.unit else Reason.DEFAULT


def _code(error: TrimtabError) -> ErrorCode:
    if isinstance(error, NotFoundError):
        return ErrorCode.FLAG_NOT_FOUND
    if isinstance(error, StorageError) and error.code in _NOT_READY:
        return ErrorCode.PROVIDER_NOT_READY
    return ErrorCode.GENERAL


def _failure(default: _Value, code: ErrorCode, message: str) -> FlagResolutionDetails[_Value]:
    return FlagResolutionDetails(value=default, reason=Reason.ERROR, error_code=code, error_message=message)


def _at(resolved: Resolved, path: list[str], *, as_text: bool) -> Any:  # noqa: ANN401 - any JSON value
    """Return what a key means: the label or the object of a feature, or one entry below."""
    if not path:
        return resolved.release if as_text else _object(resolved)
    value: Any = _object(resolved)
    for name in path:
        value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
    return value


def _object(resolved: Resolved) -> dict[str, Any]:
    value: dict[str, Any] = {
        "release": resolved.release,
        "digest": resolved.digest,
        "number": resolved.number,
        "arm": resolved.arm,
        "provider": resolved.provider,
        "model": resolved.model,
        "parameters": resolved.parameters,
        "messages": msgspec.to_builtins(resolved.compiled.prompt.messages),
        "variables": resolved.compiled.prompt.variables,
        "tools": resolved.tools,
    }
    if resolved.response_format is not None:
        value["response_format"] = resolved.response_format
    return value


def _metadata(resolved: Resolved) -> FlagMetadata:
    return {
        "release": resolved.release,
        "digest": resolved.digest,
        "rollout": resolved.rollout,
        "stage": resolved.stage,
        "environment": resolved.environment,
    }
