"""What test suites said of releases: rollouts wait for it.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "eval_result",
        sa.Column("release", sa.String(71), primary_key=True),
        sa.Column("suite", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            'CREATE TRIGGER eval_result_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "eval_result" '
            "FOR EACH STATEMENT EXECUTE FUNCTION trimtab_append_only()"
        )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f'CREATE TRIGGER eval_result_no_{verb.lower()} BEFORE {verb} ON "eval_result" '
                "BEGIN SELECT RAISE(ABORT, 'eval_result is append-only'); END"
            )


def downgrade() -> None:
    op.drop_table("eval_result")
