"""Files that were tampered with, disks that are full, folders that cannot be written."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trimtab.artifacts.model import ModelContent, PartialContent, PromptContent, PromptMessage
from trimtab.artifacts.source import FeatureSource, NamedContent
from trimtab.core.errors import IntegrityError
from trimtab.releases.audit import chain_fault
from trimtab.releases.model import Feature
from trimtab.releases.push import push
from trimtab.storage.schema import APPEND_ONLY
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

    from trimtab.releases.model import Release
    from trimtab.rollout.ports import ControlTransaction

SOURCE = FeatureSource(
    feature="f",
    team="t",
    artifacts=[
        NamedContent(
            kind="prompt",
            name="f",
            path="p",
            content=PromptContent(
                messages=[PromptMessage(role="system", content='{% include "tone" %} Answer.')], variables={}
            ),
        ),
        NamedContent(kind="partial", name="tone", path="t", content=PartialContent(text="Be brief.")),
        NamedContent(kind="model", name="f", path="p", content=ModelContent(provider="openai", model="gpt-4o")),
    ],
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one pushed feature and five audit entries."""
    place = tmp_path / "control.db"
    store = open_sqlite(place)
    with store.write() as tx:
        push(tx, SOURCE, actor="ada", now_ms=1)
    store.close()
    return place


def stored_release(path: Path) -> Release:
    store = open_sqlite(path)
    with store.read() as tx:
        (release,) = tx.releases("f")
    store.close()
    return release


def tamper(path: Path, *statements: str) -> None:
    """Change the file behind Trimtab's back, as its owner can: triggers dropped first."""
    connection = sqlite3.connect(path)
    for table in APPEND_ONLY:
        connection.execute(f"DROP TRIGGER {table}_no_update")
        connection.execute(f"DROP TRIGGER {table}_no_delete")
    for statement in statements:
        assert connection.execute(statement).rowcount > 0, statement
    connection.commit()
    connection.close()


def read_all(path: Path, read: Callable[[ControlTransaction], object]) -> object:
    store = open_sqlite(path)
    try:
        with store.read() as tx:
            return read(tx)
    finally:
        store.close()


def fault(path: Path) -> str:
    store = open_sqlite(path)
    try:
        with store.read() as tx:
            return chain_fault(tx.audit())
    finally:
        store.close()


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
def test_history_refuses_to_be_changed(path: Path, table: str, verb: str) -> None:
    connection = sqlite3.connect(path)
    columns = [row[1:3] for row in connection.execute(f'PRAGMA table_info("{table}")')]
    if not connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]:
        filler = ", ".join(f"x'{index:02x}'" for index, _ in enumerate(columns))
        connection.execute(f'INSERT INTO "{table}" VALUES ({filler})')
    change = f'UPDATE "{table}" SET "{columns[0][0]}" = 1' if verb == "UPDATE" else f'DELETE FROM "{table}"'
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(change)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE audit SET body = replace(CAST(body AS TEXT), 'ada', 'eve') WHERE sequence = 3",
            "entry 3 was changed",
        ),
        (
            "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'ada', 'eve') AS BLOB) WHERE sequence = 5",
            "entry 5 was changed",
        ),
        ("DELETE FROM audit WHERE sequence = 2", "entry 2 is missing"),
        ("DELETE FROM audit WHERE sequence = 1", "entry 1 is missing"),
        (
            "INSERT INTO audit SELECT 6, digest, body FROM audit WHERE sequence = 5",
            "entry 6 does not follow entry 5",
        ),
    ],
)
def test_tampering_with_the_audit_log_is_found_where_it_happened(path: Path, statement: str, expected: str) -> None:
    assert fault(path) == ""
    tamper(path, statement)
    assert fault(path).startswith(expected)


def test_swapped_audit_entries_are_found_at_the_first_of_them(path: Path) -> None:
    tamper(
        path,
        "UPDATE audit SET sequence = 99 WHERE sequence = 2",
        "UPDATE audit SET sequence = 2 WHERE sequence = 3",
        "UPDATE audit SET sequence = 3 WHERE sequence = 99",
    )
    assert "entry 2" in fault(path)


def test_an_audit_entry_that_is_no_longer_json_is_named(path: Path) -> None:
    tamper(path, "UPDATE audit SET body = x'7b' WHERE sequence = 4")
    with pytest.raises(IntegrityError, match="audit entry 4"):
        fault(path)


REPLACE = "CAST(replace(CAST(body AS TEXT), '{old}', '{new}') AS BLOB)"


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        (
            f"UPDATE artifact SET body = {REPLACE.format(old='gpt-4o', new='gpt-3x')} WHERE kind = 'model'",
            lambda tx: tx.latest_artifact("f", "model", "f"),
        ),
        (
            f"UPDATE artifact SET body = {REPLACE.format(old='Be brief', new='Be rude!')} WHERE kind = 'partial'",
            lambda tx: tx.artifacts("f"),
        ),
        ("UPDATE artifact SET body = x'00'", lambda tx: tx.artifacts("f")),
        ("UPDATE artifact SET digest = 'sha256:0'", lambda tx: tx.artifact("sha256:0")),
        (
            f"UPDATE release SET body = {REPLACE.format(old='Be brief', new='Be rude!')}",  # compiled text
            lambda tx: tx.latest_release("f"),
        ),
        (
            f"UPDATE release SET body = {REPLACE.format(old='openai-chat/1', new='openai-chat/2')}",  # manifest
            lambda tx: tx.release_number("f", 1),
        ),
        ("UPDATE release SET body = '[]'", lambda tx: tx.releases("f")),
        ("UPDATE feature SET body = '{}'", lambda tx: tx.features()),
    ],
)
def test_content_that_was_changed_is_never_handed_out(
    path: Path, statement: str, read: Callable[[ControlTransaction], object]
) -> None:
    read_all(path, read)
    tamper(path, statement)
    with pytest.raises(IntegrityError) as caught:
        read_all(path, read)
    assert caught.value.code == "damaged_content"
    assert "backup" in (caught.value.hint or "")


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    place = tmp_path / "control.db"
    place.write_bytes(b"these are not the rows you are looking for" * 100)
    with pytest.raises(IntegrityError) as caught:
        open_sqlite(place)
    assert caught.value.code == "not_a_database"
    assert place.read_bytes().startswith(b"these are not")


def test_an_overwritten_page_is_an_integrity_error(path: Path) -> None:
    store = open_sqlite(path)
    with store.write() as tx:
        for number in range(300):
            tx.put_feature(Feature(name=f"f{number}", team="t" * 200))
    store.close()
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"\xab" * (len(content) - 3 * 4096)
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        read_all(path, lambda tx: tx.features())
    assert caught.value.code == "database_corrupt"


FULL = """
import pathlib, resource, sys
from trimtab.core.errors import StorageError
from trimtab.releases.model import Feature
from trimtab.storage.sqlite import open_sqlite

path = pathlib.Path(sys.argv[1])
store = open_sqlite(path)
with store.write() as tx:
    tx.put_feature(Feature(name="acknowledged", team="t"))
wal = pathlib.Path(f"{path}-wal")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (max(path.stat().st_size, wal.stat().st_size) + 4096, hard))
for attempt in range(3):
    try:
        with store.write() as tx:
            for number in range(400):
                tx.put_feature(Feature(name=f"lost{number}", team="t" * 4000))
    except StorageError as error:
        print(error.code, bool(error.hint))
with store.read() as tx:
    print([feature.name for feature in tx.features()])
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
with store.write() as tx:  # the same store goes on as soon as there is room
    tx.put_feature(Feature(name="after", team="t"))
store.close()
"""


def test_a_full_disk_refuses_the_write_and_keeps_everything_else(tmp_path: Path) -> None:
    place = tmp_path / "control.db"
    done = subprocess.run([sys.executable, "-c", FULL, str(place)], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["disk_failed True"] * 3 + ["['acknowledged']"], done.stderr
    store = open_sqlite(place)
    with store.read() as tx:
        assert [feature.name for feature in tx.features()] == ["acknowledged", "after"]
    store.close()


READ_ONLY = """
import os, pathlib, sqlite3, sys
from trimtab.core.errors import StorageError
from trimtab.releases.model import Feature
from trimtab.storage.sqlite import open_sqlite

if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)  # root may write anywhere
try:
    store = open_sqlite(pathlib.Path(sys.argv[1]))
    with store.write() as tx:
        tx.put_feature(Feature(name="lost", team="t"))
except StorageError as error:
    print(type(error).__name__, error.code, bool(error.hint))
"""


@pytest.mark.parametrize("what", ["folder", "new folder"])
def test_a_folder_that_cannot_be_written_is_a_storage_error(what: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder / "control.db"
        if what == "folder":
            store = open_sqlite(place)
            with store.write() as tx:
                tx.put_feature(Feature(name="kept", team="t"))
            store.close()
        else:
            place = folder / "data" / "control.db"
        before = place.read_bytes() if place.exists() else b""
        for found in [folder, *folder.rglob("*")]:
            found.chmod(0o555 if found.is_dir() else 0o444)
        done = subprocess.run([sys.executable, "-c", READ_ONLY, str(place)], capture_output=True, text=True)
        folder.chmod(0o755)
        for found in folder.rglob("*"):
            found.chmod(0o755)
        assert done.stdout.startswith("StorageError "), done.stderr
        assert done.stdout.endswith(" True\n")
        assert (place.read_bytes() if place.exists() else b"") == before
        assert place.exists() == bool(before)
