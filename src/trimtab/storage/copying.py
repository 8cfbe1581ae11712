"""Moving control state from one database to another: all of it or nothing, checked row by row."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from trimtab.core.errors import ConflictError, IntegrityError
from trimtab.rollout.controller import LEASE
from trimtab.storage.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.storage.sql_store import SqlStore, SqlTransaction

__all__ = ["copy_control_state"]

_ROWS = 1_000


def copy_control_state(source: SqlStore, target: SqlStore, *, now_ms: int) -> dict[str, int]:
    """Copy every table; returns the rows by table. Nobody writes to either meanwhile, and the source stays as it is.

    Raises `ConflictError` where a controller drives the source (`controller_running`) or the target holds anything
    (`database_not_empty`), `IntegrityError` (`copy_differs`) where what arrived is not what was sent.
    """
    with source.write() as old, target.write() as new:
        lease = next(iter(old.rows(sa.select(metadata.tables["lease"]).filter_by(name=LEASE))), None)
        if lease is not None and lease.expires_at_ms > now_ms:
            raise ConflictError(
                "controller_running",
                f"{lease.holder} drives rollouts from this database",
                param="source",
                hint="stop `trimtab server` everywhere, wait five seconds, and try again",
            )
        copied = {}
        for table in metadata.sorted_tables:
            if new.rows(sa.select(sa.literal(1)).select_from(table).limit(1)):
                raise ConflictError(
                    "database_not_empty",
                    f"the target holds rows in `{table.name}` already",
                    param="target",
                    hint="name an empty database: createdb NAME",
                )
            for rows in _pages(old, table):
                new.run(sa.insert(table), rows)
            copied[table.name], sent = _sum(old, table)
            if (copied[table.name], sent) != _sum(new, table):
                raise IntegrityError("copy_differs", f"`{table.name}` did not arrive as it was", param="target")
        return copied


def _pages(transaction: SqlTransaction, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    query = sa.select(table).order_by(*transaction.in_order(*table.primary_key.columns))
    offset = 0
    while rows := transaction.rows(query.limit(_ROWS).offset(offset)):
        yield [dict(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
        offset += _ROWS


def _sum(transaction: SqlTransaction, table: sa.Table) -> tuple[int, str]:
    """Return how many rows a table has, and a digest over them in order."""
    digest, count = hashlib.sha256(), 0
    for rows in _pages(transaction, table):
        count += len(rows)
        for row in rows:
            digest.update(repr(sorted(row.items())).encode())
    return count, digest.hexdigest()
