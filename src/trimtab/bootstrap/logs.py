"""Where log lines go and in which form, for processes that run until they are stopped."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from trimtab.telemetry.log_lines import HumanLines, JsonLines, LogHandler

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from trimtab.bootstrap.settings import Settings

__all__ = ["open_log", "secrets_of"]


def open_log(settings: Settings, environ: Mapping[str, str] | None = None) -> None:
    """Send all lines of this process to stderr: of every logger, of Python's warnings, of threads that die.

    Library code's lines are told from warnings up, Trimtab's own from `info`.
    """
    environ = os.environ if environ is None else environ
    secrets = secrets_of(settings, environ)
    handler = LogHandler(sys.stderr)
    handler.setFormatter(JsonLines(secrets) if settings.log_format == "json" else HumanLines(secrets))
    root = logging.getLogger()
    for known in [one for one in root.handlers if isinstance(one, LogHandler)]:
        root.removeHandler(known)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("trimtab").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    if settings.log_format == "json":
        sys.excepthook = _log_crash
        threading.excepthook = _log_thread_crash


def secrets_of(settings: Settings, environ: Mapping[str, str]) -> set[str]:
    """Return what the settings and the environment hold that no line may tell."""
    names = {provider.api_key_env for provider in settings.providers.values()}
    names |= {settings.metrics.token_env, settings.otel.headers_env, settings.relay.key_env}
    names |= {"PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    held = {environ[name] for name in names if environ.get(name)}
    for item in environ.get(settings.otel.headers_env, "").split(","):
        held |= {item.partition("=")[2].strip(), unquote(item.partition("=")[2].strip())}
    held |= {part for url in (settings.database, settings.otel.endpoint) if (part := urlsplit(url).password or "")}
    return {*held, *map(unquote, held)} - {""}


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("trimtab").critical("this process ends: %s", kind.__name__, exc_info=(kind, error, trace))


def _log_thread_crash(what: threading.ExceptHookArgs) -> None:
    error = what.exc_value
    logging.getLogger("trimtab").critical(
        "the thread %s ended: %s", what.thread.name if what.thread else "?", what.exc_type.__name__, exc_info=error
    )
