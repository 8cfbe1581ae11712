"""The simulator's server: routes, waiting, streaming."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from trimtab.core.errors import InputError, NotFoundError
from trimtab.providers.http import HttpServer, ServerLimits
from trimtab.providers.http.message import JSON_CONTENT, Refusal, header
from trimtab.providers.openai import UNREADABLE
from trimtab.sim.apis import CHAT, MODEL_APIS
from trimtab.sim.behaviour import REJECTED, SimAnswer, answer
from trimtab.sim.embedding import as_base64, embed
from trimtab.sim.wire import count_tokens, error_body, usage_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.providers.http import Exchange, Request
    from trimtab.sim.apis import Api
    from trimtab.sim.behaviour import ChatRequest
    from trimtab.sim.config import SimConfig
    from trimtab.sim.replay import ReplaySource

__all__ = ["SimApplication", "SimOptions", "serve_sim"]

_EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
_MAX_DIMENSIONS = 8192
_RETRY_STATUS = 429


class SimOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the simulator listens, and how fast a recording is played (10: ten times as fast as it was)."""

    host: str = "127.0.0.1"
    port: int = 9100
    replay_speed: float = 1.0


class _Embeddings(msgspec.Struct, frozen=True):
    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str = "float"


class SimApplication:
    """OpenAI's chat completions, Responses, embeddings and models and Anthropic's Messages, by rules or a recording."""

    def __init__(self, config: SimConfig, *, replay: ReplaySource | None = None, replay_speed: float = 1.0) -> None:
        self._config = config
        self._replay = replay
        self._replay_speed = replay_speed
        self._tasks: set[asyncio.Task[None]] = set()
        self.aborted = 0
        """Answers whose caller went away."""
        self.served = 0
        """Answers of models begun."""

    def admit(self, request: Request) -> Refusal | None:
        """Refuse unknown paths and wrong methods by the head alone."""
        wanted = b"POST" if request.path in MODEL_APIS or request.path == b"/v1/embeddings" else b"GET"
        known = wanted == b"POST" or request.path in {b"/healthz", b"/v1/models"} or _model_of(request.path)
        if not known:
            return Refusal(404, "unknown_url", f"there is no {request.path.decode(errors='replace')} here")
        if request.method != wanted:
            return Refusal(405, "method_not_allowed", f"use {wanted.decode()}", header(b"allow", wanted))
        return None

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Say why, in the shape of the API that was called: OpenAI's where it is none."""
        api = MODEL_APIS.get(exchange.request.path, CHAT)
        body = api.error_body(refusal.message, status=refusal.status, code=refusal.code)
        exchange.respond(refusal.status, body, JSON_CONTENT + refusal.headers)

    def handle(self, exchange: Exchange) -> None:
        """Answer, in a task where it takes time."""
        path = exchange.request.path
        api = MODEL_APIS.get(path)
        if api is not None:
            self._spawn(exchange, api)
        elif path == b"/v1/embeddings":
            self._embed(exchange)
        elif path == b"/healthz":
            exchange.respond(200, b'{"status":"ok"}')
        else:
            self._list_models(exchange)

    # --- models' answers ----------------------------------------------------------------------------------------

    def _spawn(self, exchange: Exchange, api: Api) -> None:
        def refuse(status: int, message: str, code: str, **more: Any) -> None:  # noqa: ANN401 - the APIs' keywords
            exchange.respond(status, api.error_body(message, status=status, code=code, **more))

        try:
            request = api.read(exchange.request.body)
        except UNREADABLE as error:
            refuse(400, f"the body is no {api.asks} request: {error}", "invalid_body")
            return
        except InputError as error:
            refuse(400, error.message, error.code, param=error.param)
            return
        try:
            said = self._recorded(request) if self._replay is not None else self._ruled(request, exchange.request.body)
        except NotFoundError as error:
            refuse(404, str(error), error.code, param=error.param)
            return
        except Exception as error:  # noqa: BLE001 - a rule's template is the user's code
            refuse(500, f"a rule failed: {error}", "rule_failed", kind="server_error")
            return
        self.served += 1
        task = asyncio.get_running_loop().create_task(self._answer(exchange, api, request, said))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        exchange.on_abort = self._on_abort(task)

    def _on_abort(self, task: asyncio.Task[None]) -> Callable[[], None]:
        def aborted() -> None:
            self.aborted += 1
            task.cancel()

        return aborted

    def _ruled(self, request: ChatRequest, body: bytes) -> SimAnswer:
        picky = any(rule.rejects for rule in self._config.rules)
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw]) if picky else ()
        return answer(self._config, request, fields=fields)

    def _recorded(self, request: ChatRequest) -> SimAnswer:
        assert self._replay is not None  # noqa: S101 - the caller checked
        one = self._replay.find(request.model, request.question, unit=request.user or request.safety_identifier)
        delay = one.latency_seconds * 1000 / self._replay_speed
        return SimAnswer(text=one.answer, latency_ms=delay, rule="replay")

    async def _answer(self, exchange: Exchange, api: Api, request: ChatRequest, said: SimAnswer) -> None:
        if said.latency_ms > 0:
            await asyncio.sleep(said.latency_ms / 1000)
        lines = api.lines(f"req_sim_{self.served}", said.latency_ms)
        status = said.error_status
        if status:
            again = b"retry-after: 1\r\n" if status == _RETRY_STATUS else b""
            kind = "invalid_request_error" if said.error_code == REJECTED else "server_error"
            body = api.error_body(said.error_message, status=status, code=said.error_code, kind=kind)
            exchange.respond(status, body, JSON_CONTENT + lines + again)
            return
        spoken = said.tool_call[1] if said.tool_call else said.text
        usage = usage_of(request, spoken, tokens_per_word=self._config.tokens_per_word)
        if not request.stream:
            exchange.respond(200, api.whole(request, said, usage=usage), JSON_CONTENT + lines)
            return
        exchange.start(200, _EVENT_STREAM + lines)
        for event in api.events(request, said, usage=usage):
            exchange.write(event)
            if self._config.chunk_gap_ms > 0:
                await asyncio.sleep(self._config.chunk_gap_ms / 1000)
        exchange.end()

    # --- embeddings and models ----------------------------------------------------------------------------------

    def _embed(self, exchange: Exchange) -> None:
        try:
            request = msgspec.json.decode(exchange.request.body, type=_Embeddings)
        except UNREADABLE as error:
            exchange.respond(400, error_body(f"the body is no embeddings request: {error}", code="invalid_body"))
            return
        dimensions = request.dimensions or self._config.embedding_dimensions
        if not 0 < dimensions <= _MAX_DIMENSIONS:
            message = f"`dimensions` must be between 1 and {_MAX_DIMENSIONS}"
            exchange.respond(400, error_body(message, code="invalid_value", param="dimensions"))
            return
        texts = _texts(request.input)
        data = []
        for index, text in enumerate(texts):
            vector = embed(text, model=request.model, dimensions=dimensions)
            shown: Any = as_base64(vector) if request.encoding_format == "base64" else vector
            data.append({"object": "embedding", "index": index, "embedding": shown})
        tokens = sum(count_tokens(text, tokens_per_word=self._config.tokens_per_word) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        body = {"object": "list", "data": data, "model": request.model, "usage": usage}
        exchange.respond(200, msgspec.json.encode(body))

    def _list_models(self, exchange: Exchange) -> None:
        names = self._replay.models if self._replay is not None else self._config.models
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "trimtab-sim"} for name in names]
        wanted = _model_of(exchange.request.path)
        if not wanted:
            exchange.respond(200, msgspec.json.encode({"object": "list", "data": models}))
        elif wanted in names:
            exchange.respond(200, msgspec.json.encode(models[names.index(wanted)]))
        else:
            exchange.respond(404, error_body(f"there is no model `{wanted}`", code="model_not_found", param="model"))


async def serve_sim(
    config: SimConfig,
    options: SimOptions | None = None,
    *,
    replay: ReplaySource | None = None,
    on_ready: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is told the address. Raises `OSError` where it cannot listen."""
    options = options or SimOptions()
    application = SimApplication(config, replay=replay, replay_speed=options.replay_speed)
    server = HttpServer(application, ServerLimits())
    host, port = await server.start(options.host, options.port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # not the main thread
            loop.add_signal_handler(name, stop.set)
    if on_ready is not None:
        on_ready(host, port)
    await stop.wait()
    await server.drain(1.0)


def _model_of(path: bytes) -> str:
    """Return the model that `/v1/models/{id}` names; ids may hold slashes."""
    return unquote(path.removeprefix(b"/v1/models/")) if path.startswith(b"/v1/models/") else ""


def _texts(given: str | list[str | int | list[int]]) -> list[str]:
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [str(given)]
    return [str(one) for one in given]
