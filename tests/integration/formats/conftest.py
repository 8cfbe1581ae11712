"""One gateway process for all of these tests, before an upstream of each format that records what it is sent."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.integration.formats.upstream import RecordingUpstream

from trimtab.artifacts.model import (
    ModelContent,
    PromptContent,
    PromptMessage,
    SchemaContent,
    ToolDefinition,
    ToolsContent,
)
from trimtab.events import Generation
from trimtab.releases.model import CompiledRelease, wire_of
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal_reader import find
from trimtab.serving.snapshot import Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("chat", "responses", "messages")
PAIRS = [pytest.param(caller, model, id=f"{caller} to {model}") for caller in FORMATS for model in FORMATS]
_PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
_IDLE_SECONDS = 30.0
_NOTHING = {"type": "object", "properties": {}}
_TOOL = ToolDefinition(name="find_order", description="Finds an order.", parameters=_NOTHING)
_SETTINGS = """
[gateway]
port = 0
drain_idle_seconds = 0.0
[gateway.retry]
max_attempts = 1
[gateway.breaker]
enabled = false
[providers.here]
base_url = "{base_url}"
"""


def simply(format: str, question: str, *, streamed: bool) -> dict[str, Any]:  # noqa: A002 - the field's word
    """Return the plainest request there is."""
    messages = [{"role": "user", "content": question}]
    body: dict[str, Any] = {
        "chat": {"max_completion_tokens": 99, "messages": messages},
        "responses": {"max_output_tokens": 99, "input": question},
        "messages": {"max_tokens": 99, "messages": messages},
    }[format]
    if not streamed:
        return body
    return {**body, "stream": True, **({"stream_options": {"include_usage": True}} if format == "chat" else {})}


class Answered(NamedTuple):
    """What a caller got, and what the journal says of it."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    """Whether the answer came to its end."""
    event: Generation | None


class Gateway:
    """A gateway process as its callers see it."""

    def __init__(self, upstream: RecordingUpstream, directory: DataDirectory, port: int) -> None:
        self.upstream = upstream
        self._directory = directory
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._asked_at = time.monotonic()

    def ask(self, format: str, body: dict[str, Any], *, recorded: bool = True, at_once: bool = True) -> Answered:  # noqa: A002 - the field's word
        """Send one request; `recorded`: whether its event is looked up.

        `at_once`: head and body in one piece, as the gateway's short way needs it; in two, it goes through all layers.
        """
        raw = json.dumps(body).encode()
        if time.monotonic() - self._asked_at > _IDLE_SECONDS:
            self._connection.close()  # other tests ran in between, and the gateway hangs up on who says nothing
        self._asked_at = time.monotonic()
        if self._connection.sock is None:
            self._connection.connect()
        if at_once:
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self._connection.request("POST", _PATHS[format], raw, {"content-type": "application/json"})
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        response = self._connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        pieces: list[bytes] = []
        whole = True
        try:
            while piece := response.read1():
                pieces.append(piece)
        except (http.client.IncompleteRead, ConnectionResetError):
            whole = False
            self._connection.close()
        response.close()
        event = self._event(headers["x-trimtab-generation"]) if recorded else None
        return Answered(response.status, headers, b"".join(pieces), whole, event)

    def _event(self, generation: str) -> Generation:
        (event,) = find(self._directory.journals, generation)
        assert isinstance(event, Generation)
        return event

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="session")
def upstream() -> Iterator[RecordingUpstream]:
    one = RecordingUpstream()
    yield one
    one.close()


@pytest.fixture(scope="session")
def gateway(upstream: RecordingUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Serves, for each format of an upstream, feature `bare-<format>`, which pins nothing, and `full-<format>`, which
    pins all that a release can."""
    folder = tmp_path_factory.mktemp("formats")
    settings = folder / "trimtab.toml"
    settings.write_text(_SETTINGS.format(base_url=upstream.base_url))
    directory = DataDirectory(folder / "data")
    publish(directory.snapshot("production"), _snapshot())
    command = [sys.executable, "-m", "trimtab", "--config", str(settings), "--directory", str(directory.root)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    with subprocess.Popen([*command, "gateway"], stderr=subprocess.PIPE, env=environ, text=True) as process:
        assert process.stderr is not None
        ready = process.stderr.readline()
        one = Gateway(upstream, directory, int(ready.rstrip().removesuffix("/v1").rpartition(":")[2]))
        yield one
        one.close()
        process.terminate()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, ""), said


def _snapshot() -> Snapshot:
    releases = [make(api) for api in FORMATS for make in (_bare, _full)]
    return Snapshot(
        revision=1,
        environment="production",
        published_at_ms=1_760_000_000_000,
        routes=[Route(feature=one.feature, stable=one.digest) for one in releases],
        releases={one.digest: one for one in releases},
    )


def _release(feature: str, format: str, parameters: dict[str, Any], **parts: Any) -> CompiledRelease:  # noqa: A002 - the field's word
    model = ModelContent(provider="here", model=f"asked-{format}", parameters=parameters, api=format)  # type: ignore[arg-type]
    digest = f"sha256:{feature.encode().hex():0>64}"
    return CompiledRelease(digest=digest, feature=feature, number=1, model=model, wire=wire_of(model), **parts)


def _bare(format: str) -> CompiledRelease:  # noqa: A002 - the field's word
    return _release(f"bare-{format}", format, {}, prompt=PromptContent(messages=[], variables={}))


def _full(format: str) -> CompiledRelease:  # noqa: A002 - the field's word
    messages = [PromptMessage(role="system", content="Be brief."), PromptMessage(role="user", content="Listen.")]
    return _release(
        f"full-{format}",
        format,
        {"max_tokens": 150, "temperature": 0.5},
        prompt=PromptContent(messages=messages, variables={}),
        tools=ToolsContent(
            tools=[ToolDefinition(name="find_order", description="Finds an order.", parameters=_NOTHING)]
        ),
        schema=SchemaContent(name="verdict", schema=_NOTHING),
    )
