"""A loopback upstream that speaks both wire formats over real HTTP, and a published snapshot to serve from."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.canonical import canonical_digest
from trimtab.events import Generation
from trimtab.releases.model import CompiledRelease
from trimtab.sdk.client import Trimtab
from trimtab.serving.assignment import bucket
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.snapshot import Price, RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trimtab.events import Event

TOOL_ARGUMENTS = '{"order":"A-1"}'


class Upstream(ThreadingHTTPServer):
    """Answers by the model's name: `...-500` fails, `...-tools` calls a tool, `...-fenced` wraps its answer in a code
    fence, `...-cut` drops the connection in mid-stream, `...-gone` instead of answering, `...-slow` waits for
    `release_slow`, `...-long` says 5000 characters, `...-odd` what no API promises and no client checks: a number where
    text belongs, words where tokens are counted."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.release_slow = threading.Event()
        self.arrived = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def bodies(self, model: str) -> list[dict[str, Any]]:
        return [body for body in self.requests if body["model"] == model]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.arrived.set()
        model = body["model"]
        if model.endswith("-slow"):
            self.server.release_slow.wait(10)
        if model.endswith("-gone"):
            self.close_connection = True
        elif model.endswith("-500"):
            error = {"type": "server_error", "code": "overloaded", "message": "busy"}
            self._json(500, {"type": "error", "error": error})
        elif self.path == "/v1/chat/completions":
            self._chat(body, model)
        elif self.path == "/v1/messages":
            self._messages(body, model)
        else:
            self._json(404, {"error": {"message": "no such path", "type": "invalid_request_error", "code": None}})

    def _text(self, model: str) -> str:
        if model.endswith("-long"):
            return "x" * 5000
        return '```json\n{"answer":"ok"}\n```' if model.endswith("-fenced") else f"answer of {model}"

    def _chat(self, body: dict[str, Any], model: str) -> None:
        usage: dict[str, Any] = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
        message: dict[str, Any] = {"role": "assistant", "content": self._text(model)}
        finish = "stop"
        if model.endswith("-tools"):
            function = {"name": "find_order", "arguments": TOOL_ARGUMENTS}
            message = {"role": "assistant", "content": None}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
            finish = "tool_calls"
        odd = model.endswith("-odd")
        if odd:
            message["content"], usage["prompt_tokens"] = 5, "many"
        base = {"id": "chatcmpl-1", "created": 1, "model": f"{model}-2024"}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            self._json(200, {**base, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        base["object"] = "chat.completion.chunk"
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        for call in message.get("tool_calls") or ():
            deltas += [{"tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": ""}}]}]
            deltas += [
                {"tool_calls": [{"index": 0, "function": {"arguments": half}}]} for half in _halves(TOOL_ARGUMENTS)
            ]
        deltas += [{"content": half} for half in ([5] if odd else _halves(message["content"] or ""))]
        chunks = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append({**base, "choices": [], "usage": usage})
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
        self._stream(events, cut=model.endswith("-cut"))

    def _messages(self, body: dict[str, Any], model: str) -> None:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": self._text(model)}]
        stop = "end_turn"
        if model.endswith("-tools"):
            blocks.append(
                {"type": "tool_use", "id": "toolu_1", "name": "find_order", "input": json.loads(TOOL_ARGUMENTS)}
            )
            stop = "tool_use"
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": f"{model}-2025",
            "stop_sequence": None,
        }
        if not body.get("stream"):
            usage = {"input_tokens": 11, "output_tokens": 4}
            self._json(200, {**message, "content": blocks, "stop_reason": stop, "usage": usage})
            return
        start: dict[str, Any] = {
            **message,
            "content": [],
            "stop_reason": None,
            "usage": {"input_tokens": 11, "output_tokens": 1},
        }
        events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
        for index, block in enumerate(blocks):
            text = block["type"] == "text"
            empty = {**block, "text": ""} if text else {**block, "input": {}}
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            for half in _halves(block["text"] if text else TOOL_ARGUMENTS):
                piece = (
                    {"type": "text_delta", "text": half} if text else {"type": "input_json_delta", "partial_json": half}
                )
                events.append({"type": "content_block_delta", "index": index, "delta": piece})
            events.append({"type": "content_block_stop", "index": index})
        delta: dict[str, Any] = {"stop_reason": stop, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 4}})
        events.append({"type": "message_stop"})
        lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
        self._stream(lines, cut=model.endswith("-cut"))

    def _json(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self._headers_buffer += [b"\r\n", data]  # type: ignore[attr-defined]  # head and body in one piece
        self.flush_headers()

    def _stream(self, events: list[str], *, cut: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events[:2] if cut else events:
            data = event.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        if cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")


def _halves(text: str) -> list[str]:
    return [half for half in (text[: len(text) // 2], text[len(text) // 2 :]) if half]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.release_slow.set()
    server.shutdown()
    server.server_close()
    thread.join()


SALT = "salt"


@dataclasses.dataclass
class Store:
    """A data directory, as a control plane would keep it."""

    root: Path
    revision: int = 0

    @property
    def directory(self) -> DataDirectory:
        return DataDirectory(self.root)

    @staticmethod
    def unit_in(low: float, high: float) -> str:
        """A unit that the rollouts of these tests place in [low, high)."""
        return next(f"u{n}" for n in range(10_000) if low <= bucket(SALT, f"u{n}") < high)

    @staticmethod
    def release(number: int, *, model: str, provider: str = "openai", **changes: Any) -> CompiledRelease:
        """A release of `support-reply` that greets by the variable `shop`."""
        messages = changes.pop(
            "messages", [PromptMessage(role="system", content="You answer customers of {{ shop }}.")]
        )
        parameters = changes.pop("parameters", {"max_tokens": 50})
        variables = {"type": "object", "properties": {"shop": {"type": "string"}}, "required": ["shop"]}
        return CompiledRelease(
            digest=canonical_digest({"number": number, "model": model}),
            feature=changes.pop("feature", "support-reply"),
            number=number,
            prompt=PromptContent(messages=messages, variables=changes.pop("variables", variables)),
            model=ModelContent(provider=provider, model=model, parameters=parameters),
            **changes,
        )

    def publish(self, stable: CompiledRelease, candidate: CompiledRelease | None = None, **split: Any) -> None:
        self.revision += 1
        rollout = None
        if candidate is not None:
            rollout = RolloutRoute(
                id="rol_1", candidate=candidate.digest, salt=SALT, stage=1, state="progressing", **split
            )
        releases = [stable] if candidate is None else [stable, candidate]
        publish(
            self.directory.snapshot("production"),
            Snapshot(
                revision=self.revision,
                environment="production",
                published_at_ms=1,
                routes=[Route(feature="support-reply", stable=stable.digest, rollout=rollout)],
                releases={release.digest: release for release in releases},
                prices={release.digest: Price(input_usd=1.0, output_usd=2.0) for release in releases},
            ),
        )

    def events(self) -> list[Event]:
        """Every event that is durable, process by process, in the order they were recorded."""
        found: list[Event] = []
        for folder in sorted(self.directory.journals.iterdir()):
            found += read_journal(folder, JournalPosition()).events
        return found

    def publish_all(self, releases: list[CompiledRelease]) -> None:
        self.revision += 1
        publish(
            self.directory.snapshot("production"),
            Snapshot(
                revision=self.revision,
                environment="production",
                published_at_ms=1,
                routes=[Route(feature=release.feature, stable=release.digest) for release in releases],
                releases={release.digest: release for release in releases},
            ),
        )

    def generations(self, tt: Trimtab) -> list[Generation]:
        """Every generation recorded so far."""
        tt.flush()
        return [event for event in self.events() if isinstance(event, Generation)]

    def wait_for(self, count: int, tt: Trimtab) -> list[Generation]:
        """The generations, once there are `count`."""
        deadline = time.monotonic() + 10
        while len(found := self.generations(tt)) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(found) == count
        return found

    def wait_until_serving(self, tt: Trimtab) -> None:
        """Return when `tt` serves what was published last."""
        deadline = time.monotonic() + 10
        while tt.health()["revision"] < self.revision and time.monotonic() < deadline:
            time.sleep(0.01)
        assert tt.health()["revision"] == self.revision

    def wait_for_problem(self, tt: Trimtab) -> None:
        """Return when `tt` has noticed that the snapshot on disk cannot be read."""
        deadline = time.monotonic() + 10
        while not tt.health()["snapshot_problem"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert tt.health()["snapshot_problem"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture
def tt(store: Store) -> Iterator[Trimtab]:
    with Trimtab(store.root) as opened:
        yield opened
