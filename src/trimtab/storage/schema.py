"""Tables of the control state: key columns to find a row by, and the value itself as JSON in `body`.

Dialect-neutral: SQLite today, the same tables on Postgres. Migrations in `migrations/versions` make them; a test holds
the two against each other. `artifact`, `release`, `pointer_move`, `transition`, `plan`, `audit`, `eval_result` and
`migration_artifact` are append-only, which triggers enforce.
"""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["APPEND_ONLY", "HEAD", "metadata"]

HEAD = "0008"
"""The revision this code needs; compared before alembic is imported, which costs most of a second."""

APPEND_ONLY = (
    "artifact",
    "release",
    "pointer_move",
    "transition",
    "plan",
    "audit",
    "eval_result",
    "migration_artifact",
)

metadata = sa.MetaData()

feature = sa.Table(
    "feature",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

artifact = sa.Table(
    "artifact",
    metadata,
    sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("feature", "kind", "name", "digest", name="uq_artifact_content"),
    sa.Index("ix_artifact_digest", "digest"),
)

release = sa.Table(
    "release",
    metadata,
    sa.Column("digest", sa.String(71), primary_key=True),
    sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("body_digest", sa.String(71), nullable=False, server_default=""),
    sa.UniqueConstraint("feature", "number", name="uq_release_number"),
)

pointer = sa.Table(
    "pointer",
    metadata,
    sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), primary_key=True),
    sa.Column("environment", sa.String(64), primary_key=True),
    sa.Column("release", sa.String(71), sa.ForeignKey("release.digest"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)

pointer_move = sa.Table(
    "pointer_move",
    metadata,
    sa.Column("feature", sa.String(64), primary_key=True),
    sa.Column("environment", sa.String(64), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

plan = sa.Table(
    "plan",
    metadata,
    sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

rollout = sa.Table(
    "rollout",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), nullable=False),
    sa.Column("environment", sa.String(64), nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_rollout_feature", "feature", "id"),
    sa.Index(
        "uq_rollout_live",
        "feature",
        "environment",
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    ),
)

transition = sa.Table(
    "transition",
    metadata,
    sa.Column("rollout", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("address", sa.String(256), nullable=False, server_default=""),
)

evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("rollout", sa.String(64), primary_key=True),
    sa.Column("state", sa.LargeBinary, nullable=False),
)

counted_unit = sa.Table(
    "counted_unit",
    metadata,
    sa.Column("rollout", sa.String(64), primary_key=True),
    sa.Column("unit", sa.Text, primary_key=True),
)

past = sa.Table(
    "past",
    metadata,
    sa.Column("rollout", sa.String(64), primary_key=True),
    sa.Column("unit", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

cursor = sa.Table(
    "cursor",
    metadata,
    sa.Column("consumer", sa.String(128), primary_key=True),
    sa.Column("process", sa.String(128), primary_key=True),
    sa.Column("segment", sa.String(64), nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("rollout", sa.String(64), nullable=False),
    sa.Column("waiting", sa.Boolean, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("due_at_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_outbox_rollout", "rollout"),
    sa.Index("ix_outbox_due", "due_at_ms", sqlite_where=sa.text("waiting"), postgresql_where=sa.text("waiting")),
)

holdout = sa.Table(
    "holdout",
    metadata,
    sa.Column("environment", sa.String(64), primary_key=True),
    sa.Column("feature", sa.String(64), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

gate_answer = sa.Table(
    "gate_answer",
    metadata,
    sa.Column("rollout", sa.String(64), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

eval_result = sa.Table(
    "eval_result",
    metadata,
    sa.Column("release", sa.String(71), primary_key=True),
    sa.Column("suite", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

migration = sa.Table(
    "migration",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("environment", sa.String(64), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index(
        "uq_migration_live",
        "environment",
        "source",
        "target",
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    ),
)

migration_artifact = sa.Table(
    "migration_artifact",
    metadata,
    sa.Column("migration", sa.String(64), primary_key=True),
    sa.Column("fork", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), primary_key=True),
    sa.Column("digest", sa.String(71), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

snapshot_revision = sa.Table(
    "snapshot_revision",
    metadata,
    sa.Column("environment", sa.String(64), primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
)

snapshot = sa.Table(
    "snapshot",
    metadata,
    sa.Column("environment", sa.String(64), primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

machine = sa.Table(
    "machine",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
