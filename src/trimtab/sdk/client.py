"""`Trimtab`: a data plane inside your process."""

from __future__ import annotations

import math
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar

import msgspec

from trimtab.core.errors import InputError, TrimtabError
from trimtab.core.ids import id_time_ms, new_id
from trimtab.events import Feedback, Score, read_attributes
from trimtab.sdk.process_plane import ProcessPlane
from trimtab.sdk.resolved import Fallback, Rendered, Resolved
from trimtab.sdk.stamp import Served
from trimtab.serving.directory import DataDirectory
from trimtab.serving.generation import Answer, begin
from trimtab.serving.routing import Decision

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Unpack

    from trimtab.core.clock import Clock
    from trimtab.events import Event, Generation
    from trimtab.providers.endpoint import Endpoint
    from trimtab.sdk.call import FeatureCall, FeatureCalls
    from trimtab.sdk.managed import AsyncCalls, ManagedLimits
    from trimtab.sdk.managed_answer import ChatAnswer, ChatChunk
    from trimtab.sdk.wire import Wire
    from trimtab.serving.generation import GenerationRecord
    from trimtab.serving.redaction import RedactionHook

__all__ = ["CallDetails", "Trimtab"]

_Client = TypeVar("_Client")
_NS_PER_MS = 1e6


class CallDetails(TypedDict, total=False):
    """What else is known about a model call that the application made itself."""

    status: Literal["ok", "error", "aborted"]
    error_code: str
    http_status: int
    served_model: str
    finish_reason: str
    tool_calls: Sequence[dict[str, Any]]
    stream: bool
    trace: str
    attributes: Mapping[str, str]
    """Labels for segments, such as a language; left out where they are not what the reference says."""
    latency_ms: float
    """The whole call; the time since `resolve` where absent."""
    first_token_ms: float
    """From the call to the first piece of the answer; `latency_ms` where absent."""


class Trimtab:
    """Decides which release a unit meets, renders it and records what came of it, with no I/O on the request path.

    Serves the last good snapshot in `directory`, whether or not a control plane is alive. Thread-safe; a forked child
    gets a journal of its own. Use it as a context manager, or call `close`; at the end of the process it is closed
    anyway.
    """

    def __init__(
        self,
        directory: str | Path = ".trimtab",
        environment: str = "production",
        *,
        clock: Clock | None = None,
        redact: RedactionHook | None = None,
        providers: Mapping[str, Endpoint] | None = None,
    ) -> None:
        """Open the data plane; raises `StorageError` where its journal cannot be made in `directory`.

        `redact` sees the content of every event before it is written. `providers` are where managed calls go.
        """
        self._process = ProcessPlane(
            DataDirectory(Path(directory).resolve()), environment=environment, clock=clock, redact=redact
        )
        self._providers = providers
        self._environment = environment
        self._finalizer = weakref.finalize(self, self._process.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def environment(self) -> str:
        """The environment whose releases are served."""
        return self._environment

    def resolve(self, feature: str, *, unit: str = "", session: str = "", default: Fallback | None = None) -> Resolved:
        """Return the release that `unit` meets, and record that it did.

        Without a unit nothing can be sticky, so the stable release is served; or what `session` meets, where the
        rollout's plan falls back on sessions. Raises `NotFoundError` (`unknown_feature`) or `StorageError`
        (`no_snapshot`); with a `default` it returns that instead, with `error_code`.
        """
        try:
            plane = self._process.plane()
            decision = plane.decide(feature, unit, session)
            started_ns = plane.clock.monotonic_ns()
            plane.expose(decision)
        except TrimtabError as error:
            if default is None:
                raise
            return self._default(default, feature, unit, error)
        return Resolved(decision, started_ns=started_ns)

    def render(
        self,
        feature: str,
        *,
        unit: str = "",
        session: str = "",
        variables: Mapping[str, Any] | None = None,
        default: Fallback | None = None,
    ) -> Rendered:
        """Return the prompt of the release that `unit` meets, filled in.

        Raises what `resolve` raises, and `InputError` for the variables; that one is recorded as a failed generation
        of the release, for a new release that callers cannot fill in must not win. With a `default`, it returns the
        default filled in, with `error_code`.
        """
        values = variables or {}
        resolved = self.resolve(feature, unit=unit, session=session, default=default)
        try:
            return Rendered(resolved, values, resolved.messages(values))
        except TrimtabError as error:
            self.record(resolved, status="error", error_code=error.code, http_status=error.http_status)
            if default is None or resolved.error_code:
                raise
            fallback = self._default(default, feature, unit, error)
            return Rendered(fallback, values, fallback.messages(values))

    def record(
        self,
        answered: Resolved | Rendered,
        *,
        output: str = "",
        usage: Any = None,  # noqa: ANN401 - a mapping or the provider's own usage object
        **details: Unpack[CallDetails],
    ) -> str:
        """Record one model call that the application made itself; return the id of its generation.

        `usage` has `input_tokens`/`output_tokens` or `prompt_tokens`/`completion_tokens`, as keys or attributes.
        Never blocks and never raises for what it records.
        """
        resolved = answered.resolved if isinstance(answered, Rendered) else answered
        plane = self._process.plane()
        record = begin(resolved.decision, clock=plane.clock)
        record.started_ns = resolved.started_ns
        tokens = _tokens(usage) if usage else (0, 0)
        # The rest is put together by the journal's thread (decision 3).
        plane.record_soon(
            _finish, record, answered, output, tokens, details, plane.clock.monotonic_ns(), plane.process_id
        )
        return record.id

    def feedback(
        self, generation: str | Served, name: str, value: float, *, comment: str = "", durable: bool = True
    ) -> str:
        """Record a user's signal about a generation; return the id of the feedback.

        With `durable` it returns when the signal is fsynced, a few milliseconds later, and raises `StorageError` where
        that fails; without, when it is in memory that survives the process being killed.
        """
        plane = self._process.plane()
        now_ms = plane.clock.now_ms()
        event = Feedback(
            id=new_id("fb", now_ms),
            at_ms=now_ms,
            feature=generation.feature if isinstance(generation, Served) else "",
            environment=self._environment,
            process=plane.process_id,
            generation=_generation_id(generation),
            name=name,
            value=_signal(name, value),
            unit=generation.unit if isinstance(generation, Served) else "",
            comment=comment,
        )
        self._acknowledge(event, durable=durable)
        return event.id

    def score(
        self,
        generation: str | Served,
        name: str,
        value: float,
        *,
        source: str,
        comment: str = "",
        durable: bool = False,
    ) -> str:
        """Record a judgement of a generation by `source` (`scorer:...`, `judge:...`, `human:...`); return its id."""
        plane = self._process.plane()
        now_ms = plane.clock.now_ms()
        event = Score(
            id=new_id("score", now_ms),
            at_ms=now_ms,
            feature=generation.feature if isinstance(generation, Served) else "",
            environment=self._environment,
            process=plane.process_id,
            generation=_generation_id(generation),
            name=name,
            value=_signal(name, value),
            source=source,
            comment=comment,
        )
        self._acknowledge(event, durable=durable)
        return event.id

    def wrap(self, client: _Client) -> _Client:
        """Return `client` (of `openai` or `anthropic`, synchronous or not) with features as models.

        The given client stays as it is; both share one connection pool. Raises `InputError` (`unsupported_client`).
        """
        for kind in type(client).__mro__:
            library = kind.__module__.partition(".")[0]
            if (library, kind.__name__) in {("openai", "OpenAI"), ("openai", "AsyncOpenAI")}:
                return self.wrap_openai(client)
            if (library, kind.__name__) in {("anthropic", "Anthropic"), ("anthropic", "AsyncAnthropic")}:
                return self.wrap_anthropic(client)
        raise InputError(
            "unsupported_client",
            f"a `{type(client).__name__}` cannot be wrapped",
            param="client",
            hint="pass a client of `openai` or `anthropic`, or use `render` and `record` with any other",
        )

    def wrap_openai(self, client: _Client) -> _Client:
        """Return an `openai` client whose `chat.completions.create` and `.stream` serve features (see `wrap`)."""
        from trimtab.sdk.openai_client import OPENAI_WIRE, wrap_openai_client

        return wrap_openai_client(client, self._calls(OPENAI_WIRE))

    def wrap_anthropic(self, client: _Client) -> _Client:
        """Return an `anthropic` client whose `messages.create` and `.stream` serve features (see `wrap`)."""
        from trimtab.sdk.anthropic_client import ANTHROPIC_WIRE, wrap_anthropic_client

        return wrap_anthropic_client(client, self._calls(ANTHROPIC_WIRE))

    def chat(self, feature: str, **arguments: Any) -> ChatAnswer:  # noqa: ANN401 - those of `AsyncCalls.chat`
        """Call the model of the release that `unit` meets, over Trimtab's own connections, and return its answer.

        With retries and the release's fallbacks; see `AsyncCalls.chat` for arguments and errors. One event loop in the
        background serves all threads; code that awaits uses `async_calls`.
        """
        return self._process.blocking(self.async_calls).chat(feature, **arguments)

    def stream(self, feature: str, **arguments: Any) -> Iterator[ChatChunk]:  # noqa: ANN401 - as above
        """Call as `chat` does and yield the chunks of the answer as they come."""
        return self._process.blocking(self.async_calls).stream(feature, **arguments)

    def async_calls(
        self,
        *,
        providers: Mapping[str, Endpoint] | None = None,
        limits: ManagedLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> AsyncCalls:
        """Return what calls features on the running event loop; close it there (`async with`).

        `providers`: those given to `Trimtab` where absent, else those of `trimtab.toml` and the environment.
        """
        from trimtab.sdk.managed import AsyncCalls

        if providers is None:
            providers = self._providers
        if providers is None:
            from trimtab.bootstrap.data_plane import endpoints
            from trimtab.bootstrap.settings import load_settings

            providers = endpoints(load_settings())
        return AsyncCalls(self._process.plane(), providers, limits=limits, tls=tls)

    def flush(self, timeout_seconds: float = 5.0) -> None:
        """Return when everything recorded before is fsynced; raises `StorageError` where it cannot be."""
        self._process.plane().flush(timeout_seconds)

    def health(self) -> dict[str, Any]:
        """Return what a health check shows: process, snapshot revision, events recorded, durable and dropped."""
        return self._process.plane().health()

    def close(self) -> None:
        """Wait shortly for mirrored requests, flush and stop. May be called again; anything else then raises."""
        self._finalizer()

    def _calls(self, wire: Wire) -> Callable[[Callable[..., Any]], FeatureCalls]:
        from trimtab.sdk.call import FeatureCalls
        from trimtab.sdk.shadow import mirror_call

        process = self._process

        def mirror(call: FeatureCall) -> None:
            mirror_call(call, process.mirrors())

        return lambda create: FeatureCalls(create, wire=wire, plane=process.plane, mirror=mirror)

    def _default(self, default: Fallback, feature: str, unit: str, error: TrimtabError) -> Resolved:
        decision = Decision(
            feature=feature, environment=self._environment, release=default.prepared(feature), unit=unit
        )
        return Resolved(decision, started_ns=0, error_code=error.code, error_message=str(error))

    def _acknowledge(self, event: Event, *, durable: bool) -> None:
        plane = self._process.plane()
        if durable:
            plane.record_durably(event)
        else:
            plane.record(event)


def _finish(  # noqa: PLR0913, PLR0917 - in the order of the one place that has them
    record: GenerationRecord,
    answered: Resolved | Rendered,
    output: str,
    tokens: tuple[int, int],
    details: CallDetails,
    ended_ns: int,
    process: str,
) -> Generation:
    rendered = answered if isinstance(answered, Rendered) else None
    answer = Answer(
        output,
        list(details.get("tool_calls", ())),
        details.get("finish_reason", ""),
        details.get("served_model", ""),
        *tokens,
        details.get("error_code", ""),
    )
    event = record.finish(
        answer,
        process=process,
        status=details.get("status", "ok"),
        http_status=details.get("http_status", 0),
        stream=details.get("stream", False),
        trace=details.get("trace", ""),
        variables=rendered.variables if rendered else None,
        attributes=_labels(details.get("attributes", {})),
        messages=rendered.messages if rendered else (),
    )
    latency_ms = details.get("latency_ms", (ended_ns - record.started_ns) / _NS_PER_MS)
    first_token_ms = details.get("first_token_ms", latency_ms)
    return msgspec.structs.replace(event, latency_ms=latency_ms, first_token_ms=first_token_ms)


def _labels(given: Mapping[str, str]) -> dict[str, str]:
    try:
        return read_attributes(given)
    except InputError:
        return {}


def _generation_id(generation: str | Served) -> str:
    identifier = generation.generation if isinstance(generation, Served) else generation
    id_time_ms(identifier)  # raises `InputError` for what is no id
    return identifier


def _signal(name: str, value: float) -> float:
    """Return a signal's value as a float; raises `InputError` for one that says nothing."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not name or not math.isfinite(number):
        raise InputError(
            "invalid_feedback",
            f"`{name}` = {value!r} is no signal: it needs a name and a finite number",
            param="value" if name else "name",
            hint="send 1 for good and 0 for bad, or a number on a scale of your own",
        )
    return number


def _tokens(usage: Any) -> tuple[int, int]:  # noqa: ANN401 - a mapping or the provider's own usage object
    if isinstance(usage, dict):
        given = usage.get
        sent, said = given("input_tokens"), given("output_tokens")
        sent = given("prompt_tokens") if sent is None else sent
        said = given("completion_tokens") if said is None else said
        return int(sent or 0), int(said or 0)

    def count(*names: str) -> int:
        return int(next((value for name in names if (value := getattr(usage, name, None)) is not None), 0))

    return count("input_tokens", "prompt_tokens"), count("output_tokens", "completion_tokens")
