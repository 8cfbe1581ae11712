"""Mirrored requests: after the user's answer, in nobody's way, harmless at the provider, on money of their own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from trimtab.control.running import read_running
from trimtab.events import Generation
from trimtab.serving.snapshot import RolloutRoute
from trimtab.serving.team_limit import TeamLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STABLE, CANDIDATE = "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06"
ASK: dict[str, Any] = {"model": "support-reply", "user": "u1", "trimtab": {"variables": {"shop": "Acme"}}}
CHAT = {**ASK, "messages": [{"role": "user", "content": "Where is order A-1007?"}]}
RESPONSES = {**ASK, "input": "Where is order A-1007?"}


class Provider(ThreadingHTTPServer):
    """Answers chat completions and Responses; the candidate's model hangs until `go`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.go = threading.Event()
        self.go.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def of(self, model: str) -> list[dict[str, Any]]:
        return [body for body in list(self.requests) if body["model"] == model]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(body)
        if body["model"] == CANDIDATE:
            self.server.go.wait(20)
        usage = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}
        message = {"role": "assistant", "content": "On its way."}
        answer: dict[str, Any] = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
        if self.path.endswith("/responses"):
            text = {"type": "output_text", "text": "On its way.", "annotations": []}
            said = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
            answer = {
                "id": "resp_1",
                "object": "response",
                "created_at": 1,
                "status": "completed",
                "model": body["model"],
                "output": [said],
                "usage": {"input_tokens": 1000, "output_tokens": 1000, "total_tokens": 2000},
            }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def shadowed(stack: Callable[..., Any], release: Callable[..., Any], provider: Provider) -> Callable[..., Any]:
    """A gateway whose every request is mirrored; keywords beginning with `shadow_` are the rollout's."""

    def make(*, api: str = "chat", price: bool = True, **parts: Any) -> Any:
        candidate = release(2, model=CANDIDATE, api=api)
        rules = {name: parts.pop(name) for name in list(parts) if name in {"shadow_budget_usd", "shadow_hosted_tools"}}
        rollout = RolloutRoute(
            id="ro_1", candidate=candidate.digest, salt="s", stage=0, state="shadowing", shadow=1.0, **rules
        )
        if not price:
            parts["prices"] = {}
        return stack(release(api=api), candidate, rollout=rollout, upstream=provider.url, **parts)

    return make


def ask(here: Any, body: dict[str, Any], path: str = "/chat/completions", **headers: str) -> httpx2.Response:
    return httpx2.post(f"{here.base_url}{path}", json=body, headers=headers, timeout=10)


def shadows(here: Any, count: int, eventually: Callable[..., None]) -> list[Generation]:
    def found() -> list[Generation]:
        return [one for one in here.events() if isinstance(one, Generation) and one.arm == "shadow"]

    eventually(lambda: len(found()) >= count)
    assert len(found()) == count
    return found()


def test_users_are_answered_while_every_mirror_hangs_and_what_waits_is_bounded(
    shadowed: Callable[..., Any], provider: Provider, eventually: Callable[..., None]
) -> None:
    provider.go.clear()
    here = shadowed(mirror_concurrency=3, mirror_queue=4)
    for _ in range(30):  # each of these would wait for the candidate if anything of a mirror were in its way
        assert ask(here, CHAT).json()["choices"][0]["message"]["content"] == "On its way."
    assert not provider.go.is_set()
    health = httpx2.get(f"{here.base_url.removesuffix('/v1')}/healthz").json()
    assert health["mirrors"] == {"sent": 3, "pending": 7, "dropped": 23}
    assert len(provider.of(CANDIDATE)) <= 3
    dropped = shadows(here, 23, eventually)
    assert {(one.status, one.error_code) for one in dropped} == {("aborted", "mirror_overloaded")}
    provider.go.set()
    assert len([one for one in shadows(here, 30, eventually) if one.status == "ok"]) == 7
    assert len(provider.of(STABLE)) == 30


def test_the_mirror_leaves_only_after_the_users_answer(
    shadowed: Callable[..., Any], provider: Provider, eventually: Callable[..., None]
) -> None:
    here = shadowed()
    answered, before = threading.Event(), []
    submit = here.gateway.application.mirrors.submit

    def watched(mirror: Any) -> None:  # holds the loop: what has not left by now cannot leave before
        before.append(answered.wait(5))
        submit(mirror)

    here.gateway.application.mirrors.submit = watched
    ask(here, CHAT)
    answered.set()
    shadows(here, 1, eventually)
    assert before == [True]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"tools": [{"type": "web_search"}]}, "mirror_hosted_tool.web_search"),
        (
            {"tools": [{"type": "mcp", "server_label": "crm", "server_url": "https://crm.example"}]},
            "mirror_hosted_tool.mcp",
        ),
        ({"conversation": "conv_1"}, "mirror_kept_state.conversation"),
    ],
)
def test_what_would_be_done_at_the_provider_is_not_mirrored_and_said(
    shadowed: Callable[..., Any],
    provider: Provider,
    eventually: Callable[..., None],
    more: dict[str, Any],
    code: str,
) -> None:
    here = shadowed(api="responses")
    assert ask(here, {**RESPONSES, **more}, "/responses").status_code == 200
    (shadow,) = shadows(here, 1, eventually)
    assert (shadow.status, shadow.error_code, shadow.http_status) == ("aborted", code, 0)
    assert len(provider.of(STABLE)) == 1
    assert provider.of(CANDIDATE) == []


def test_a_hosted_tool_that_the_plan_calls_free_of_side_effects_runs_for_the_mirror_too(
    shadowed: Callable[..., Any], provider: Provider, eventually: Callable[..., None]
) -> None:
    here = shadowed(api="responses", shadow_hosted_tools=["web_search"])
    ask(here, {**RESPONSES, "tools": [{"type": "web_search_preview"}]}, "/responses")
    (shadow,) = shadows(here, 1, eventually)
    assert shadow.status == "ok"
    assert provider.of(CANDIDATE)[0]["tools"] == [{"type": "web_search_preview"}]


def test_functions_go_along_and_results_of_stables_calls_with_them(
    shadowed: Callable[..., Any], provider: Provider, eventually: Callable[..., None]
) -> None:
    here = shadowed()
    function = {"type": "function", "function": {"name": "refund", "parameters": {"type": "object", "properties": {}}}}
    call = {"id": "call_1", "type": "function", "function": {"name": "refund", "arguments": "{}"}}
    turns = [
        *CHAT["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "refunded"},
    ]
    ask(here, {**CHAT, "messages": turns, "tools": [function]})
    shadows(here, 1, eventually)
    (sent,) = provider.of(CANDIDATE)
    assert sent["messages"][1:] == turns
    assert sent["tools"] == [function]


def test_nothing_of_a_mirror_is_stored_at_the_provider(
    shadowed: Callable[..., Any], provider: Provider, eventually: Callable[..., None]
) -> None:
    here = shadowed(api="responses")
    ask(here, {**RESPONSES, "background": False}, "/responses")
    shadows(here, 1, eventually)
    assert "store" not in provider.of(STABLE)[0]  # the user's own request goes as it came
    assert provider.of(CANDIDATE)[0]["store"] is False
    assert "background" not in provider.of(CANDIDATE)[0]


def test_a_steps_budget_ends_its_mirrors_and_no_users_request(
    shadowed: Callable[..., Any], provider: Provider, eventually: Callable[..., None]
) -> None:
    here = shadowed(shadow_budget_usd=0.004)  # 1,000 tokens in and out at 1 and 2 USD a million: 0.003 each
    for count in range(1, 6):
        assert ask(here, CHAT).status_code == 200
        shadows(here, count, eventually)
    told = [(one.status, one.error_code) for one in shadows(here, 5, eventually)]
    assert sorted(told) == [*3 * [("aborted", "mirror_budget_spent")], *2 * [("ok", "")]]
    assert len(provider.of(CANDIDATE)) == 2


def test_a_budget_of_money_needs_a_price(
    shadowed: Callable[..., Any], provider: Provider, eventually: Callable[..., None]
) -> None:
    here = shadowed(shadow_budget_usd=1.0, price=False)
    ask(here, CHAT)
    assert shadows(here, 1, eventually)[0].error_code == "mirror_unpriced"
    assert provider.of(CANDIDATE) == []


def test_a_teams_shadow_limits_are_apart_from_its_own(
    shadowed: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    here = shadowed(
        shadow_limits={"support": TeamLimit(requests_per_minute=2)}, limits={"*": TeamLimit(usd_per_day=100.0)}
    )
    for _ in range(4):
        assert ask(here, CHAT).status_code == 200
    codes = sorted(one.error_code for one in shadows(here, 4, eventually))
    assert codes == ["", "", "mirror_rate_limited", "mirror_rate_limited"]
    health = httpx2.get(f"{here.base_url.removesuffix('/v1')}/healthz").json()
    (shadow,) = health["shadow_limits"]
    (own,) = health["limits"]
    assert (shadow["team"], shadow["spent_usd_today"]) == ("support", pytest.approx(2 * 0.003))
    assert own["spent_usd_today"] == pytest.approx(4 * 0.003)


def test_what_became_of_mirrors_is_in_the_process_status(
    shadowed: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    here = shadowed(shadow_limits={"*": TeamLimit(requests_per_minute=1)})
    for _ in range(3):
        ask(here, CHAT)
    shadows(here, 3, eventually)
    now_ms = here.plane.clock.now_ms

    def mirrors() -> Any:
        report = read_running(here.directory, environment="production", feature=None, window_minutes=5, now_ms=now_ms())
        rollout = report.features[0].rollout
        return rollout.mirrors if rollout else None

    def told() -> int:  # the status is written once a second
        seen = mirrors()
        return 0 if seen is None else seen.answered + sum(seen.missed.values())

    eventually(lambda: told() == 3)
    found = mirrors()
    assert (found.answered, found.failed, found.missed) == (1, {}, {"mirror_rate_limited": 2})
    assert found.cost_usd == pytest.approx(0.003)
    assert found.words == "Of 3 requests to be mirrored, 1 were answered: 2 were not sent (mirror_rate_limited 2)."
