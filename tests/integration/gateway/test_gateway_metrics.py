"""What Prometheus reads from gateways: the same figures whichever worker answers, and only for whom they are meant."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trimtab.serving.directory import DataDirectory
from trimtab.serving.snapshot_file import publish
from trimtab.telemetry.access import MetricsAccess
from trimtab.telemetry.tally_file import TallyKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY = {"model": "support-reply", "messages": [{"role": "user", "content": "order Q-1"}]}
TOKEN = "scraper-token-0123456789"


def send(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"content-type": "application/json", **given})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def figures(page: str) -> dict[str, float]:
    """Samples by name and labels, as Prometheus' own parser reads them."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        assert family.documentation
        for sample in family.samples:
            key = f"{sample.name} {json.dumps(sample.labels, sort_keys=True)}"
            assert key not in found, f"told twice: {key}"
            found[key] = sample.value
    return found


def named(found: dict[str, float], name: str, **labels: str) -> float:
    """The sum of the series of a name that have these labels."""
    return sum(
        value
        for key, value in found.items()
        if key.partition(" ")[0] == name and labels.items() <= json.loads(key.partition(" ")[2]).items()
    )


def scrape(port: int, **headers: str) -> dict[str, float]:
    status, page = send(port, "GET", "/metrics", **headers)
    assert status == 200, page
    return figures(page)


@pytest.fixture
def workers(tmp_path: Path, stack: Callable[..., Any], snapshot: Any, release: Any) -> Iterator[int]:
    """Port of `trimtab gateway --workers 2` over a data directory."""
    host, port = stack().upstream_address
    directory = DataDirectory(tmp_path / "data")
    publish(directory.snapshot("production"), snapshot(release(system="Answer.")))
    settings = tmp_path / "trimtab.toml"
    settings.write_text(
        'directory = "data"\n[gateway]\ndrain_idle_seconds = 0.1\n'
        f'[providers.openai]\nbase_url = "http://{host}:{port}/v1"\napi_key_env = ""\n'
    )
    command = [sys.executable, "-m", "trimtab", "--config", str(settings), "gateway", "--workers", "2", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        said = ""
        while "gateway listening" not in said:
            said = process.stderr.readline()
            assert said, "it did not start"
        rest = threading.Thread(target=process.stderr.read)
        rest.start()
        yield int(said.rpartition(":")[2].partition("/")[0])
        process.terminate()
        process.wait(20)
        rest.join()


def test_the_figures_are_right_whichever_worker_is_asked(
    workers: int, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    for index in range(60):
        assert send(workers, "POST", "/v1/chat/completions", BODY | {"user": f"u{index}"})[0] == 200
    eventually(lambda: named(scrape(workers), "trimtab_requests_total") == 60)
    processes = {json.loads(send(workers, "GET", "/healthz")[1])["process"] for _ in range(40)}
    assert len(processes) == 2
    served = {"environment": "production", "feature": "support-reply", "release": "support-reply#1", "arm": "stable"}
    for _ in range(20):
        found = scrape(workers)
        assert named(found, "trimtab_requests_total", **served, status="ok") == 60
        assert named(found, "trimtab_request_duration_seconds_count", **served) == 60
        assert named(found, "trimtab_request_duration_seconds_bucket", le="+Inf") == 60
        assert named(found, "trimtab_processes", kind="gateway", state="serving") == 2
        assert named(found, "trimtab_snapshot_served_revision") == 1
    assert named(found, "trimtab_tokens_total", **served, type="output") > 0
    assert named(found, "trimtab_cost_usd_total", **served) > 0
    eventually(lambda: named(scrape(workers), "trimtab_events_recorded_total", kind="gateway") == 60)
    os.kill(int(processes.pop().split("-")[1]), 9)  # what a killed worker counted stays counted
    for _ in range(10):
        assert send(workers, "POST", "/v1/chat/completions", BODY)[0] == 200
    eventually(lambda: named(scrape(workers), "trimtab_requests_total") == 70)
    eventually(lambda: named(scrape(workers), "trimtab_events_recorded_total") == 70)


def test_a_server_that_counts_on_the_same_machine_is_left_to_it(
    workers: int, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    assert send(workers, "POST", "/v1/chat/completions", BODY)[0] == 200
    eventually(lambda: named(scrape(workers), "trimtab_requests_total") == 1)
    keeper = TallyKeeper(DataDirectory(tmp_path / "data"))
    assert send(workers, "POST", "/v1/chat/completions", BODY)[0] == 200

    def both() -> bool:
        keeper.catch_up(now_ms=0, limit=100)
        return named(scrape(workers), "trimtab_requests_total") == 2

    eventually(both)


def test_errors_and_streams_are_told_apart(stack: Callable[..., Any], release: Any, eventually: Any) -> None:
    here = stack(release(system="Answer."))
    assert send(here.port, "POST", "/v1/chat/completions", BODY | {"stream": True})[0] == 200
    refused = send(here.port, "POST", "/v1/chat/completions", BODY | {"temperature": 1})
    assert refused[0] == 400
    eventually(lambda: named(scrape(here.port), "trimtab_requests_total") == 2)
    found = scrape(here.port)
    assert named(found, "trimtab_requests_total", status="error") == 1
    assert named(found, "trimtab_request_errors_total", code="pinned_field") == 1
    assert named(found, "trimtab_time_to_first_token_seconds_count") == 1


def hash_key(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@pytest.mark.parametrize(
    ("keys", "access", "sent", "status"),
    [
        ("", MetricsAccess(), "", 200),
        ("tk-good", MetricsAccess(), "", 401),
        ("tk-good", MetricsAccess(), "tk-good", 200),
        ("tk-good", MetricsAccess(open=True), "", 200),
        ("tk-good", MetricsAccess(token=TOKEN), "", 401),
        ("tk-good", MetricsAccess(token=TOKEN), "tk-good", 401),
        ("tk-good", MetricsAccess(token=TOKEN), TOKEN, 200),
        ("", MetricsAccess(token=TOKEN), "", 401),
        ("", MetricsAccess(token=TOKEN), TOKEN, 200),
        ("", MetricsAccess(token=TOKEN), TOKEN + "x", 401),
    ],
)
def test_who_may_read_figures(
    stack: Callable[..., Any], keys: str, access: MetricsAccess, sent: str, status: int
) -> None:
    here = stack(keys={hash_key(keys): "support"} if keys else {}, metrics=access)
    given = {"authorization": f"Bearer {sent}"} if sent else {}
    answered, page = send(here.port, "GET", "/metrics", **given)
    assert (answered, "trimtab_build_info" in page) == (status, status == 200)
    if keys and access.token:  # the scraper's token opens nothing else
        assert send(here.port, "POST", "/v1/chat/completions", BODY, authorization=f"Bearer {TOKEN}")[0] == 401
    assert TOKEN not in repr(access)


def test_figures_are_read_and_nothing_else(stack: Callable[..., Any]) -> None:
    here = stack()
    assert send(here.port, "POST", "/metrics", {})[0] == 405
    assert send(here.port, "GET", "/metrics", host="evil.example")[0] == 403
