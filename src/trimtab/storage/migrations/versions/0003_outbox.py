"""An outbox of messages to people, and what gates said.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("rollout", sa.String(64), nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("due_at_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_outbox_rollout", "outbox", ["rollout"])
    op.create_index(
        "ix_outbox_due", "outbox", ["due_at_ms"], sqlite_where=sa.text("waiting"), postgresql_where=sa.text("waiting")
    )
    op.create_table(
        "gate_answer",
        sa.Column("rollout", sa.String(64), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("gate_answer")
    op.drop_table("outbox")
