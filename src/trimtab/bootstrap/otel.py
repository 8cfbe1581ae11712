"""Sending what is recorded to an OpenTelemetry collector, wired."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from trimtab.bootstrap.webhooks import WebhookClient
from trimtab.core.clock import SystemClock
from trimtab.core.errors import InputError
from trimtab.telemetry.export_state import EXPORT_FILE
from trimtab.telemetry.exporter import Exporter, ExportPlan, Sent
from trimtab.telemetry.tally_file import claim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.bootstrap.settings import Settings

__all__ = ["ExportLoop"]

_PATHS = {"traces": "/v1/traces", "logs": "/v1/logs"}


class ExportLoop:
    """Ticked in a thread without an event loop. Where another process sends already, it stands by."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] | None = None) -> None:
        """Raises `InputError` for an endpoint or headers that are none."""
        told = settings.otel
        self._settings = settings
        self._client = WebhookClient("the collector")
        self._base = _checked_endpoint(told.endpoint)
        self._headers = _headers(told.headers_env, os.environ if environ is None else environ)
        self._plan = ExportPlan(
            signals=told.signals,
            content=told.content,
            sample_ratio=told.sample_ratio,
            resource=told.resource,
            compress=told.compression == "gzip",
        )
        self._held = ExitStack()
        self._exporter: Exporter | None = None

    def tick(self) -> list[str]:
        """Send what is new; returns what is worth telling. Raises `StorageError`; the next tick starts anew."""
        finished = False
        try:
            directory = self._settings.data_directory
            if self._exporter is None and self._held.enter_context(claim(directory.telemetry / "otlp.lock")):
                state = directory.telemetry / EXPORT_FILE
                self._exporter = Exporter(directory.journals, state, self._plan, self._post, SystemClock())
            told = [] if self._exporter is None else self._exporter.tick()
            finished = self._exporter is not None
        finally:
            if not finished:
                self.close()
        return told

    def close(self) -> None:
        """Let another process send."""
        self._exporter = None
        self._held.close()

    def _post(self, signal: str, body: bytes, headers: dict[str, str]) -> Sent:
        url = self._base + _PATHS[signal]
        sending = self._client.post(
            url, body, headers=headers | self._headers, timeout_seconds=self._settings.otel.timeout_seconds
        )
        reply = asyncio.run(sending)
        said = b"" if b"\x00" in reply.body else reply.body[:500]
        return Sent(reply.status, reply.body, reply.retry_after, reply.quote(said.decode(errors="replace")))


def _checked_endpoint(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise InputError(
            "invalid_setting",
            f"`{endpoint}` is no address of a collector",
            param="otel.endpoint",
            hint="its base, such as http://127.0.0.1:4318; /v1/traces is added",
        )
    return endpoint.rstrip("/")


def _headers(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers in a variable, as OTEL_EXPORTER_OTLP_HEADERS has them: `name=value,...`, percent-encoded."""
    if not name:
        return {}
    headers = {}
    for item in filter(None, map(str.strip, environ.get(name, "").split(","))):
        key, equals, value = item.partition("=")
        header, content = key.strip().lower(), unquote(value.strip())
        if not equals or not header.replace("-", "").isalnum() or not content.isprintable():
            raise InputError(
                "invalid_headers",
                f"the environment variable {name} does not hold headers",
                param="otel.headers_env",
                hint="name=value,name=value, as in OTEL_EXPORTER_OTLP_HEADERS",
            )
        headers[header] = content
    if not headers:
        raise InputError("invalid_headers", f"the environment variable {name} is not set", param="otel.headers_env")
    return headers
