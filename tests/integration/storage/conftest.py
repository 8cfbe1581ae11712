from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.storage.memory import MemoryStore
from trimtab.storage.postgres import PostgresStore
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trimtab.rollout.ports import ControlStore


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlStore]:
    opened: ControlStore
    if request.param == "memory":
        opened = MemoryStore()
    elif request.param == "sqlite":
        opened = open_sqlite(tmp_path / "control.db")
    else:
        opened = PostgresStore(request.getfixturevalue("postgres").new_store_url())
    yield opened
    opened.close()
