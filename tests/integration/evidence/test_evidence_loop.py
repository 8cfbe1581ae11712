"""What the server does about journals that outgrow their disk, beside moving them into files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.bootstrap.evidence import EvidenceLoop, JudgedInStore
from trimtab.bootstrap.settings import Settings
from trimtab.bootstrap.store import open_store
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.rollout.controller import CONSUMER
from trimtab.rollout.files import JournalEvents
from trimtab.serving.disk_budget import JournalLimits
from trimtab.serving.journal import JournalWriter
from trimtab.serving.journal_folder import segments

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_760_000_000_000


def test_the_server_makes_room_of_what_is_in_files_and_was_judged_and_of_nothing_else(tmp_path: Path) -> None:
    settings = Settings(directory=str(tmp_path), journal=JournalLimits(max_bytes=10_000, min_free_bytes=0))
    journals = settings.data_directory.journals
    writer = JournalWriter(journals / "p", segment_bytes=1, limits=JournalLimits())
    for index in range(5):
        at_ms = NOW_MS + index
        event = Generation(id=new_id("gen", at_ms), at_ms=at_ms, feature="f", environment="e", release="r")
        writer.append(encode_event(event), at_ms)
        writer.flush(5)
    loop = EvidenceLoop(settings, JudgedInStore(settings))
    loop.tick()
    assert len(segments(journals / "p")) == 5  # the controller has judged none of it yet
    store = open_store(settings)
    with store.write() as tx:
        tx.save_cursors(JournalEvents(journals, consumer=CONSUMER).read([], limit=100).cursors)
    loop.tick()
    assert len(segments(journals / "p")) == 1
    writer.close()
    loop.close()
    store.close()
