"""What every request of an application goes through: decide, render, record, with no I/O.

Compiled where the data plane is (`hatch_build.py`). What callers pass is `Any` here, for compiled code would answer a
wrong type with a TypeError of its own; what is meant is told to type checkers by `sdk.client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trimtab.core.clock import Clock, SystemClock
from trimtab.core.compiled import mypyc_attr
from trimtab.core.errors import InputError, TrimtabError
from trimtab.core.ids import new_id
from trimtab.sdk.own_call import EndedCall, own_call, tokens_of
from trimtab.sdk.own_copy import own_copy
from trimtab.sdk.request import checked_variables
from trimtab.sdk.resolved import Rendered, Resolved, check_default, fill_in
from trimtab.serving.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from trimtab.sdk.own_call import CallDetails
    from trimtab.sdk.process_plane import ProcessPlane
    from trimtab.serving.in_force import InForce
    from trimtab.serving.runtime import DataPlane
    from trimtab.serving.soon import Soon

__all__ = ["RequestPath"]

_NS_PER_MS: Final = 1_000_000
_MANY_TOKENS: Final = 1 << 40
# A constant of one's own is found without looking it up among the module's names.
_RENDERED: Final = Rendered
_RESOLVED: Final = Resolved
_ENDED_CALL: Final = EndedCall


@mypyc_attr(allow_interpreted_subclasses=True)
class RequestPath:
    """The methods of `Trimtab` that cost a request anything.

    Each looks up `_in_force` by itself: Python code may derive from this class, so that a call of a method of its own
    goes by a table, and two of them are a tenth of what deciding, rendering and recording cost.
    """

    def __init__(self, process: ProcessPlane, environment: str, clock: Clock | None) -> None:
        self._process = process
        self._environment = environment
        self._clock: Clock = clock or SystemClock()
        self._look_up()

    def resolve(self, feature: Any, *, unit: Any = "", session: Any = "", default: Any = None) -> Resolved:
        """Return the release that `unit` meets, and record that it did.

        Without a unit nothing can be sticky, so the stable release is served; or what `session` meets, where the
        rollout's plan falls back on sessions. Raises `NotFoundError` (`unknown_feature`), `StorageError`
        (`no_snapshot`) or `InputError` (`invalid_unit`); with a `default` it returns that instead, with `error_code`.
        """
        if default is not None:
            check_default(default)
        try:
            in_force = self._in_force
            if in_force.ended:
                in_force = self._look_up()
            decision = _met(in_force.met, feature, unit) or self._known.meet(feature, unit, session)
            return _RESOLVED(decision, self._monotonic_ns())
        except TrimtabError as error:
            return self._default(default, feature, unit, error)

    def render(
        self, feature: Any, *, unit: Any = "", session: Any = "", variables: Any = None, default: Any = None
    ) -> Rendered:
        """Return the prompt of the release that `unit` meets, filled in.

        Raises what `resolve` raises, and `InputError` for the variables; that one is recorded as a failed generation
        of the release, for a new release that callers cannot fill in must not win. With a `default`, it returns the
        default filled in, with `error_code`.
        """
        if default is not None:
            check_default(default)
        given: dict[str, Any] = variables if type(variables) is dict else checked_variables(variables)
        try:
            in_force = self._in_force
            if in_force.ended:
                in_force = self._look_up()
            decision = _met(in_force.met, feature, unit) or self._known.meet(feature, unit, session)
            started_ns = self._monotonic_ns()
        except TrimtabError as error:
            return fill_in(self._default(default, feature, unit, error), given)
        release = decision.release
        plain = release.plain
        if plain is not None:
            shared = plain.shared(given)
            if shared is not None:
                return _RENDERED(decision, started_ns, shared.copied(), shared)
        values = given.copy()
        messages = plain.fill(values) if plain is not None else None
        try:
            if messages is None:
                values = own_copy(values)
                messages = release.render_templates(values)
            return _RENDERED(decision, started_ns, messages, None, values)
        except TrimtabError as error:
            resolved = Resolved(decision, started_ns)
            self.record(resolved, status="error", error_code=error.code, http_status=error.http_status)
            return fill_in(self._default(default, feature, unit, error), values)

    def record(self, answered: Any, *, output: Any = "", usage: Any = None, **details: Unpack[CallDetails]) -> str:
        """Record one model call that the application made itself; return the id of its generation.

        `usage` has `input_tokens`/`output_tokens` or `prompt_tokens`/`completion_tokens`, as keys or attributes.
        Never blocks. Raises `InputError` (`invalid_detail`) for a `usage` or detail of a wrong type. An `output` that
        is no text and `tool_calls` without JSON form are left out, and counted in `health()["without_content"]`.
        """
        if type(answered) is not _RENDERED and type(answered) is not _RESOLVED:
            raise _not_answered(answered)
        in_force = self._in_force
        if in_force.ended:
            in_force = self._look_up()
        ended_ns = self._monotonic_ns()
        sent, said = _tokens(usage) if usage else (0, 0)
        told = None if not details and type(output) is str else own_call(output, details)
        generation = new_id("gen", (ended_ns + in_force.wall_ahead_ns) // _NS_PER_MS)
        soon = self._soon
        characters = _characters(answered, output) if soon.asks_for_size() else 0
        decision, started_ns = answered.decision, answered.started_ns
        plane = self._known
        if type(answered) is _RENDERED:
            messages, variables = _sent(answered)
            ended = _ENDED_CALL(
                generation, decision, started_ns, ended_ns, output, sent, said, told, plane, messages, variables
            )
        else:
            ended = _ENDED_CALL(generation, decision, started_ns, ended_ns, output, sent, said, told, plane)
        soon.take(ended, characters)
        return generation

    def _look_up(self) -> InForce:
        """Take up the data plane of a process, the first or a forked one; raises `StorageError` (`closed`)."""
        plane = self._process.plane()
        self._monotonic_ns: Callable[[], int] = plane.monotonic_ns
        self._soon: Soon = plane.soon
        self._known: DataPlane = plane
        self._in_force: InForce = plane.in_force
        return plane.in_force

    def _default(self, default: Any, feature: Any, unit: Any, error: TrimtabError) -> Resolved:
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


def _met(met: Any, feature: Any, unit: Any) -> Decision | None:
    """Return the decision of which it is on record that the unit met it, `None` where it has to be decided."""
    try:
        units = met.get(feature)
        return None if units is None or not unit else units.get(unit)
    except TypeError:  # nothing that can be looked up
        return None


def _tokens(usage: Any) -> tuple[int, int]:
    """Do what `tokens_of` does, at once for the form that is usual."""
    if type(usage) is dict:
        sent, said = usage.get("input_tokens"), usage.get("output_tokens")
        if type(sent) is int and type(said) is int and 0 <= sent < _MANY_TOKENS and 0 <= said < _MANY_TOKENS:
            return sent, said
    return tokens_of(usage)


def _sent(rendered: Any) -> tuple[Any, Any]:
    """Return the messages and the variables of them, to be recorded.

    They are those that many calls share, if nobody changed them: what waits for the journal's thread is the less. Else
    copies: the caller may append the next turn to its own before that thread comes to it.
    """
    shared, messages = rendered._shared, rendered.messages  # noqa: SLF001 - not for applications
    if shared is not None:
        try:
            if type(messages) is list and messages == shared.messages:
                return shared.messages, shared.variables
        except Exception:  # noqa: BLE001, S110 - the application's own objects may raise anything
            pass
    if not rendered.decision.capture_content:
        return (), None
    # The variables are in nobody else's hands.
    return _copied(messages), rendered._values if shared is None else shared.variables  # noqa: SLF001 - as above


def _copied(messages: Any) -> Any:
    """Do what `own_copy` does, at once for messages of texts alone."""
    if type(messages) is not list:
        return own_copy(messages)
    copied: list[Any] = []
    for message in messages:
        if type(message) is not dict:
            return own_copy(messages)
        mine = message.copy()
        for value in mine.values():
            if type(value) is not str:
                return own_copy(messages)
        copied.append(mine)
    return copied


def _characters(answered: Any, output: Any) -> int:
    """Return about how many characters of content a call holds: the answer and the prompt."""
    count = len(output) if isinstance(output, str) else 0
    messages: Any = getattr(answered, "messages", None)
    if isinstance(messages, list):
        for message in messages:  # the application's own by now: it may have put anything there
            content: Any = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, str):
                count += len(content)
    return count


def _not_answered(answered: object) -> InputError:
    return InputError(
        "invalid_answered",
        f"a `{type(answered).__name__}` is nothing that a call could have answered with",
        param="answered",
        hint="pass what `render` or `resolve` returned",
    )
