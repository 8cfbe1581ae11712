"""`trimtab audit verify` against somebody with the database file and no scruples."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from trimtab.control.plane import ControlPlane
from trimtab.core.clock import SystemClock
from trimtab.rollout.files import SnapshotFiles
from trimtab.serving.directory import DataDirectory
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "model: openai/gpt-4o\nmessages:\n  - {role: system, content: '%s'}\n"


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    directory = DataDirectory(tmp_path / ".trimtab")
    opened = ControlPlane(
        store=open_sqlite(directory.database),
        publisher=SnapshotFiles(directory),
        directory=directory,
        clock=SystemClock(),
        environment="production",
        actor="ada",
    )
    folder = tmp_path / "reply"
    folder.mkdir()
    for text in ("one", "two"):
        (folder / "reply.prompt.yml").write_text(PROMPT % text)
        opened.push(folder)
    opened.set_pointer("reply", "#1", reason="first")
    opened.set_pointer("reply", "#2", reason="second")
    opened.create_key("support")
    assert opened.audit()[1] == ""
    return opened


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM audit WHERE sequence > 6", "the log does not tell of it"),
        ("DELETE FROM audit", "the log does not tell of it"),
        ("DELETE FROM audit WHERE sequence = 3", "entry 3 is missing"),
        ("UPDATE pointer SET release = (SELECT digest FROM release WHERE number = 1)", "its history does not tell of"),
        ("DELETE FROM pointer_move WHERE revision = 2", "its history does not tell of"),
        ("UPDATE release SET body = replace(body, 'one', 'won')", ""),
        ("UPDATE artifact SET body = replace(body, 'one', 'won')", ""),
    ],
)
def test_what_was_done_by_hand_is_found(plane: ControlPlane, tmp_path: Path, statement: str, told: str) -> None:
    with sqlite3.connect(tmp_path / ".trimtab" / "control.db") as database:
        triggers = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for trigger in triggers:
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute(statement)
    database.close()
    _, fault = plane.audit()
    assert fault
    assert told in fault
    plane.close()
