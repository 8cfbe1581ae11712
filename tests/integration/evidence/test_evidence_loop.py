"""What the server does about journals that outgrow their disk, beside moving them into files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.bootstrap.evidence import EvidenceLoop, JudgedInStore, open_compactor
from trimtab.bootstrap.settings import EvidenceSettings, Settings
from trimtab.bootstrap.store import open_store
from trimtab.core.ids import new_id
from trimtab.events import Generation, encode_event
from trimtab.evidence.upkeep import erase
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


def test_an_erased_user_leaves_the_journal_of_a_process_that_lives_on_and_records_no_more(tmp_path: Path) -> None:
    settings = Settings(directory=str(tmp_path), evidence=EvidenceSettings(journal_hours=0.0))
    journals = settings.data_directory.journals
    seconds = [0.0]
    writer = JournalWriter(journals / "p", monotonic=lambda: seconds[0])
    event = Generation(
        id=new_id("gen", NOW_MS), at_ms=NOW_MS, feature="f", environment="e", release="r", unit="ada@example.com"
    )
    writer.append(encode_event(event), NOW_MS)
    writer.flush(5)
    with open_compactor(settings) as compactor:
        assert erase(compactor, "ada@example.com") == 1
    seconds[0] += 601  # `journal.segment_seconds`
    while len(segments(journals / "p")) == 1:
        writer._flusher.join(0.02)
    store = open_store(settings)
    with store.write() as tx:
        tx.save_cursors(JournalEvents(journals, consumer=CONSUMER).read([], limit=100).cursors)
    loop = EvidenceLoop(settings, JudgedInStore(settings))
    loop.tick()
    assert [path.stat().st_size for path in segments(journals / "p")] == [0]
    assert b"ada@" not in (journals / "p" / "hot.buffer").read_bytes()
    loop.close()
    store.close()
    writer.close()
