"""What a server tells of its loops when they fail: as lines of a log that alerts can go by."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from trimtab.bootstrap.logs import open_log
from trimtab.bootstrap.settings import Settings
from trimtab.cli.loops import drive
from trimtab.control.loop_watch import LoopWatch
from trimtab.core.clock import SystemClock
from trimtab.core.errors import StorageError
from trimtab.telemetry.log_lines import LogHandler

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def _logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    monkeypatch.setattr("threading.excepthook", lambda *_: None)
    root, own = logging.getLogger(), logging.getLogger("trimtab")
    before = root.level, own.level
    yield
    for handler in [one for one in root.handlers if isinstance(one, LogHandler)]:
        root.removeHandler(handler)
    root.setLevel(before[0])
    own.setLevel(before[1])
    logging.captureWarnings(capture=False)


class Failing:
    def __init__(self, error: Exception, stop: threading.Event) -> None:
        self._error = error
        self._stop = stop

    def tick(self) -> list[str]:
        self._stop.set()
        raise self._error

    def close(self) -> None: ...


def told_of(error: Exception, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    open_log(Settings(log_format="json"))  # to the stderr of the test, not of its fixture
    stop = threading.Event()
    watch = LoopWatch(SystemClock())
    watch.began("evidence")
    drive("evidence", Failing(error, stop), watch, stop, 0.0)
    (line,) = capsys.readouterr().err.splitlines()
    read: dict[str, object] = json.loads(line)
    return read


@pytest.mark.usefixtures("_logged")
def test_what_is_foreseen_is_a_warning_with_where_and_how_to_mend_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = StorageError("list_failed", "cannot list", param="_log", hint="is there access?")
    told = told_of(error, capsys)
    assert (told["level"], told["loop"], told["code"]) == ("warning", "evidence", "list_failed")
    assert (told["param"], told["hint"]) == ("_log", "is there access?")
    assert told["message"] == "evidence: cannot list; next try in 0.0 s"


@pytest.mark.usefixtures("_logged")
def test_what_nobody_foresaw_is_an_error_with_its_stack_and_without_content(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = told_of(KeyError("what ada@example.com wrote"), capsys)
    assert (told["level"], told["loop"]) == ("error", "evidence")
    assert isinstance(told["error"], dict)
    assert told["error"]["stack"]
    assert "ada@example.com" not in json.dumps(told)
