from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.storage.memory import MemoryStore
from trimtab.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trimtab.rollout.ports import ControlStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlStore]:
    opened: ControlStore = MemoryStore() if request.param == "memory" else open_sqlite(tmp_path / "control.db")
    yield opened
    opened.close()
