"""The spine: registry, pointers, audit, keys, rollouts, leases, evidence.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("artifact", "release", "pointer_move", "transition", "plan", "audit")


def upgrade() -> None:
    op.create_table(
        "feature",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "artifact",
        sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("feature", "kind", "name", "digest", name="uq_artifact_content"),
    )
    op.create_index("ix_artifact_digest", "artifact", ["digest"])
    op.create_table(
        "release",
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("feature", "number", name="uq_release_number"),
    )
    op.create_table(
        "pointer",
        sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), primary_key=True),
        sa.Column("environment", sa.String(64), primary_key=True),
        sa.Column("release", sa.String(71), sa.ForeignKey("release.digest"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_table(
        "pointer_move",
        sa.Column("feature", sa.String(64), primary_key=True),
        sa.Column("environment", sa.String(64), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "plan",
        sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "rollout",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("feature", sa.String(64), sa.ForeignKey("feature.name"), nullable=False),
        sa.Column("environment", sa.String(64), nullable=False),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_rollout_feature", "rollout", ["feature", "id"])
    op.create_index(
        "uq_rollout_live",
        "rollout",
        ["feature", "environment"],
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.create_table(
        "transition",
        sa.Column("rollout", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("holder", sa.String(128), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "evidence",
        sa.Column("rollout", sa.String(64), primary_key=True),
        sa.Column("state", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "counted_unit",
        sa.Column("rollout", sa.String(64), primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
    )
    op.create_table(
        "cursor",
        sa.Column("consumer", sa.String(128), primary_key=True),
        sa.Column("process", sa.String(128), primary_key=True),
        sa.Column("segment", sa.String(64), nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "snapshot_revision",
        sa.Column("environment", sa.String(64), primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f'CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON "{table}" '
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
    else:
        op.execute(
            "CREATE FUNCTION trimtab_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        for table in APPEND_ONLY:
            op.execute(
                f'CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "{table}" '
                "FOR EACH STATEMENT EXECUTE FUNCTION trimtab_append_only()"
            )


def downgrade() -> None:
    op.drop_table("snapshot_revision")
    op.drop_table("cursor")
    op.drop_table("counted_unit")
    op.drop_table("evidence")
    op.drop_table("lease")
    op.drop_table("transition")
    op.drop_table("rollout")
    op.drop_table("plan")
    op.drop_table("api_key")
    op.drop_table("audit")
    op.drop_table("pointer_move")
    op.drop_table("pointer")
    op.drop_table("release")
    op.drop_table("artifact")
    op.drop_table("feature")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION trimtab_append_only()")
