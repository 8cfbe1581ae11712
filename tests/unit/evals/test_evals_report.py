"""Reports of test suites, as their tools write them, counted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import InputError
from trimtab.evals.report import judged, read_report
from trimtab.evals.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

PYTEST_FILE = """\
import pytest

def test_passes(): pass
def test_fails(): assert False
def test_skipped(): pytest.skip()

@pytest.fixture
def broken(): raise RuntimeError("no model")

def test_breaks(broken): pass

@pytest.mark.xfail
def test_expected(): assert False
"""

JEST = b"""<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="jest tests" tests="3" failures="1" errors="0" time="1.9">
  <testsuite name="refunds" errors="0" failures="1" skipped="0" timestamp="2026-01-01T00:00:00" time="1.1" tests="3">
    <properties><property name="failure" value="not a case"/></properties>
    <testcase classname="refunds names the policy" name="refunds names the policy" time="0.4"></testcase>
    <testcase classname="refunds" name="refunds &lt;is&gt; polite
      to everybody" time="0.4"><failure>Error: rude</failure><system-out><![CDATA[<failure/>]]></system-out></testcase>
    <testcase classname="refunds" name="refunds answers in German" time="0.3"/>
  </testsuite>
</testsuites>"""


def promptfoo(*results: tuple[bool, int], described: str = "", whole: bool = True) -> bytes:
    """What `promptfoo eval -o results.json` writes, in its third format."""
    rows: list[dict[str, Any]] = [
        {
            "cost": 0.001,
            "failureReason": reason,
            "gradingResult": {"pass": success, "score": float(success), "reason": "…", "componentResults": []},
            "id": "r1",
            "latencyMs": 812,
            "namedScores": {},
            "prompt": {"raw": "Answer {{question}}", "label": "support"},
            "promptIdx": 0,
            "provider": {"id": "openai:gpt-4o-mini", "label": ""},
            "response": {"output": "Yes.", "tokenUsage": {"total": 31}},
            "score": float(success),
            "success": success,
            "testCase": {"vars": {"question": "?"}} | ({"description": described} if described else {}),
            "testIdx": index,
            "vars": {"question": "?"},
        }
        for index, (success, reason) in enumerate(results)
    ]
    summary = {
        "version": 3,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "prompts": [],
        "results": rows,
        "stats": {"successes": 0, "failures": 0, "errors": 0, "tokenUsage": {}},
    }
    document = {"evalId": "eval-x", "results": summary, "config": {}, "shareableUrl": None, "metadata": {}}
    return json.dumps(document if whole else summary).encode()


def test_what_pytest_writes_is_counted_case_by_case(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PYTEST_FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=out.xml", "test_it.py"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    report = read_report((tmp_path / "out.xml").read_bytes())
    assert report.format == "junit"
    assert report.tally == Tally(passed=1, failed=1, errors=1, skipped=2, examples=("test_fails", "test_breaks"))
    assert report.tally.text == "1 of 3 cases passed, 1 ended in an error; not passed: test_fails, test_breaks"


def test_what_jest_writes_is_counted_too() -> None:
    tally = read_report(JEST).tally
    assert tally == Tally(passed=2, failed=1, examples=("refunds <is> polite to everybody",))


def test_what_promptfoo_writes_is_counted_with_errors_apart() -> None:
    report = read_report(promptfoo((True, 0), (False, 1), (False, 2), (True, 0), described="asks\nfor a refund"))
    assert report.format == "promptfoo"
    assert report.tally == Tally(passed=2, failed=1, errors=1, examples=("asks for a refund", "asks for a refund"))
    assert read_report(promptfoo((True, 0), whole=False)).tally == Tally(passed=1)


def test_only_a_few_names_are_kept_and_none_is_endless() -> None:
    cases = "".join(f'<testcase name="{"x" * 200}{n}"><failure/></testcase>' for n in range(9))
    tally = read_report(f"<testsuite>{cases}</testsuite>".encode()).tally
    assert (tally.failed, [len(name) for name in tally.examples]) == (9, [80, 80, 80])


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", "unknown_report", "neither JUnit's XML nor promptfoo's JSON"),
        (b"1..3\nok 1\n", "unknown_report", "pytest --junit-xml"),
        (b"<html><body>502</body></html>", "unknown_report", "`<html>` is not JUnit's XML"),
        (b"<testsuites><testsuite>", "malformed_report", "not XML"),
        (b'{"results": ', "malformed_report", "not JSON"),
        (b'{"results": {"stats": {}}}', "unknown_report", "promptfoo eval -o results.json"),
        (b'{"results": [{"success": "yes"}]}', "unknown_report", "promptfoo"),
        (b"<testsuites/>", "empty_report", "no case of this suite ran"),
        (b"<testsuite><testcase name='a'><skipped/></testcase></testsuite>", "empty_report", "no case"),
        (promptfoo(), "empty_report", "no case"),
    ],
)
def test_what_says_nothing_is_refused_and_never_taken_for_a_pass(data: bytes, code: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_report(data)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_xml_that_would_grow_while_it_is_read_is_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><testsuite>&b;</testsuite>'
    outside = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite>&a;</testsuite>'
    for data in (bomb, outside):
        with pytest.raises(InputError, match="entities"):
            read_report(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_counted_or_refused(data: bytes) -> None:
    for start in (b"", b"<testsuite>", b"{"):
        with contextlib.suppress(InputError):
            assert read_report(start + data).tally.ran > 0


@pytest.mark.parametrize(
    ("passed", "failed", "threshold", "verdict"),
    [(10, 0, 1.0, True), (9, 1, 1.0, False), (9, 1, 0.9, True), (7, 93, 0.07, True), (6, 94, 0.07, False)],
)
def test_the_share_that_must_pass_is_met_exactly(passed: int, failed: int, threshold: float, *, verdict: bool) -> None:
    assert judged(Tally(passed=passed, failed=failed), threshold) is verdict


def test_errors_do_not_pass_and_skipped_cases_do_not_count() -> None:
    assert judged(Tally(passed=9, errors=1, skipped=50), 0.9)
    assert not judged(Tally(passed=9, errors=1, skipped=50), 0.95)
    assert not judged(Tally(skipped=5), 0.5)
