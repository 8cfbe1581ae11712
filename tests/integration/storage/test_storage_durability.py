from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from trimtab.releases.model import Feature
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from pathlib import Path

FULL = 2  # sqlite.org/pragma.html#pragma_synchronous


def test_every_connection_fsyncs_commits_and_checks_references(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "control.db")
    with store.read() as one, store.read() as another:
        for tx in (one, another):
            values = [
                tx._connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("synchronous", "journal_mode", "foreign_keys")
            ]
            assert values == [FULL, "wal", 1]
    store.close()


def test_a_backup_in_another_journal_mode_is_brought_back_to_wal(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "control.db")
    with store.write() as tx:
        tx.put_feature(Feature(name="kept", team="t"))
    store.close()
    connection = sqlite3.connect(tmp_path / "control.db")
    connection.execute(f"VACUUM INTO '{tmp_path / 'backup.db'}'")
    connection.close()
    restored = open_sqlite(tmp_path / "backup.db")
    with restored.read() as tx:
        assert tx._connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert [feature.name for feature in tx.features()] == ["kept"]
    restored.close()
