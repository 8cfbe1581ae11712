"""Log lines: prose for people, or one JSON object a line with the same fields everywhere. No content, no secrets.

Lines carry what identifies a request (`generation`, `trace`, `release`, ...), never what was in it. Of an exception
that nobody expected JSON lines tell its type and where it was raised: its text may quote a prompt.
"""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core.errors import TrimtabError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONTEXT", "HumanLines", "JsonLines", "LogHandler"]

CONTEXT = (
    "loop",
    "event",
    "feature",
    "release",
    "rollout",
    "generation",
    "trace",
    "provider",
    "model",
    "request",
    "method",
    "path",
    "status",
    "seconds",
    "code",
    "param",
    "hint",
)
"""What a line may carry beside its message, given as `extra`; whatever else is given is left out."""
_SHORTEST_SECRET = 6
"""Shorter ones are found in any text."""
_LINE_ENDS = str.maketrans({"\r": r"\r", "\n": r"\n"})


class LogHandler(logging.StreamHandler):  # type: ignore[type-arg] # a stream of text
    """Writes to stderr. Its presence tells commands that what they say is a line of the log."""


class _Lines(logging.Formatter):
    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = sorted({one for one in secrets if len(one) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


class HumanLines(_Lines):
    """The message as it is, where something is wrong and how to mend it, and what Python says of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets."""
        told = record.getMessage()
        param, hint = getattr(record, "param", None), getattr(record, "hint", None)
        told += (f" (at {param})" if param else "") + (f"\n  hint: {hint}" if hint else "")
        if record.exc_info and record.exc_info[1] is not None:
            told += "\n" + "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
        return self._without_secrets(told)


class JsonLines(_Lines):
    """One JSON object: `at`, `level`, `logger`, `pid`, `message`, what identifies the request, and `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without secrets."""
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": self._without_secrets(record.getMessage()),
        }
        for name in CONTEXT:
            value = getattr(record, name, None)
            if value not in (None, ""):
                told[name] = self._without_secrets(value) if isinstance(value, str) else value
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = self._error(record.exc_info[1])
        return msgspec.json.encode(_sound(told)).decode().translate(_LINE_ENDS)

    def _error(self, error: BaseException) -> dict[str, Any]:
        told: dict[str, Any] = {"type": type(error).__name__}
        if isinstance(error, TrimtabError):
            told |= {"code": error.code, "message": self._without_secrets(error.message)}
        told["stack"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is not None:
            told["cause"] = type(cause).__name__
        return told


def _sound(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value whose text UTF-8 can hold; what is none that JSON has becomes text."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {name: _sound(one) for name, one in value.items()}
        case list():
            return [_sound(one) for one in value]
        case bool() | int() | float() | None:
            return value
    return str(value)
