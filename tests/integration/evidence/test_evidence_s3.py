"""Evidence in an S3-compatible store, over real HTTP."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from tests.free_port import free_port

from trimtab.core.errors import InputError, NotFoundError, StorageError
from trimtab.evidence.objects import open_objects
from trimtab.evidence.questions import Filter, release_metrics, trends
from trimtab.evidence.upkeep import merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    Place = Any  # the fixture's class lives in conftest


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:

        def made() -> bool:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/evidence", method="PUT")
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        try:
            deadline = time.monotonic() + 60
            while not made():
                assert time.monotonic() < deadline, "the store does not come up"
                time.sleep(0.1)
            yield f"s3://evidence/prod?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        finally:
            server.kill()


def test_journals_become_files_in_a_bucket_and_questions_are_answered_from_there(place: Place, bucket: str) -> None:
    place.objects = open_objects(bucket)
    expected = []
    for _ in range(12):
        expected.append(place.generation(unit="ann").id)
        place.compact()
    with place.compactor() as compactor:
        assert merge(compactor) == 11
    assert len(place.files()) == 1
    expected.append(place.generation(unit="bob").id)
    assert place.ids() == sorted(expected)
    reader = place.reader()
    (found,) = release_metrics(reader, Filter(span=(0, 1 << 45), unit="ann"))
    assert found.requests == 12
    place.clock.advance(3 * 3600)
    place.compact()
    with place.compactor() as compactor:
        merge(compactor)
    assert len(place.files()) == len(list(place.objects.keys("summaries"))) == 1
    assert [point.requests for point in trends(reader, Filter(span=(0, 1 << 45)))] == [13]
    reader.close()
    place.objects.delete("nothing/there")
    with pytest.raises(NotFoundError, match="there is no nothing/there"):
        place.objects.get("nothing/there")


def test_places_that_are_none_are_told() -> None:
    with pytest.raises(InputError, match="`ftp` is no place for evidence"):
        open_objects("ftp://somewhere")
    with pytest.raises(InputError, match="no S3 location"):
        open_objects("s3://")


def test_a_bucket_that_is_away_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    away = open_objects(f"s3://evidence/x?endpoint_override=127.0.0.1:{free_port()}&scheme=http&region=us-east-1")
    with pytest.raises(StorageError, match="cannot write a"):
        away.put("a", b"b")
