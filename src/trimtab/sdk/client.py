"""`Trimtab`: a data plane inside your process."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from trimtab.core.errors import InputError
from trimtab.core.ids import new_id
from trimtab.events import Feedback, Score
from trimtab.sdk.own_call import CallDetails
from trimtab.sdk.process_plane import ProcessPlane
from trimtab.sdk.request_path import RequestPath
from trimtab.sdk.signals import check_texts, generation_id, signal_value
from trimtab.sdk.stamp import Served
from trimtab.serving.directory import DataDirectory

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
    from trimtab.sdk.resolved import Fallback, Rendered, Resolved
    from trimtab.sdk.wire import Wire
    from trimtab.serving.disk_budget import JournalLimits
    from trimtab.serving.redaction import RedactionHook

__all__ = ["CallDetails", "Trimtab"]

_Client = TypeVar("_Client")


class Trimtab(RequestPath):
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
        process = ProcessPlane(
            DataDirectory(Path(directory).resolve()),
            environment=environment,
            clock=clock,
            redact=redact,
            journal=journal,
        )
        super().__init__(process, environment, clock)
        self._providers = providers
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

    if TYPE_CHECKING:  # what is inherited takes anything, and says itself what is wrong with it

        def resolve(
            self, feature: str, *, unit: str = "", session: str = "", default: Fallback | None = None
        ) -> Resolved: ...

        def render(
            self,
            feature: str,
            *,
            unit: str = "",
            session: str = "",
            variables: Mapping[str, Any] | None = None,
            default: Fallback | None = None,
        ) -> Rendered: ...

        def record(
            self,
            answered: Resolved | Rendered,
            *,
            output: str | None = "",
            usage: Any = None,  # noqa: ANN401 - a mapping or the provider's own usage object
            **details: Unpack[CallDetails],
        ) -> str: ...

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

    def _acknowledge(self, event: Event, *, durable: bool) -> None:
        plane = self._process.plane()
        if durable:
            plane.record_durably(event)
        else:
            plane.record(event)
