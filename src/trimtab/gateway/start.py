"""From a request over HTTP to a call: who calls, what is meant, which release answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.calls.call import ModelCall
from trimtab.calls.errors import error_body, status_of
from trimtab.core.errors import NotFoundError, RateLimitError, TrimtabError
from trimtab.gateway.caller import read_caller
from trimtab.providers.http import header
from trimtab.providers.http.message import JSON_CONTENT

if TYPE_CHECKING:
    from trimtab.calls import Format
    from trimtab.calls.ports import ServingContext
    from trimtab.providers.http import Exchange
    from trimtab.serving.limits import Refused, TeamLimits

__all__ = ["start_call"]


def start_call(
    context: ServingContext,
    limits: TeamLimits,
    exchange: Exchange,
    format: Format,  # noqa: A002 - the field's word
) -> None:
    """Answer a model call, now or later; errors are answered in the caller's format."""
    try:
        caller = read_caller(exchange.request, format)
        table = context.plane.table
        decision = (table or context.plane).decide(caller.feature, caller.unit, caller.session)
    except TrimtabError as error:
        if error.code == "unknown_feature":
            error = _unknown_model(error)
        exchange.respond(status_of(error), error_body(error, format))
        return
    team = exchange.request.principal
    meter = limits.find(team)
    refused = None if meter is None else meter.admit(context.clock.now_ms())
    if refused is not None:
        _refuse(exchange, refused, format)
        return
    call = ModelCall(context, exchange, caller, decision, format)
    call.budget = meter
    call.start()


def _refuse(exchange: Exchange, refused: Refused, format: Format) -> None:  # noqa: A002 - the field's word
    """Answer 429. Clients wait for as long as they are told, unless waiting is no use."""
    error = RateLimitError(refused.code, refused.message, hint=f"the limit is {refused.limit}")
    lines = JSON_CONTENT + header(b"retry-after", str(refused.retry_after_seconds))
    if refused.code == "insufficient_quota":
        lines += b"x-should-retry: false\r\n"
    exchange.respond(status_of(error), error_body(error, format), lines)


def _unknown_model(error: TrimtabError) -> NotFoundError:
    message = f"the model is the feature's name, and there is {error.message}"
    return NotFoundError("model_not_found", message, param="model", hint=error.hint)
