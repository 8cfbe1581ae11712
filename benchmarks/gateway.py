"""What the gateway adds to a call: paired with the same calls sent straight to the upstream, in the same run.

Three processes: an upstream that answers at once, the gateway in front of it, and this one, which drives both in
alternating rounds. Quoted are the ratio and the CPU time per request of the gateway process, for rates alone say more
about the machine than about the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.gateway.config import GatewayConfig
from trimtab.gateway.server import run as run_gateway
from trimtab.providers.endpoint import Endpoint
from trimtab.providers.http import HttpServer, UpstreamClient, fetch
from trimtab.providers.http.message import JSON_CONTENT
from trimtab.releases.model import CompiledRelease
from trimtab.serving.directory import DataDirectory
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import Route, Snapshot
from trimtab.serving.snapshot_file import publish

ROUNDS, SECONDS, CONNECTIONS = 4, 1.0, 16
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Your order is on its way. " * 8},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 40, "completion_tokens": 48, "total_tokens": 88},
    }
).encode()
BODY = json.dumps(
    {
        "model": "support-reply",
        "user": "user-1",
        "messages": [{"role": "user", "content": "Where is my order A-1007? It was due last week."}],
        "trimtab": {"variables": {"shop": "Acme"}},
    }
).encode()


class Instant:
    """Answers everything with the same completion."""

    def admit(self, _request: Any) -> None:
        return None

    def handle(self, exchange: Any) -> None:
        exchange.respond(200, ANSWER, JSON_CONTENT)

    def refuse(self, exchange: Any, refusal: Any) -> None:
        exchange.respond(refusal.status, b"{}")


def snapshot() -> Snapshot:
    prompt = PromptContent(
        messages=[PromptMessage(role="system", content="You answer customers of {{ shop }} from the order data only.")],
        variables={"type": "object", "properties": {"shop": {"type": "string"}}, "required": ["shop"]},
    )
    model = ModelContent(provider="openai", model="gpt-4o-mini-2024-07-18", parameters={"temperature": 0.2})
    release = CompiledRelease(digest=f"sha256:{1:064x}", feature="support-reply", number=1, prompt=prompt, model=model)
    return Snapshot(
        revision=1,
        environment="production",
        published_at_ms=0,
        routes=[Route(feature="support-reply", stable=release.digest)],
        releases={release.digest: release},
    )


def serve_upstream() -> None:
    async def serve() -> None:
        _, port = await HttpServer(Instant()).start("127.0.0.1", 0)
        print(port, flush=True)
        await asyncio.Event().wait()

    uvloop.run(serve())


def serve_gateway(upstream: str, root: str) -> None:
    directory = DataDirectory(Path(root))
    publish(directory.snapshot("production"), snapshot())
    plane = DataPlane.open(directory, environment="production", kind="gateway")
    run_gateway(
        GatewayConfig(port=0, drain_seconds=1),
        plane,
        {"openai": Endpoint(name="openai", base_url=upstream)},
        on_ready=lambda _, port: print(port, flush=True),
    )
    plane.close()


@contextlib.contextmanager
def child(*arguments: str) -> Any:
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.terminate()


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process; 0 where the system does not tell."""
    tasks = Path(f"/proc/{pid}/task")
    return (
        sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
        if tasks.exists()
        else 0.0
    )


async def drive(port: int, seconds: float, connections: int) -> list[float]:
    """Return the latency of every call, in seconds, of `connections` callers in a closed loop."""
    client = UpstreamClient(f"http://127.0.0.1:{port}/v1")
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < until:
            reply = await fetch(client, b"POST", b"/chat/completions", body=BODY)
            assert reply.status == 200, reply.body
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(connections)))
    await client.close()
    return latencies


async def measure(direct: int, through: int, pid: int) -> dict[str, float]:
    await drive(through, SECONDS / 2, CONNECTIONS)
    ratios, single, cpu, calls = [], [], 0.0, 0
    for _ in range(ROUNDS):
        straight = await drive(direct, SECONDS, CONNECTIONS)
        began = cpu_seconds(pid)
        proxied = await drive(through, SECONDS, CONNECTIONS)
        cpu += cpu_seconds(pid) - began
        calls += len(proxied)
        ratios.append(len(proxied) / len(straight))
        alone = [statistics.median(await drive(port, SECONDS / 4, 1)) for port in (direct, through)]
        single.append(alone[1] - alone[0])
    return {
        "throughput_ratio_to_direct": round(statistics.median(ratios), 3),
        "cpu_us_per_request": round(cpu / calls * 1e6, 1),
        "added_latency_one_connection_us": round(statistics.median(single) * 1e6, 1),
        "calls": calls,
    }


def paired() -> dict[str, float]:
    """Run the pair and return the figures."""
    with (
        tempfile.TemporaryDirectory() as root,
        child("upstream") as (_, direct),
        child("gateway", f"http://127.0.0.1:{direct}/v1", root) as (process, through),
    ):
        return uvloop.run(measure(direct, through, process.pid))


def main() -> None:
    for name, value in paired().items():
        print(f"{name:36} {value:>12}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream"]:
            serve_upstream()
        case ["gateway", upstream, root]:
            serve_gateway(upstream, root)
        case _:
            main()
