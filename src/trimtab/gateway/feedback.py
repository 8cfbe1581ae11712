"""A user's signal about a generation: answered only when it is on disk."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import msgspec

from trimtab.calls.errors import error_body, status_of
from trimtab.core.errors import InputError, TrimtabError
from trimtab.core.ids import id_time_ms, new_id
from trimtab.events import Feedback
from trimtab.gateway.caller import read_json

if TYPE_CHECKING:
    from trimtab.core.clock import Clock
    from trimtab.providers.http import Exchange
    from trimtab.serving.runtime import DataPlane

__all__ = ["FeedbackBody", "answer_feedback", "read_feedback"]

_GENERATION = "gen_"


class FeedbackBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller sends."""

    generation_id: str
    name: str
    """What is judged: `thumbs`, `resolved`, `edit_distance`, ..."""
    value: float
    comment: str = ""
    user: str = ""
    feature: str = ""
    """Optional; checked where given."""


def read_feedback(body: bytes) -> FeedbackBody:
    """Return the feedback in a body; raises `InputError` that names the field."""
    tree = read_json(body)
    if isinstance(tree.get("value"), bool):
        tree["value"] = float(tree["value"])
    try:
        given = msgspec.convert(tree, FeedbackBody)
    except msgspec.ValidationError as error:
        param = str(error).rpartition("$.")[2].rstrip("`") if "$." in str(error) else None
        fields = ", ".join(FeedbackBody.__struct_fields__)
        raise InputError("invalid_feedback", f"{error}", param=param, hint=f"the fields are {fields}") from error
    if not given.generation_id.startswith(_GENERATION):
        raise InputError(
            "malformed_id",
            f"`{given.generation_id}` is no generation id",
            param="generation_id",
            hint="take it from the header x-trimtab-generation",
        )
    id_time_ms(given.generation_id)
    if not given.name or not math.isfinite(given.value):
        raise InputError("invalid_feedback", "`name` must not be empty and `value` must be finite", param="name")
    return given


async def answer_feedback(exchange: Exchange, plane: DataPlane, clock: Clock) -> None:
    """Record the feedback and answer 200 after fsync; 503 where the disk refuses."""
    try:
        given = read_feedback(exchange.request.body)
        if given.feature:
            plane.decide(given.feature, "")
        now_ms = clock.now_ms()
        event = Feedback(
            id=new_id("fbk", now_ms),
            at_ms=now_ms,
            feature=given.feature,
            environment=plane.environment,
            process=plane.process_id,
            generation=given.generation_id,
            name=given.name,
            value=given.value,
            unit=given.user,
            comment=given.comment,
        )
        # An fsync takes milliseconds; the loop serves others meanwhile.
        await asyncio.get_running_loop().run_in_executor(None, plane.record_durably, event)
    except TrimtabError as error:
        exchange.respond(status_of(error), error_body(error))
        return
    exchange.respond(
        200, msgspec.json.encode({"id": event.id, "generation_id": event.generation, "object": "feedback"})
    )
