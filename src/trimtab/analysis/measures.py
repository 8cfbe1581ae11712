"""Built-in metrics: what one generation measures, in the metric's own unit.

`error`, `refusal`, `format` and `schema` are 1.0 for good and 0.0 for bad; `latency` is in milliseconds, `tokens` in
output tokens, `cost` in US dollars, `length` in characters. `input_tokens`, `requests`, `errors`, `attempts` (model
calls, retries among them) and `tool_calls` are counts, for metrics with names of their own. `None` means that the
metric does not apply: an errored generation has no format, a switched-off content capture no text. Aborted generations
measure nothing: the caller left.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec

from trimtab.analysis.refusal import is_refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.events import Generation
    from trimtab.releases.model import CompiledRelease

    Measure = Callable[[Generation, CompiledRelease | None], float | None]

__all__ = ["MEASURES", "asks_for_json", "json_value", "satisfies", "text_of"]

_FENCED = re.compile(r"\s*(?:```|~~~)")
_NOT_JSON = object()


def json_value(output: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value that `output` is, or a marker that satisfies no schema."""
    try:
        return msgspec.json.decode(output)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return _NOT_JSON


def satisfies(output: str, schema: bytes) -> bool:
    """Return whether `output` is one JSON value that satisfies the JSON Schema (its JSON bytes)."""
    value = json_value(output)
    return value is not _NOT_JSON and _validator(schema).is_valid(value)


def asks_for_json(release: CompiledRelease) -> bool:
    """Return whether a release promises JSON: it has a schema, or asks the model for a JSON response format."""
    response_format = release.model.parameters.get("response_format")
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    return release.schema is not None or kind in {"json_object", "json_schema"}


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(msgspec.json.decode(schema))


def text_of(generation: Generation) -> str | None:
    """Return the output as text to judge; `None` for errors, bare tool calls and where content was not kept."""
    if generation.status != "ok":
        return None
    if generation.output:
        return generation.output
    captured = bool(generation.messages) and not generation.content_dropped
    return "" if captured and not generation.tool_calls else None


def _error(generation: Generation, _release: CompiledRelease | None) -> float | None:
    return None if generation.status == "aborted" else float(generation.status == "ok")


def _refusal(generation: Generation, _release: CompiledRelease | None) -> float | None:
    text = text_of(generation)
    if text is None:
        return None
    return float(not is_refusal(text, generation.finish_reason))


def _format(generation: Generation, release: CompiledRelease | None) -> float | None:
    text = text_of(generation)
    if text is None:
        return None
    if release is not None and asks_for_json(release):
        return float(json_value(text) is not _NOT_JSON)
    return float(_FENCED.match(text) is None)


def _schema(generation: Generation, release: CompiledRelease | None) -> float | None:
    text = text_of(generation)
    if text is None or release is None or release.schema is None:
        return None
    return float(satisfies(text, msgspec.json.encode(release.schema.schema)))


def _latency(generation: Generation, _release: CompiledRelease | None) -> float | None:
    return generation.latency_ms if generation.status == "ok" and generation.latency_ms > 0 else None


def _tokens(generation: Generation, _release: CompiledRelease | None) -> float | None:
    return float(generation.output_tokens) if generation.status == "ok" and generation.output_tokens else None


def _cost(generation: Generation, _release: CompiledRelease | None) -> float | None:
    return generation.cost_usd if generation.status == "ok" and generation.cost_usd > 0 else None


def _length(generation: Generation, _release: CompiledRelease | None) -> float | None:
    text = text_of(generation)
    return None if text is None else float(len(text))


def _input_tokens(generation: Generation, _release: CompiledRelease | None) -> float | None:
    return float(generation.input_tokens) if generation.status == "ok" and generation.input_tokens else None


def _requests(generation: Generation, _release: CompiledRelease | None) -> float | None:
    return None if generation.status == "aborted" else 1.0


def _errors(generation: Generation, _release: CompiledRelease | None) -> float | None:
    return None if generation.status == "aborted" else float(generation.status == "error")


def _attempts(generation: Generation, _release: CompiledRelease | None) -> float | None:
    return None if generation.status == "aborted" else float(generation.attempts)


def _tool_calls(generation: Generation, _release: CompiledRelease | None) -> float | None:
    captured = bool(generation.messages or generation.tool_calls) and not generation.content_dropped
    return float(len(generation.tool_calls)) if captured and generation.status != "aborted" else None


MEASURES: dict[str, Measure] = {
    "error": _error,
    "refusal": _refusal,
    "format": _format,
    "schema": _schema,
    "latency": _latency,
    "tokens": _tokens,
    "cost": _cost,
    "length": _length,
    "input_tokens": _input_tokens,
    "requests": _requests,
    "errors": _errors,
    "attempts": _attempts,
    "tool_calls": _tool_calls,
}
"""Name -> (generation, its release where known) -> measurement."""
