"""Releases carry a checksum of all that is stored, the compiled text included: their digest covers digests only.

Revision ID: 0002
Revises: 0001
"""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

release = sa.table(
    "release",
    sa.column("digest", sa.String),
    sa.column("body", sa.LargeBinary),
    sa.column("body_digest", sa.String),
)


def upgrade() -> None:
    op.add_column("release", sa.Column("body_digest", sa.String(71), nullable=False, server_default=""))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("DROP TRIGGER release_no_update")
    else:
        op.execute("ALTER TABLE release DISABLE TRIGGER release_append_only")
    connection = op.get_bind()
    for digest, body in connection.execute(sa.select(release.c.digest, release.c.body)).fetchall():
        checksum = "sha256:" + hashlib.sha256(body).hexdigest()
        connection.execute(sa.update(release).where(release.c.digest == digest).values(body_digest=checksum))
    if is_sqlite:
        op.execute(
            'CREATE TRIGGER release_no_update BEFORE UPDATE ON "release" '
            "BEGIN SELECT RAISE(ABORT, 'release is append-only'); END"
        )
    else:
        op.execute("ALTER TABLE release ENABLE TRIGGER release_append_only")


def downgrade() -> None:
    op.drop_column("release", "body_digest")
