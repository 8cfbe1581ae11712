"""The SDK: what importing costs, and what resolving, rendering, recording and wrapping add to a request.

Every figure stands beside a peer or a floor measured in the same run, turn by turn. `python -m benchmarks.sdk`.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import minijinja

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.canonical import canonical_digest
from trimtab.releases.model import CompiledRelease
from trimtab.sdk.client import Trimtab
from trimtab.serving.directory import DataDirectory
from trimtab.serving.snapshot import RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
TEMPLATE = "You answer customers of {{ shop }}. Be {{ tone }}. Reply with one JSON object and nothing else."
VARIABLES = {"shop": "Acme", "tone": "kind"}
IMPORTS = {
    "import trimtab": "import trimtab",
    "import trimtab; trimtab.Trimtab": "import trimtab; trimtab.Trimtab",
    "floor: import msgspec": "import msgspec",
    "peer: import openfeature.api": "import openfeature.api",
    "peer: import openai": "import openai",
}


def import_costs() -> dict[str, float]:
    """Process CPU in ms beyond bare Python, median of rounds, one of each per round."""
    programs = {"bare": "pass", **IMPORTS}
    samples: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", program], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            samples[name].append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)
    bare = statistics.median(samples.pop("bare"))
    return {name: statistics.median(values) - bare for name, values in samples.items()}


def paired(cases: dict[str, Callable[[], Any]], *, calls: int, rounds: int = ROUNDS) -> dict[str, float]:
    """Thread CPU in µs per call, median of rounds, the cases taking turns."""
    samples: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            start = time.thread_time_ns()
            for _ in range(calls):
                case()
            samples[name].append((time.thread_time_ns() - start) / calls / 1e3)
    return {name: statistics.median(values) for name, values in samples.items()}


def _release(number: int) -> CompiledRelease:
    names = {name: {"type": "string"} for name in VARIABLES}
    return CompiledRelease(
        digest=canonical_digest(number),
        feature="support-reply",
        number=number,
        prompt=PromptContent(
            messages=[PromptMessage(role="system", content=TEMPLATE)],
            variables={"type": "object", "properties": names, "required": list(names), "additionalProperties": False},
        ),
        model=ModelContent(provider="openai", model="gpt-a", parameters={"temperature": 0.2}),
    )


def _published(root: Path) -> None:
    stable, candidate = _release(1), _release(2)
    rollout = RolloutRoute(
        id="rol_1", candidate=candidate.digest, salt="s", stage=1, state="progressing", weight=0.1, control_weight=0.1
    )
    snapshot = Snapshot(
        revision=1,
        environment="production",
        published_at_ms=1,
        routes=[Route(feature="support-reply", stable=stable.digest, rollout=rollout)],
        releases={release.digest: release for release in (stable, candidate)},
    )
    publish(DataDirectory(root).snapshot("production"), snapshot)


def request_costs(tt: Trimtab) -> dict[str, float]:
    """What one request pays, beside a flag SDK that looks up a dict and the bare template engines."""
    import jinja2
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    api.set_provider_and_wait(InMemoryProvider({"support-reply": InMemoryFlag("a", {"a": "support-reply#1"})}))
    peer = api.get_client()
    context = EvaluationContext(targeting_key="u1")
    engine = minijinja.Environment(templates={"0": TEMPLATE})
    compiled = jinja2.Environment(autoescape=False).from_string(TEMPLATE)
    resolved = tt.resolve("support-reply", unit="u1")
    rendered = resolved.render(**VARIABLES)
    cases: dict[str, Callable[[], Any]] = {
        "resolve": lambda: tt.resolve("support-reply", unit="u1"),
        "peer: OpenFeature in-memory flag": lambda: peer.get_string_details("support-reply", "", context),
        "render a resolved release": lambda: resolved.messages(VARIABLES),
        "floor: minijinja alone": lambda: engine.render_template("0", **VARIABLES),
        "peer: jinja2 alone": lambda: compiled.render(VARIABLES),
        "record": lambda: tt.record(rendered, output="ok", usage={"input_tokens": 10, "output_tokens": 5}),
    }
    try:
        return paired(cases, calls=2000)
    finally:
        api.clear_providers()


ANSWER = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"gpt-a","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"ok"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,'
    b'"total_tokens":2}}'
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)


def wrapper_costs(tt: Trimtab) -> dict[str, float]:
    """A whole call through the `openai` client, wrapped and not."""
    from openai import OpenAI

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ask = {"role": "user", "content": "Where is my order?"}
    system = {"role": "system", "content": minijinja.Environment().render_str(TEMPLATE, **VARIABLES)}
    with OpenAI(base_url=f"http://127.0.0.1:{server.server_address[1]}/v1", api_key="k") as plain:
        wrapped: Any = tt.wrap(plain)
        create: Any = plain.chat.completions.create
        options = {"variables": VARIABLES}
        result = paired(
            {
                "wrapped openai client": lambda: wrapped.chat.completions.create(
                    model="support-reply", messages=[ask], user="u1", trimtab=options
                ),
                "floor: openai client, same request": lambda: create(
                    model="gpt-a", messages=[system, ask], user="u1", temperature=0.2
                ),
            },
            calls=4,
            rounds=60,
        )
    server.shutdown()
    server.server_close()
    return result


def main() -> None:
    """Print every figure."""
    print("import (ms of process CPU beyond bare Python)")
    for name, cost in import_costs().items():
        print(f"  {name:<36} {cost:8.1f}")
    with tempfile.TemporaryDirectory() as folder:
        _published(Path(folder))
        with Trimtab(folder) as tt:
            print("per call (µs of CPU on the calling thread)")
            for name, cost in {**request_costs(tt), **wrapper_costs(tt)}.items():
                print(f"  {name:<36} {cost:8.1f}")


if __name__ == "__main__":
    main()
