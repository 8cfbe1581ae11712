"""Model migrations: plans, and what their states wrote.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "migration",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("environment", sa.String(64), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index(
        "uq_migration_live",
        "migration",
        ["environment", "source", "target"],
        unique=True,
        sqlite_where=sa.text("live"),
        postgresql_where=sa.text("live"),
    )
    op.create_table(
        "migration_artifact",
        sa.Column("migration", sa.String(64), primary_key=True),
        sa.Column("fork", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), primary_key=True),
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            'CREATE TRIGGER migration_artifact_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "migration_artifact" '
            "FOR EACH STATEMENT EXECUTE FUNCTION trimtab_append_only()"
        )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER migration_artifact_no_{verb.lower()} BEFORE {verb} ON "
                "\"migration_artifact\" BEGIN SELECT RAISE(ABORT, 'migration_artifact is append-only'); END"
            )


def downgrade() -> None:
    op.drop_table("migration_artifact")
    op.drop_table("migration")
