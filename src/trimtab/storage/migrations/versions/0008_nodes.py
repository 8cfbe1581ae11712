"""Several nodes: snapshots in the store, where a leader is reached, what machines say of themselves.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lease", sa.Column("address", sa.String(256), nullable=False, server_default=""))
    op.create_table(
        "snapshot",
        sa.Column("environment", sa.String(64), primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "machine",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("machine")
    op.drop_table("snapshot")
    op.drop_column("lease", "address")
