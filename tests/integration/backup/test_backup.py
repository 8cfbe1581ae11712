"""A backup of a data directory in use, restored elsewhere: whole, and nothing that was acknowledged is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from importlib.resources import as_file, files
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from trimtab.backup.archive import ArchiveWriter, extract
from trimtab.backup.restore import restore_backup
from trimtab.backup.take import take_backup
from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.evidence import open_compactor
from trimtab.bootstrap.evidence_reader import open_reader
from trimtab.bootstrap.settings import Settings, load_settings
from trimtab.core.clock import SystemClock
from trimtab.core.errors import ConflictError, InputError, IntegrityError
from trimtab.core.ids import new_id
from trimtab.events import Feedback, Generation
from trimtab.evidence.erasure_requests import request_erasure
from trimtab.evidence.objects import LocalObjects
from trimtab.evidence.upkeep import merge
from trimtab.serving.runtime import DataPlane

if TYPE_CHECKING:
    from pathlib import Path


def settings_of(root: Path, **flags: Any) -> Settings:
    return load_settings(environ={"TRIMTAB_DIRECTORY": str(root), "TRIMTAB_ACTOR": "ada"}, flags=flags)


def back_up(root: Path, target: Path) -> None:
    directory = settings_of(root).data_directory
    take_backup(directory, target, clock=SystemClock(), sqlite=True, evidence=directory.root / "evidence")


def recorded(root: Path) -> list[str]:
    """Ids of all generations and feedback, after all journals were moved into files."""
    settings = settings_of(root)
    with open_compactor(settings) as compactor:
        while compactor.run().more:
            pass
    reader = open_reader(settings)
    try:
        table = reader.query("select id from generations union all select id from feedback")
        found: list[str] = table.column("id").to_pylist()
        return found
    finally:
        reader.close()


class Load:
    """Traffic, a compactor and people, until it is stopped."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.acknowledged: list[str] = []
        self._feature = root.parent / "support-reply"
        with as_file(files("trimtab.demo") / "support-reply") as example:
            copytree(example, self._feature, ignore=ignore_patterns("__pycache__"))
        self._control = open_control(settings_of(root))
        self._control.push(self._feature)
        self._control.set_pointer("support-reply", "#1", reason="first")
        self._plane = DataPlane.open(settings_of(root).data_directory, environment="production", kind="gateway")
        self._stop = threading.Event()
        self.failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(work,)) for work in (self._serve, self._move, self._push)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, work: Any) -> None:
        turn = 0
        try:
            while not self._stop.is_set():
                work(turn)
                turn += 1
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failures.append(error)

    def _serve(self, turn: int) -> None:
        about: dict[str, Any] = {"feature": "support-reply", "environment": "production"}
        for index in range(50):
            now_ms = time.time_ns() // 1_000_000
            call = Generation(id=new_id("gen", now_ms), at_ms=now_ms, release="sha256:1", output="x" * 2000, **about)
            assert self._plane.record(call)
            self.acknowledged.append(call.id)
            if index == 0:  # answered after fsync
                said = Feedback(
                    id=new_id("fbk", now_ms), at_ms=now_ms, generation=call.id, name="t", value=1.0, **about
                )
                self._plane.record_durably(said)
                self.acknowledged.append(said.id)
        self._stop.wait(0.01)

    def _move(self, turn: int) -> None:
        with open_compactor(settings_of(self.root)) as compactor:
            while not self._stop.wait(0.05):
                compactor.run()
                merge(compactor)  # files that are being copied go away

    def _push(self, turn: int) -> None:
        (self._feature / "partials" / "tone.md").write_text(f"Be brief, {turn} times.\n")
        self._control.push(self._feature)
        self._control.set_pointer("support-reply", f"#{(turn + 1) % 2 + 1}", reason=f"turn {turn}")
        self._stop.wait(0.02)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._plane.close()
        self._control.close()
        assert self.failures == []


def test_a_backup_under_load_holds_everything_acknowledged_before(tmp_path: Path) -> None:
    root = tmp_path / "here" / ".trimtab"
    root.parent.mkdir()
    load = Load(root)
    archive, elsewhere = tmp_path / "backup.tar.zst", tmp_path / "there" / "data"
    try:
        time.sleep(1.0)
        before = list(load.acknowledged)
        back_up(root, archive)
        time.sleep(0.2)
    finally:
        load.stop()
    manifest = restore_backup(archive, elsewhere, evidence=elsewhere / "evidence")
    assert manifest.database == "sqlite"
    plane = open_control(settings_of(elsewhere))
    try:
        entries, broken = plane.audit()
        assert broken == ""
        assert len(entries) > 10
        assert len(plane.releases("support-reply")) >= 2
        plane.push(tmp_path / "here" / "support-reply", message="life goes on")
    finally:
        plane.close()
    found = recorded(elsewhere)
    assert len(found) == len(set(found))
    assert set(before) <= set(found)
    assert set(found) <= set(load.acknowledged)
    with open_compactor(settings_of(elsewhere)) as compactor:  # the log goes on where it was
        assert compactor.state.number > 0
        assert compactor.writer == (root / "compactor.id").read_text().strip()


def small(root: Path) -> None:
    plane = open_control(settings_of(root))
    plane.create_key("support")
    plane.close()


def test_a_backup_is_readable_by_its_owner_alone_and_replaces_nothing(tmp_path: Path) -> None:
    small(tmp_path / "data")
    archive = tmp_path / "backup.tar.zst"
    back_up(tmp_path / "data", archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConflictError, match="a file of that name"):
        back_up(tmp_path / "data", archive)
    with pytest.raises(ConflictError, match="where nothing is yet"):
        restore_backup(archive, tmp_path / "data", evidence=tmp_path / "data" / "evidence")


@pytest.mark.parametrize("spoil", ["cut", "flip", "append", "empty"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(tmp_path: Path, spoil: str) -> None:
    small(tmp_path / "data")
    archive, place = tmp_path / "backup.tar.zst", tmp_path / "place"
    back_up(tmp_path / "data", archive)
    data = bytearray(archive.read_bytes())
    if spoil == "flip":
        data[len(data) // 2] ^= 0x10
    archive.write_bytes({"cut": bytes(data[: len(data) // 2]), "empty": b""}.get(spoil, bytes(data)))
    if spoil == "append":
        with archive.open("ab") as file:
            file.write(zstandard.ZstdCompressor().compress(b"more"))
        restore_backup(archive, place, evidence=place / "evidence")  # beyond its end is not read
        return
    with pytest.raises(IntegrityError, match="this backup is damaged"):
        restore_backup(archive, place, evidence=place / "evidence")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar.zst", "data"]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "data/../../evil", "link"])
def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "backup.tar.zst"
    with (
        archive.open("wb") as raw,
        zstandard.ZstdCompressor().stream_writer(raw) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        member = tarfile.TarInfo(name)
        if name == "link":
            member.type, member.linkname = tarfile.LNKTYPE, "/etc/passwd"
        tar.addfile(member)
    (tmp_path / "into").mkdir()
    with pytest.raises((IntegrityError, InputError)):
        extract(archive, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_what_fails_half_way_leaves_no_file(tmp_path: Path) -> None:
    def write() -> None:
        with ArchiveWriter(tmp_path / "backup.tar.zst") as archive:
            archive.add_bytes("data/x", b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_backup_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    with pytest.raises(IntegrityError, match="damaged"):
        restore_backup(tmp_path / "x", tmp_path / "place", evidence=tmp_path / "place" / "evidence")
    with pytest.raises(InputError, match="cannot read"):
        restore_backup(tmp_path / "none", tmp_path / "place", evidence=tmp_path / "place" / "evidence")


def test_an_erasure_that_some_machine_still_owes_is_in_the_backup(tmp_path: Path) -> None:
    source, place = tmp_path / "source", tmp_path / "place"
    small(source)
    request = request_erasure(LocalObjects(source / "evidence"), "ada@example.com", now_ms=1_760_000_000_000)
    (source / "evidence" / request.folder / "done-1234abcd.json").write_text('{"removed":1}')
    back_up(source, tmp_path / "b")
    restore_backup(tmp_path / "b", place, evidence=place / "evidence")
    # Files as of before may hold what was removed since: everybody looks again.
    assert [path.name for path in (place / "evidence" / request.folder).iterdir()] == ["request.json"]


def test_evidence_that_outlived_the_machine_stays_as_it_is(tmp_path: Path) -> None:
    source, shared = tmp_path / "source", tmp_path / "shared"
    small(source)
    back_up(source, tmp_path / "b")
    shared.mkdir()
    (shared / "of-another-machine").write_bytes(b"kept")
    with pytest.raises(ConflictError) as refused:
        restore_backup(tmp_path / "b", tmp_path / "again", evidence=shared)
    assert "--without-evidence" in (refused.value.hint or "")
    restore_backup(tmp_path / "b", tmp_path / "again", evidence=None)
    assert (tmp_path / "again" / "control.db").exists()
    assert not (tmp_path / "again" / "evidence").exists()
    assert [path.name for path in shared.iterdir()] == ["of-another-machine"]


def test_commands_back_up_and_restore(tmp_path: Path) -> None:
    small(tmp_path / ".trimtab")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}

    def trimtab(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trimtab", *command], cwd=tmp_path, env=environ, capture_output=True, text=True
        )

    made = trimtab("backup", "b.tar.zst")
    assert (made.returncode, "before compression" in made.stdout) == (0, True), made.stderr
    restored = trimtab("--directory", "other", "restore", "b.tar.zst")
    assert (restored.returncode, "audit log whole: 1 entries" in restored.stdout) == (0, True), restored.stderr
    assert trimtab("--directory", "other", "restore", "b.tar.zst").returncode == 2
    assert trimtab("--directory", "other", "audit", "verify").returncode == 0


def test_a_killed_backup_leaves_no_backup(tmp_path: Path) -> None:
    small(tmp_path / ".trimtab")
    with (tmp_path / ".trimtab" / "big.bin").open("wb") as file:
        for _ in range(60):
            file.write(os.urandom(1 << 20))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    process = subprocess.Popen([sys.executable, "-m", "trimtab", "backup", "b.tar.zst"], cwd=tmp_path, env=environ)
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".b.tar.zst.*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "b.tar.zst").exists()
