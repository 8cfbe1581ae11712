"""Postgres as it fails and as it is shared: restarts, crashes, many nodes, wrong names; and the move from SQLite."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.postgres import PostgresServer

from trimtab.core.errors import ConflictError, InputError, StorageError
from trimtab.releases.audit import chain_fault
from trimtab.releases.model import Feature
from trimtab.rollout.controller import LEASE
from trimtab.rollout.ports import Cursor
from trimtab.storage import postgres as postgres_module
from trimtab.storage.copying import copy_control_state
from trimtab.storage.migrate import migrate
from trimtab.storage.postgres import PostgresStore, open_postgres
from trimtab.storage.schema import APPEND_ONLY, HEAD, metadata
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_store_url()


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    opened = PostgresStore(url)
    yield opened
    opened.close()


WRITER = """
import os, sys, time
from trimtab.releases.model import Feature
from trimtab.storage.postgres import PostgresStore

store, who = PostgresStore(sys.argv[1]), sys.argv[2]
print("up", flush=True)
sys.stdin.read(1)
end, count = time.monotonic() + float(sys.argv[3]), 0
while time.monotonic() < end:
    count += 1
    with store.write() as tx:
        tx.put_feature(Feature(name=f"{who}-{count}", team="t"))
        tx.append_audit(at_ms=count, actor=who, action="feature.create", subject=who, detail={"n": count})
        tx.next_snapshot_revision("production")
    print(count, flush=True)
store.close()
"""


class Writer:
    def __init__(self, url: str, who: str, seconds: float) -> None:
        command = [sys.executable, "-c", WRITER, url, who, str(seconds)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("x")
        self.process.stdin.flush()

    def acknowledged(self) -> int:
        out, _ = self.process.communicate(timeout=60)
        return len(out.split())


def test_many_nodes_write_in_turn_and_the_audit_chain_stays_whole(url: str, store: PostgresStore) -> None:
    writers = [Writer(url, who, 2.0) for who in ("a", "b", "c", "d")]
    for writer in writers:
        writer.go()
    counts = [writer.acknowledged() for writer in writers]
    assert min(counts) > 0.5 * max(counts), f"somebody starved: {counts}"
    with store.read() as tx:
        entries = tx.audit(limit=100_000)
        assert len(entries) == len(tx.features()) == tx.snapshot_revision("production") == sum(counts)
        assert chain_fault(entries) == ""


def test_a_killed_writer_holds_nobody_up_and_leaves_nothing(url: str, store: PostgresStore) -> None:
    writer = Writer(url, "killed", 60.0)
    writer.go()
    time.sleep(0.5)
    writer.process.kill()
    seen = writer.acknowledged()
    began = time.monotonic()
    with store.write() as tx:
        assert seen <= len(tx.audit(limit=100_000)) == len(tx.features()) <= seen + 1
    assert time.monotonic() - began < 10


def test_a_writer_that_hangs_loses_its_turn_and_writes_nothing(
    url: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = [statement.replace("'15s'", "'200ms'") for statement in postgres_module._WRITING]
    monkeypatch.setattr(postgres_module, "_WRITING", impatient)
    hanging = PostgresStore(url)
    with pytest.raises(StorageError) as caught, hanging.write() as tx:
        tx.put_feature(Feature(name="never", team="t"))
        with ThreadPoolExecutor() as another:
            another.submit(_put, store, "meanwhile").result(timeout=60)
        tx.put_feature(Feature(name="nor-this", team="t"))
    assert caught.value.code in {"turn_lost", "database_unavailable"}
    hanging.close()
    with store.read() as tx:
        assert [feature.name for feature in tx.features()] == ["meanwhile"]


def _put(store: PostgresStore, name: str) -> None:
    with store.write() as tx:
        tx.put_feature(Feature(name=name, team="t"))


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_server_that_is_restarted_loses_nothing_that_was_committed(how: str, tmp_path: Path) -> None:
    from tests.postgres import find_binaries

    binaries = find_binaries()
    if binaries is None:
        pytest.skip("Postgres is not installed")
    server = PostgresServer(binaries)
    server.start()
    store = open_postgres(server.new_store_url())
    try:
        with store.write() as tx:
            tx.put_feature(Feature(name="kept", team="t"))
        with pytest.raises(StorageError) as caught, store.write() as tx:
            tx.put_feature(Feature(name="cut-short", team="t"))
            server.stop(how=how)
            tx.put_feature(Feature(name="cut-short-too", team="t"))
        assert caught.value.code == "database_unavailable"
        with pytest.raises(StorageError, match="control database failed"), store.read() as tx:
            tx.features()
        server.start()
        with store.write() as tx:
            assert [feature.name for feature in tx.features()] == ["kept"]
            tx.put_feature(Feature(name="after", team="t"))
        with store.read() as tx:
            assert [feature.name for feature in tx.features()] == ["after", "kept"]
    finally:
        store.close()
        server.remove()


def test_a_reader_sees_one_moment(store: PostgresStore) -> None:
    with store.read() as before:
        assert before.features() == []
        with store.write() as tx:
            tx.put_feature(Feature(name="new", team="t"))
        assert before.features() == []
    with store.read() as after:
        assert len(after.features()) == 1


def test_threads_of_one_process_take_turns_too(store: PostgresStore) -> None:
    def count() -> None:
        for _ in range(20):
            with store.write() as tx:
                tx.next_snapshot_revision("production")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as tx:
        assert tx.snapshot_revision("production") == 80


def test_a_write_inside_a_write_is_refused_at_once(store: PostgresStore) -> None:
    with store.write(), pytest.raises(StorageError, match="inside another one"), store.write():
        pass


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ['DELETE FROM "{}"', 'TRUNCATE "{}" CASCADE', 'UPDATE "{}" SET body = body'])
def test_append_only_tables_refuse_change(url: str, table: str, statement: str) -> None:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="is append-only"):
        connection.exec_driver_sql(statement.format(table))
    engine.dispose()


def test_migrations_make_exactly_the_tables_the_code_expects_and_go_down_again(postgres: PostgresServer) -> None:
    import alembic.command
    from alembic.config import Config

    from trimtab.storage.migrate import MIGRATIONS

    engine = sa.create_engine(postgres.new_database().replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        migrate(connection, place="here")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
        alembic.command.upgrade(config, "head")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version", *metadata.tables}
    engine.dispose()


def test_nodes_that_open_a_new_database_at_once_all_succeed(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    code = "import sys; from trimtab.storage.postgres import open_postgres; open_postgres(sys.argv[1]).close()"
    started = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[1] for process in started] == [""] * 4


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "database_unavailable"),
        ("postgresql://nobody:secret@/none?host=/nowhere", "database_unavailable"),
    ],
)
def test_a_server_that_is_not_there_is_told_without_a_password(url: str, code: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_postgres(url)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


def test_a_database_that_is_not_there_is_told(postgres: PostgresServer) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        open_postgres(postgres.url("nowhere"))


@pytest.mark.parametrize("url", ["mysql://a@b/c", "postgresql://user:secret@host", "not a URL: secret"])
def test_what_is_no_postgres_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError) as caught:
        open_postgres(url)
    assert caught.value.code == "malformed_database"
    assert "secret" not in str(caught.value)


def filled(path: Path) -> Any:
    store = open_sqlite(path)
    with store.write() as tx:
        for number in range(2_500):
            tx.append_audit(at_ms=number, actor="ada", action="feature.create", subject="x", detail={"n": number})
        tx.put_feature(Feature(name="f", team="t"))
        tx.add_counted_units("ro_1", [f"unit-{number}" for number in range(50)])
        tx.save_evidence("ro_1", b"\x00\xff")
        tx.save_cursors([Cursor(consumer="c", process="p", segment="s", offset=2**40, sequence=3)])
    return store


def test_control_state_moves_from_sqlite_whole(tmp_path: Path, store: PostgresStore) -> None:
    source = filled(tmp_path / "control.db")
    copied = copy_control_state(source, store, now_ms=0)
    assert (copied["audit"], copied["counted_unit"], copied["feature"]) == (2_500, 50, 1)
    with source.read() as old, store.read() as new:
        assert new.audit(limit=10_000) == old.audit(limit=10_000)
        assert chain_fault(new.audit(limit=10_000)) == ""
        assert new.evidence("ro_1") == b"\x00\xff"
        assert new.cursors("c") == old.cursors("c")
        assert new.counted_units("ro_1") == old.counted_units("ro_1")
    with pytest.raises(ConflictError, match="holds rows"):
        copy_control_state(source, store, now_ms=0)
    source.close()


def test_a_move_waits_until_no_controller_runs_and_leaves_nothing_half_way(
    tmp_path: Path, store: PostgresStore
) -> None:
    source = filled(tmp_path / "control.db")
    with source.write() as tx:
        tx.acquire_lease(LEASE, holder="node-1", now_ms=1_000, ttl_ms=5_000)
    with pytest.raises(ConflictError, match="node-1 drives rollouts"):
        copy_control_state(source, store, now_ms=2_000)
    with store.read() as tx:
        assert tx.features() == []
    assert copy_control_state(source, store, now_ms=7_000)["lease"] == 1
    source.close()


def test_a_new_database_is_at_the_newest_revision(url: str) -> None:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD
    engine.dispose()
