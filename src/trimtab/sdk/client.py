"""`Trimtab`: a data plane inside your process."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from trimtab.core.clock import SystemClock
from trimtab.core.errors import InputError, TrimtabError
from trimtab.core.ids import new_id
from trimtab.events import Feedback, Score
from trimtab.sdk.own_call import NO_TOKENS, CallDetails, EndedCall, own_call, tokens_of
from trimtab.sdk.process_plane import ProcessPlane
from trimtab.sdk.request import checked_variables
from trimtab.sdk.resolved import Fallback, Rendered, Resolved, check_default, fill_in
from trimtab.sdk.signals import check_texts, generation_id, signal_value
from trimtab.sdk.stamp import Served
from trimtab.serving.directory import DataDirectory
from trimtab.serving.routing import Decision
from trimtab.serving.runtime import NS_PER_MS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Unpack

    from trimtab.core.clock import Clock
    from trimtab.events import Event
    from trimtab.providers.endpoint import Endpoint
    from trimtab.sdk.call import FeatureCall, FeatureCalls
    from trimtab.sdk.managed import AsyncCalls, ManagedLimits
    from trimtab.sdk.managed_answer import ChatAnswer, ChatChunk
    from trimtab.sdk.wire import Wire
    from trimtab.serving.disk_budget import JournalLimits
    from trimtab.serving.redaction import RedactionHook

__all__ = ["CallDetails", "Trimtab"]

_Client = TypeVar("_Client")


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
        journal: JournalLimits | None = None,
    ) -> None:
        """Open the data plane; raises `StorageError` where its journal cannot be made in `directory`.

        `redact` sees the content of every event before it is written. `providers` are where managed calls go.
        `journal` is what journals may use of the disk, as the settings under `[journal]`.
        """
        self._process = ProcessPlane(
            DataDirectory(Path(directory).resolve()),
            environment=environment,
            clock=clock,
            redact=redact,
            journal=journal,
        )
        self._clock = clock or SystemClock()
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
        rollout's plan falls back on sessions. Raises `NotFoundError` (`unknown_feature`), `StorageError`
        (`no_snapshot`) or `InputError` (`invalid_unit`); with a `default` it returns that instead, with `error_code`.
        """
        if default is not None:
            check_default(default)
        try:
            plane = self._process.current or self._process.plane()
            return Resolved(plane.meet(feature, unit, session), plane.monotonic_ns())
        except TrimtabError as error:
            return self._default(default, feature, unit, error)

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
        if default is not None:
            check_default(default)
        values: dict[str, Any] = variables.copy() if type(variables) is dict else checked_variables(variables)
        try:
            plane = self._process.current or self._process.plane()
            decision = plane.meet(feature, unit, session)
            started_ns = plane.monotonic_ns()
        except TrimtabError as error:
            return fill_in(self._default(default, feature, unit, error), values)
        try:
            return Rendered(decision, started_ns, values, decision.release.render(values))
        except TrimtabError as error:
            resolved = Resolved(decision, started_ns)
            self.record(resolved, status="error", error_code=error.code, http_status=error.http_status)
            return fill_in(self._default(default, feature, unit, error), values)

    def record(
        self,
        answered: Resolved | Rendered,
        *,
        output: str | None = "",
        usage: Any = None,  # noqa: ANN401 - a mapping or the provider's own usage object
        **details: Unpack[CallDetails],
    ) -> str:
        """Record one model call that the application made itself; return the id of its generation.

        `usage` has `input_tokens`/`output_tokens` or `prompt_tokens`/`completion_tokens`, as keys or attributes.
        Never blocks. Raises `InputError` (`invalid_detail`) for a `usage` or detail of a wrong type. An `output` that
        is no text and `tool_calls` without JSON form are left out, and counted in `health()["without_content"]`.
        """
        if type(answered) is not Rendered and type(answered) is not Resolved:
            raise _not_answered(answered)
        plane = self._process.current or self._process.plane()
        ended_ns = plane.monotonic_ns()
        sent, said = tokens_of(usage) if usage else NO_TOKENS
        told = None if not details and type(output) is str else own_call(output, details)
        at_ms = (ended_ns + plane.wall_ahead_ns) // NS_PER_MS
        generation = new_id("gen", at_ms)
        plane.record_soon(EndedCall(generation, at_ms, answered, output, sent, said, told, ended_ns, plane))
        return generation

    def feedback(
        self, generation: str | Served, name: str, value: float, *, comment: str = "", durable: bool = True
    ) -> str:
        """Record a user's signal about a generation; return the id of the feedback.

        With `durable` it returns when the signal is fsynced, a few milliseconds later, and raises `StorageError` where
        that fails; without, when it is in memory that survives the process being killed.
        """
        check_texts(name=name, comment=comment)
        plane = self._process.plane()
        now_ms = plane.clock.now_ms()
        event = Feedback(
            id=new_id("fb", now_ms),
            at_ms=now_ms,
            feature=generation.feature if isinstance(generation, Served) else "",
            environment=self._environment,
            process=plane.process_id,
            generation=generation_id(generation),
            name=name,
            value=signal_value(name, value),
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
        check_texts(name=name, source=source, comment=comment)
        plane = self._process.plane()
        now_ms = plane.clock.now_ms()
        event = Score(
            id=new_id("score", now_ms),
            at_ms=now_ms,
            feature=generation.feature if isinstance(generation, Served) else "",
            environment=self._environment,
            process=plane.process_id,
            generation=generation_id(generation),
            name=name,
            value=signal_value(name, value),
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
        """Return when everything recorded before is fsynced.

        Raises `StorageError` where it cannot be, or (`events_dropped`) where some of it, since the last flush, was not
        taken: what is not durable is never acknowledged.
        """
        self._process.plane().acknowledge(timeout_seconds)

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
            mirror_call(call, process.mirrors(), process.shadow_budgets())

        return lambda create: FeatureCalls(create, wire=wire, plane=process.plane, mirror=mirror)

    def _default(self, default: Fallback | None, feature: object, unit: object, error: TrimtabError) -> Resolved:
        """Return the default that is served because of an error, or raise that error where there is none."""
        if default is None:
            raise error
        decision = Decision(
            feature=str(feature),
            environment=self._environment,
            release=default.prepared(str(feature)),
            unit=unit if isinstance(unit, str) else "",
        )
        return Resolved(decision, self._clock.monotonic_ns(), error.code, str(error))

    def _acknowledge(self, event: Event, *, durable: bool) -> None:
        plane = self._process.plane()
        if durable:
            plane.record_durably(event)
        else:
            plane.record(event)


def _not_answered(answered: object) -> InputError:
    return InputError(
        "invalid_answered",
        f"a `{type(answered).__name__}` is nothing that a call could have answered with",
        param="answered",
        hint="pass what `render` or `resolve` returned",
    )
