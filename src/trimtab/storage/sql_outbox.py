"""Messages to people and the answers of gates in SQL (`rollout.ports.RolloutTransaction`)."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from trimtab.rollout.model import GateAnswer
from trimtab.rollout.outbox import LONGEST_WAIT_MS, Message
from trimtab.storage import schema as t
from trimtab.storage.sql_tables import SqlTables

__all__ = ["SqlOutbox"]


class SqlOutbox(SqlTables):
    """Messages and gate answers."""

    def add_message(self, message: Message) -> None:
        self.run(sa.insert(t.outbox).values(id=message.id, **_columns(message)))

    def save_message(self, message: Message) -> None:
        self.run(sa.update(t.outbox).where(t.outbox.c.id == message.id).values(**_columns(message)))

    def messages(self, rollout_id: str) -> list[Message]:
        columns = t.outbox.c
        query = sa.select(columns.body).where(columns.rollout == rollout_id)
        return self.many(Message, query.order_by(columns.created_at_ms, columns.id))

    def due_messages(self, *, now_ms: int, limit: int) -> list[Message]:
        columns = t.outbox.c
        due = sa.or_(columns.due_at_ms <= now_ms, columns.due_at_ms > now_ms + LONGEST_WAIT_MS)
        query = sa.select(columns.body).where(columns.waiting, due)
        return self.many(Message, query.order_by(columns.created_at_ms, columns.id).limit(limit))

    def drop_settled_messages(self, *, created_before_ms: int) -> None:
        columns = t.outbox.c
        self.run(sa.delete(t.outbox).where(sa.not_(columns.waiting), columns.created_at_ms < created_before_ms))

    def gate_answer(self, rollout_id: str) -> GateAnswer | None:
        return self.one(GateAnswer, sa.select(t.gate_answer.c.body).where(t.gate_answer.c.rollout == rollout_id))

    def save_gate_answer(self, answer: GateAnswer) -> None:
        body = msgspec.json.encode(answer)
        table = t.gate_answer
        if not self.run(sa.update(table).filter_by(rollout=answer.rollout).values(body=body)):
            self.run(sa.insert(table).values(rollout=answer.rollout, body=body))


def _columns(message: Message) -> dict[str, Any]:
    return {
        "rollout": message.rollout,
        "waiting": message.status == "waiting",
        "created_at_ms": message.created_at_ms,
        "due_at_ms": message.due_at_ms,
        "body": msgspec.json.encode(message),
    }
