"""From a request over HTTP to a call: who calls, what is meant, which release answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.calls.call import ModelCall
from trimtab.calls.errors import error_body, status_of
from trimtab.core.errors import NotFoundError, TrimtabError
from trimtab.gateway.caller import read_caller

if TYPE_CHECKING:
    from trimtab.calls import Format
    from trimtab.calls.ports import CallContext
    from trimtab.providers.http import Exchange

__all__ = ["start_call"]


def start_call(context: CallContext, exchange: Exchange, format: Format) -> None:  # noqa: A002 - the field's word
    """Answer a model call, now or later; errors are answered in the caller's format."""
    try:
        caller = read_caller(exchange.request, format)
        table = context.plane.table
        decision = (table or context.plane).decide(caller.feature, caller.unit)
    except TrimtabError as error:
        if error.code == "unknown_feature":
            error = _unknown_model(error)
        exchange.respond(status_of(error), error_body(error, format))
        return
    ModelCall(context, exchange, caller, decision, format).start()


def _unknown_model(error: TrimtabError) -> NotFoundError:
    message = f"the model is the feature's name, and there is {error.message}"
    return NotFoundError("model_not_found", message, param="model", hint=error.hint)
