"""One model call through a provider's own client: decided, merged, and recorded exactly once."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from trimtab.core.errors import InputError, TrimtabError
from trimtab.providers.mirrorable import obstacle
from trimtab.providers.openai import Answer
from trimtab.sdk.failure import Failure, failure_of
from trimtab.sdk.request import CallOptions, given_arguments, mirrored_arguments, take_options
from trimtab.sdk.stamp import Served, served_by
from trimtab.serving.generation import begin, begin_mirror

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trimtab.sdk.request import ModelRequest
    from trimtab.sdk.wire import StreamReader, Wire
    from trimtab.serving.runtime import DataPlane, Decision
    from trimtab.serving.shadow_budget import ShadowBudgets, ShadowTicket

__all__ = ["FeatureCall", "FeatureCalls"]

_RAW_RESPONSE_HEADER = "x-stainless-raw-response"
_OK = 200
_MALFORMED = (AttributeError, TypeError, ValueError, LookupError, msgspec.ValidationError)
"""What reading an answer raises that has not the shape its API promises: the clients check nothing of it."""
_MICRO = 1_000_000


class FeatureCalls:
    """The bookkeeping of one wrapped method of one client."""

    def __init__(
        self,
        create: Callable[..., Any],
        *,
        wire: Wire,
        plane: Callable[[], DataPlane],
        mirror: Callable[[FeatureCall], None],
    ) -> None:
        """Note the client's own bound method.

        `plane` is asked each time, for a process may fork; `mirror` takes a call that stable has answered and that
        the candidate is to answer too.
        """
        self.create = create
        self.wire = wire
        self.plane = plane
        self.mirror = mirror
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(create))
        self.accepted = frozenset(inspect.signature(create).parameters)

    def serves(self, model: str) -> bool:
        """Whether a model's name is a feature of the snapshot in force."""
        table = self.plane().table
        return table is not None and table.route(model) is not None

    def begin(self, arguments: Mapping[str, Any], *, streams: bool = False) -> FeatureCall | None:
        """Return the call of a feature, decided; `None` where the model is none and the call passes through.

        Raises `InputError` for wrong options, `NotFoundError` or `StorageError` where `trimtab` options come with a
        model that is no feature.
        """
        caller = given_arguments(arguments)
        options = take_options(caller)
        model = caller.get("model")
        if not isinstance(model, str) or (options is None and not self.serves(model)):
            return None
        options = options or CallOptions()
        unit = self.wire.unit(caller) if options.unit is None else options.unit
        plane = self.plane()
        decision = plane.decide(model, unit, options.session)
        if _asks_for_raw(caller.get("extra_headers")):
            raise InputError(
                "unsupported_call",
                f"`with_raw_response` and `with_streaming_response` cannot serve the feature `{model}`",
                param="model",
                hint="call the method itself; `.trimtab` of its answer tells the release",
            )
        return FeatureCall(self, plane, decision, caller, options, streams=streams or bool(caller.get("stream")))


class FeatureCall:
    """A call in progress; the observer of its stream, where it streams. Thread-safe, recorded once."""

    def __init__(  # noqa: PLR0913 - the parts of a call
        self,
        calls: FeatureCalls,
        plane: DataPlane,
        decision: Decision,
        caller: Mapping[str, Any],
        options: CallOptions,
        *,
        streams: bool,
        mirrors: str = "",
    ) -> None:
        """Start the clock. `mirrors` is the generation that this one shadows; empty for a user's own call."""
        self.calls = calls
        """Of which client and method it is a call."""
        self._plane = plane
        self._decision = decision
        self._caller = caller
        self._options = options
        self.streams = streams
        self._mirrors = mirrors
        clock = plane.clock
        self._record = begin_mirror(decision, clock=clock, mirrors=mirrors) if mirrors else begin(decision, clock=clock)
        shadow = decision.mirror if mirrors else None
        self._release = shadow or decision.release
        adapter = self._release.compiled.adapter
        self._steps: Sequence[str] = adapter.output if adapter is not None else ()
        self._request: ModelRequest | None = None
        self._reader: StreamReader | None = None
        self._once = threading.Lock()
        self._recorded = False
        self._ticket: ShadowTicket | None = None

    @property
    def served(self) -> Served:
        """What the answer is stamped with."""
        return served_by(self._decision, self._release, self._record.id, self._record.arm)

    def request(self) -> dict[str, Any]:
        """Return the keyword arguments for the client's own method.

        Raises `InputError` where the prompt cannot be rendered or the caller sets what the release pins; a release
        whose prompt cannot be rendered with what callers send has failed, so it is recorded as an error.
        """
        try:
            prompt: list[dict[str, Any]] = list(self._release.render(self._options.variables))
            request = self.calls.wire.merge(self._release.compiled, prompt, self._caller, accepted=self.calls.accepted)
        except TrimtabError as error:
            self.failed(error)
            raise
        self._request = request
        if self.streams:
            self._reader = self.calls.wire.reader(steps=self._steps, usage_is_ours=request.usage_is_ours)
        return dict(request.arguments)

    def mirrored(self, budgets: ShadowBudgets) -> dict[str, Any] | None:
        """Return a mirror's arguments; `None` where it may not be sent, as is then on record. Raises as `request`."""
        decision = self._decision
        route = decision.served.route if decision.served is not None else None
        if route is not None:
            ticket = budgets.admit(route, decision.mirror_price, self._plane.clock.now_ms())
            if isinstance(ticket, str):
                self.abandoned(ticket)
                return None
            self._ticket = ticket
        arguments = self.request()
        rollout = None if route is None else route.rollout
        sent = {**arguments, **(arguments.get("extra_body") or {})}
        blocked = obstacle(sent, [] if rollout is None else rollout.shadow_hosted_tools)
        if blocked:
            self.abandoned(blocked)
            return None
        return mirrored_arguments(arguments)

    def answered(self, response: Any) -> Any:  # noqa: ANN401 - the client's own response
        """Adapt, record and stamp a whole response, and return it."""
        wire = self.calls.wire
        try:
            if self._steps:
                wire.adapt(response, self._steps)
            answer = _checked(wire.read(response))
        except _MALFORMED:
            # It is the user's answer nevertheless.
            self._finish("error", Failure("upstream_malformed", _OK), Answer())
        else:
            self._finish("ok", Failure("", _OK), answer)
        with contextlib.suppress(AttributeError, TypeError):  # a text, where a page answered and no API
            # Past the model's own __setattr__, which would make the stamp a field and put it into dumps.
            object.__setattr__(response, "trimtab", self.served)
        return response

    def take(self, chunk: Any) -> Sequence[Any]:  # noqa: ANN401 - a chunk of any provider
        """Read a chunk; return the chunks that the caller is to see now."""
        reader = self._reader
        if reader is None:
            return (chunk,)
        try:
            shown = reader.take(chunk)
        except _MALFORMED:
            self._finish("error", Failure("upstream_malformed", _OK), self._partial())
            return (chunk,)
        if reader.started:
            self._record.first_token()
        return shown

    def ended(self) -> None:
        """The stream is over; one that never said why it stopped was cut off."""
        if not self._completed():
            self._finish("error", Failure("upstream_truncated", _OK), self._partial())

    def failed(self, error: BaseException) -> None:
        """The call raised, at any point."""
        failure = failure_of(error)
        self._finish("aborted" if failure.aborted else "error", failure, self._partial())

    def given_up(self) -> None:
        """The caller went away; if the answer was whole by then, nothing was lost."""
        if not self._completed():
            self._finish("aborted", Failure("caller_gone"), self._partial())

    def abandoned(self, code: str) -> None:
        """The call was not carried out, or not to its end, for a reason of ours."""
        self._finish("aborted", Failure(code), self._partial())

    def shadow(self) -> FeatureCall:
        """Return the mirrored call to the candidate, its clock started."""
        return FeatureCall(
            self.calls,
            self._plane,
            self._decision,
            self._caller,
            self._options,
            streams=self.streams,
            mirrors=self._record.id,
        )

    def _completed(self) -> bool:
        """Record the answer of a stream that the provider ended; returns whether it is recorded now."""
        reader = self._reader
        if reader is None or not reader.complete:
            return False
        try:
            answer = _checked(reader.answer())
        except _MALFORMED:
            self._finish("error", Failure("upstream_malformed", _OK), Answer())
        else:
            self._finish("ok", Failure("", _OK), answer)
        return True

    def _partial(self) -> Answer:
        """Return what has arrived so far, as far as it can be read."""
        try:
            return _checked(self._reader.answer()) if self._reader is not None else Answer()
        except _MALFORMED:
            return Answer()

    def _finish(self, status: Literal["ok", "error", "aborted"], failure: Failure, answer: Answer) -> None:
        with self._once:
            if self._recorded:
                return
            self._recorded = True
        request = self._request
        event = self._record.finish(
            msgspec.structs.replace(answer, error_code=failure.error_code),
            process=self._plane.process_id,
            status=status,
            http_status=failure.http_status,
            stream=self.streams,
            variables=self._options.variables,
            attributes=self._options.attributes,
            messages=request.messages if request is not None else (),
            trace=self._options.trace,
        )
        self._plane.record(event)
        if self._ticket is not None:
            self._ticket.release(round(event.cost_usd * _MICRO))
        if self._decision.mirror is not None and not self._mirrors and status != "aborted":
            self.calls.mirror(self)


def _asks_for_raw(headers: Any) -> bool:  # noqa: ANN401 - whatever a caller passed
    """Return whether the client's raw accessors made the call."""
    if headers is None:
        return False
    if not isinstance(headers, Mapping):
        raise InputError(
            "invalid_type",
            f"`extra_headers` is a dict, not a `{type(headers).__name__}`",
            param="extra_headers",
        )
    return any(isinstance(name, str) and name.lower() == _RAW_RESPONSE_HEADER for name in headers)


def _checked(answer: Answer) -> Answer:
    """Return an answer; raises `msgspec.ValidationError` where a field is of another type than an event's."""
    return msgspec.convert(msgspec.structs.asdict(answer), Answer)
