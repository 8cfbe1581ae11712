"""How commands speak: data on stdout (tables for people, JSON for machines), prose and errors on stderr."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from trimtab.core.errors import InputError, TrimtabError
from trimtab.telemetry.log_lines import LogHandler

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ago",
    "always_json",
    "emit_json",
    "fail",
    "json_option",
    "log_format_option",
    "say",
    "say_failed",
    "table",
    "when",
]

_log = logging.getLogger("trimtab")

_EXIT_MISUSE = 2
_EXIT_COULD_NOT = 3
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


json_option = click.option("--json", "as_json", is_flag=True, help="Print the same facts as one JSON document.")
"""Add `--json` to a command."""


always_json = click.option("--json", is_flag=True, expose_value=False, help="Print JSON, as it does anyway.")
"""Take `--json` where there is nothing else to print."""


def emit_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document, indented, keys in the order of the facts."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


log_format_option = click.option(
    "--log-format",
    type=click.Choice(["human", "json"]),
    help="How to log to stderr (default human; env TRIMTAB_LOG_FORMAT).",
)
"""Add `--log-format` to a command that runs until it is stopped."""


def say(text: str, **context: str) -> None:
    """Print prose to stderr; where this process keeps a log (`bootstrap.logs`), as a line of it.

    `context`: what a line of the log may carry beside it, see `telemetry.log_lines`.
    """
    if _keeps_log():
        _log.info("%s", text, extra=context)
    else:
        print(text, file=sys.stderr)


def say_failed(what: str, error: Exception, *, then: str, **context: str) -> None:
    """Tell of something that went wrong and is tried again.

    In a log a warning, or where the error is none of Trimtab's own an error with its stack. `context`: as of `say`.
    """
    if not _keeps_log():
        print(f"{what}: {type(error).__name__}: {error}; {then}", file=sys.stderr)
    elif isinstance(error, TrimtabError):
        told = {"code": error.code, "param": error.param, "hint": error.hint}
        _log.warning("%s: %s; %s", what, error.message, then, extra={**context, **told})
    else:
        _log.error("%s: %s; %s", what, type(error).__name__, then, extra=context, exc_info=error)  # it may name content


def _keeps_log() -> bool:
    return any(isinstance(handler, LogHandler) for handler in logging.getLogger().handlers)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Return columns aligned with two spaces between them; `right` lists the columns of numbers."""
    cells = [tuple(header), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def ago(at_ms: int, now_ms: int) -> str:
    """Return a span such as `12 s ago`, for people."""
    seconds = max(0, now_ms - at_ms) / 1000
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s ago"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min ago"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.0f} h ago"
    return f"{seconds / _DAY:.0f} days ago"


def when(at_ms: int) -> str:
    """Return a moment in UTC, to the second, for tables."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def fail(error: TrimtabError) -> int:
    """Print an error to stderr and return the exit status it deserves."""
    if _keeps_log():
        told = {"code": error.code, "param": error.param, "hint": error.hint}
        _log.error("error: %s", error.message, extra=told)
    else:
        say(f"error: {error}")
    return _EXIT_MISUSE if isinstance(error, InputError) else _EXIT_COULD_NOT
