from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from trimtab.artifacts.model import Artifact, ModelContent, PromptContent, PromptMessage, artifact_digest
from trimtab.core.canonical import canonical_digest
from trimtab.core.errors import StorageError
from trimtab.releases.model import CompiledRelease, Feature, Manifest, Release
from trimtab.storage.migrate import MIGRATIONS, migrate
from trimtab.storage.schema import APPEND_ONLY, HEAD, metadata
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from pathlib import Path

MODEL = ModelContent(provider="openai", model="gpt-4o", parameters={"temperature": 0.5, "max_tokens": 10})
ARTIFACT = Artifact(
    digest=artifact_digest("model", MODEL),
    kind="model",
    feature="f",
    name="main",
    number=1,
    content=MODEL,
    created_at_ms=1,
    created_by="a",
)
MANIFEST = Manifest(feature="f", prompt="sha256:1", model=ARTIFACT.digest)
RELEASE = Release(
    digest=canonical_digest(MANIFEST),
    feature="f",
    number=1,
    manifest=MANIFEST,
    compiled=CompiledRelease(
        digest=canonical_digest(MANIFEST),
        feature="f",
        number=1,
        prompt=PromptContent(messages=[PromptMessage(role="user", content="Grüß Gott")], variables={}),
        model=MODEL,
    ),
    created_at_ms=1,
    created_by="a",
)


def revision(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        found: str = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        return found
    finally:
        connection.close()


def build_first_revision(path: Path) -> None:
    """A database as the first revision made and filled it: its own migration, its own columns."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrate(connection, place=str(path), target="0001")
        feature = msgspec.json.encode(Feature(name="f", team="t"))
        connection.execute(sa.text("INSERT INTO feature (name, body) VALUES ('f', :body)"), {"body": feature})
        connection.execute(
            sa.text("INSERT INTO artifact VALUES ('f', 'model', 'main', 1, :digest, :body)"),
            {"digest": ARTIFACT.digest, "body": msgspec.json.encode(ARTIFACT)},
        )
        connection.execute(
            sa.text("INSERT INTO release (digest, feature, number, body) VALUES (:digest, 'f', 1, :body)"),
            {"digest": RELEASE.digest, "body": msgspec.json.encode(RELEASE)},
        )
    engine.dispose()


def test_a_database_of_the_first_revision_opens_with_all_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    build_first_revision(path)
    assert revision(path) == "0001"
    store = open_sqlite(path)
    with store.read() as tx:
        assert tx.features() == [Feature(name="f", team="t")]
        assert tx.artifacts("f") == [ARTIFACT]
        assert tx.releases("f") == [RELEASE]
    with store.write() as tx:
        tx.put_feature(Feature(name="g", team="t"))
    store.close()
    assert revision(path) == HEAD


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_append_only_tables_refuse_change_after_every_migration(tmp_path: Path, table: str) -> None:
    path = tmp_path / "control.db"
    build_first_revision(path)
    open_sqlite(path).close()
    connection = sqlite3.connect(path)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    connection.close()
    assert {f"{table}_no_update", f"{table}_no_delete"} <= names


def test_migrations_make_exactly_the_tables_the_code_expects(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'control.db'}")
    with engine.begin() as connection:
        migrate(connection, place="here")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrations_go_down_to_nothing_and_up_again(tmp_path: Path) -> None:
    import alembic.command
    from alembic.config import Config

    engine = sa.create_engine(f"sqlite:///{tmp_path / 'control.db'}")
    with engine.begin() as connection:
        migrate(connection, place="here")
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
        alembic.command.upgrade(config, "head")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version", *metadata.tables}
    engine.dispose()


def test_a_database_of_a_newer_trimtab_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    open_sqlite(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StorageError) as caught:
        open_sqlite(path)
    assert caught.value.code == "newer_database"
    assert caught.value.param == str(path)
    assert "upgrade Trimtab" in (caught.value.hint or "")
    assert revision(path) == "9999"


def test_a_migration_that_fails_half_way_leaves_the_old_schema_whole(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    build_first_revision(path)
    scripts = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "9000_breaks.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision, branch_labels, depends_on = '9000', '{HEAD}', None, None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half (id INTEGER)')\n"
        "    raise RuntimeError('power cut')\n"
    )
    engine = sa.create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(RuntimeError, match="power cut"):
            migrate(connection, place=str(path), target="9000", scripts=scripts)
        connection.exec_driver_sql("ROLLBACK")
        tables = set(sa.inspect(connection).get_table_names())
        columns = {column["name"] for column in sa.inspect(connection).get_columns("release")}
    engine.dispose()
    assert "half" not in tables
    assert "body_digest" not in columns
    assert revision(path) == "0001"
    upgraded = open_sqlite(path)
    with upgraded.read() as tx:
        assert tx.releases("f") == [RELEASE]
    upgraded.close()


def test_opening_an_up_to_date_database_does_not_pay_for_alembic(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    open_sqlite(path).close()
    code = (
        "import pathlib, sys; from trimtab.storage.sqlite import open_sqlite; "
        "open_sqlite(pathlib.Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_processes_that_open_a_new_database_at_once_all_succeed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "control.db"
    code = (
        "import pathlib, sys; from trimtab.storage.sqlite import open_sqlite; "
        "print('ready', flush=True); sys.stdin.read(1); s = open_sqlite(pathlib.Path(sys.argv[1]))\n"
        "with s.write() as tx: print(tx.next_snapshot_revision('p'))\n"
        "s.close()"
    )
    command = [sys.executable, "-c", code, str(path)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    answers = [process.communicate("x", timeout=30) for process in started]
    assert sorted(out.strip() for out, _ in answers) == ["1", "2", "3", "4"], answers
