"""OpenTelemetry's own SDK sends to a real server; what it traced is evidence afterwards."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from prometheus_client.parser import text_string_to_metric_families
from tests.free_port import free_port
from tests.own_environment import python_with

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


class Site:
    """A server, as a client sees it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.start()

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", "server", "--port", str(self.port)],
                cwd=self.root,
                env=inherited,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, (self.root / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.send("GET", "/healthz")[0] == 200
        except (OSError, HTTPException):
            return False

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): one for name, one in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def tracer(self, **headers: str) -> TracerProvider:
        provider = TracerProvider(resource=Resource({"service.name": "Order Bot"}))
        url = f"http://127.0.0.1:{self.port}/v1/traces"
        sender = OTLPSpanExporter(endpoint=url, headers=headers, compression=Compression.Gzip, timeout=20)
        provider.add_span_processor(SimpleSpanProcessor(sender))
        return provider

    def trimtab(self, *command: str) -> Any:
        ended = subprocess.run(
            [sys.executable, "-m", "trimtab", *command, "--json"],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def counts(self) -> dict[str, float]:
        page = self.send("GET", "/metrics")[1].decode()
        families = {family.name: family for family in text_string_to_metric_families(page)}
        family = families.get("trimtab_intake_spans")
        return {} if family is None else {one.labels["outcome"]: one.value for one in family.samples}

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)


@pytest.fixture
def site(tmp_path: Path, pushed: Callable[[Path], None]) -> Iterator[Site]:
    pushed(tmp_path)
    made = Site(tmp_path)
    yield made
    made.stop()


def call(provider: TracerProvider, **attributes: Any) -> str:
    """Trace one model call inside of another span; returns the id of the call's span."""
    tracer = provider.get_tracer("test")
    with (
        tracer.start_as_current_span("handle order", kind=SpanKind.SERVER),
        tracer.start_as_current_span("chat gpt-4o-mini", kind=SpanKind.CLIENT) as span,
    ):
        told = {name.replace("__", "."): value for name, value in attributes.items()}
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": 11,
                "gen_ai.usage.output_tokens": 7,
                "gen_ai.input.messages": json.dumps([{"role": "user", "content": "Where is my order?"}]),
                **told,
            }
        )
    return f"{span.get_span_context().span_id:016x}"


def test_what_an_application_traces_is_evidence(site: Site) -> None:
    provider = site.tracer()
    spans = [
        call(provider, trimtab__feature="support-reply", trimtab__release="support-reply#1"),
        call(provider, user__id="u1"),
    ]
    sql = "select id, feature, release_number, input_tokens, unit from generations order by began_at, id"
    rows = site.trimtab("evidence", "sql", sql)
    assert [row["id"][-16:] for row in rows] == spans
    assert [(row["feature"], row["release_number"], row["input_tokens"], row["unit"]) for row in rows] == [
        ("support-reply", 1, 11, ""),
        ("order-bot", 0, 11, "u1"),
    ]
    traced = site.trimtab("trace", rows[0]["id"])
    assert traced["release"] == "support-reply#1"
    assert traced["generation"]["messages"] == [{"role": "user", "content": "Where is my order?"}]
    assert site.counts() == {"recorded": 2, "no_call": 2, "refused": 0}
    site.process.kill()  # acknowledged means kept
    site.process.wait()
    site.start()
    assert len(site.trimtab("evidence", "sql", sql)) == 2


@pytest.mark.parametrize("name", ["langfuse", "openinference"])
def test_sdks_of_others_work_unchanged(site: Site, name: str) -> None:
    python = python_with(HERE / "requirements.txt")
    with subprocess.Popen(
        [sys.executable, "-m", "trimtab", "sim", "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as sim:
        assert sim.stderr is not None
        upstream = sim.stderr.readline().rpartition(" on ")[2].strip()
        ran = subprocess.run(
            [python, HERE / "senders.py", name, f"http://127.0.0.1:{site.port}", upstream],
            capture_output=True,
            text=True,
            timeout=90,
        )
        sim.terminate()
    assert ran.returncode == 0, ran.stderr[-2000:]
    columns = "feature, requested_model, messages, output, input_tokens, output_tokens, stream, cost_usd"
    rows = site.trimtab("evidence", "sql", f"select {columns} from generations order by began_at")
    assert [row["stream"] for row in rows] == ([False] if name == "langfuse" else [False, True])
    assert {(row["feature"], row["requested_model"]) for row in rows} == {("app", "gpt-4o-mini")}
    assert all("Where is A-1?" in row["messages"] and "A-1" in row["messages"] for row in rows)
    assert all(row["output"] and row["input_tokens"] and row["output_tokens"] for row in rows)
    assert rows[0]["cost_usd"] == (0.25 if name == "langfuse" else 0)


def test_keys_are_asked_for_once_there_are_some(site: Site) -> None:
    plane = open_control(load_settings(environ={"TRIMTAB_DIRECTORY": str(site.root / ".trimtab")}))
    _, secret = plane.create_key("support")
    plane.close()
    kind = {"content_type": "application/json"}
    deadline = time.monotonic() + 10
    while site.send("POST", "/v1/traces", b"{}", **kind)[0] != 401:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    basic = base64.b64encode(f"pk-lf-anything:{secret}".encode()).decode()
    for key in ({"authorization": f"Bearer {secret}"}, {"x_api_key": secret}, {"authorization": f"Basic {basic}"}):
        assert site.send("POST", "/v1/traces", b"{}", **kind, **key) == (200, b"{}")
    assert site.send("POST", "/api/public/otel/v1/traces", b"{}", **kind, authorization=f"Basic {basic}")[0] == 200
    for wrong in ("Bearer tk-wrong", "Basic !", "Basic " + base64.b64encode(b"x").decode(), secret):
        assert site.send("POST", "/v1/traces", b"{}", **kind, authorization=wrong)[0] == 401
    connection = HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(32 * 1024 * 1024))
    connection.endheaders()  # and not one byte of the body: who has no key is answered before it is read
    assert connection.getresponse().status == 401
    connection.close()
    call(site.tracer(authorization=f"Bearer {secret}"))
    assert site.counts()["recorded"] == 1


def test_what_cannot_be_taken_is_told(site: Site) -> None:
    tree = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "ab" * 16,
                                "spanId": "cd" * 8,
                                "name": "x",
                                "startTimeUnixNano": str(time.time_ns()),
                                "endTimeUnixNano": str(time.time_ns() + 1000),
                                "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}],
                            }
                        ]
                    }
                ]
            }
        ]
    }
    status, body = site.send("POST", "/v1/traces", json.dumps(tree).encode(), content_type="application/json")
    assert status == 200
    told = json.loads(body)["partialSuccess"]
    assert told["rejectedSpans"] == "1"
    assert told["errorMessage"] == "1 spans: it names no feature: trimtab.feature, service.name"
    (span,) = tree["resourceSpans"][0]["scopeSpans"][0]["spans"]
    span["attributes"].append({"key": "trimtab.feature", "value": {"stringValue": "order-bot"}})  # type: ignore[attr-defined]
    for days in (-401, 2):
        began = time.time_ns() + days * 86_400 * 10**9
        span |= {"startTimeUnixNano": str(began), "endTimeUnixNano": str(began)}
        body = site.send("POST", "/v1/traces", json.dumps(tree).encode(), content_type="application/json")[1]
        assert "longer ago than evidence is kept" in json.loads(body)["partialSuccess"]["errorMessage"]
    status, body = site.send("POST", "/v1/traces", b"\xff", content_type="application/x-protobuf")
    assert (status, b"no trace request" in body) == (400, True)
    assert site.send("POST", "/v1/traces", b"", content_type="text/plain")[0] == 415
    assert site.send("POST", "/v1/traces", b"", content_type="application/x-protobuf") == (200, b"")
    assert ExportTraceServiceResponse.FromString(b"") == ExportTraceServiceResponse()
    assert site.send("GET", "/v1/traces")[0] == 405
