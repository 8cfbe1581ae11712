"""A gateway in front of a simulator, both in one loop on their own thread, over a real data directory."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import openai
import pytest

from trimtab.artifacts.model import (
    AdapterContent,
    ModelContent,
    PromptContent,
    PromptMessage,
    SchemaContent,
    ToolsContent,
)
from trimtab.events import Event, Generation
from trimtab.gateway.config import GatewayConfig
from trimtab.gateway.server import Gateway
from trimtab.providers.endpoint import Endpoint
from trimtab.providers.http import HttpServer
from trimtab.releases.model import CompiledRelease, Fallback, wire_of
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal_reader import JournalPosition, read_journal
from trimtab.serving.runtime import DataPlane
from trimtab.serving.snapshot import Price, RolloutRoute, Route, Snapshot
from trimtab.serving.snapshot_file import publish
from trimtab.sim.config import SimConfig
from trimtab.sim.server import SimApplication

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

FEATURE = "support-reply"
VARIABLES = {
    "type": "object",
    "properties": {"shop": {"type": "string"}},
    "required": ["shop"],
    "additionalProperties": False,
}


def make_release(
    number: int = 1,
    *,
    feature: str = FEATURE,
    system: str = "You answer customers of {{ shop }} in JSON.",
    model: str = "gpt-4o-mini-2024-07-18",
    provider: str = "openai",
    parameters: dict[str, Any] | None = None,
    tools: ToolsContent | None = None,
    schema: SchemaContent | None = None,
    steps: list[Any] | None = None,
    fallbacks: list[Fallback] | None = None,
    api: Any = None,
) -> CompiledRelease:
    called = ModelContent(provider=provider, model=model, parameters=parameters or {"temperature": 0.2})
    if api is not None:
        called = msgspec.structs.replace(called, api=api)
    return CompiledRelease(
        digest=f"sha256:{feature.encode().hex()[:8]:0<8}{number:056d}",
        feature=feature,
        number=number,
        prompt=PromptContent(
            messages=[PromptMessage(role="system", content=system)],
            variables=VARIABLES if "shop" in system else {"type": "object", "additionalProperties": False},
        ),
        model=called,
        wire=wire_of(called),
        tools=tools,
        schema=schema,
        adapter=AdapterContent(output=steps) if steps else None,
        fallbacks=fallbacks or [],
    )


def make_snapshot(
    *releases: CompiledRelease,
    revision: int = 1,
    rollout: RolloutRoute | None = None,
    keys: dict[str, str] | None = None,
    capture: bool = True,
    prices: dict[str, Price] | None = None,
) -> Snapshot:
    """The first release of each feature is its stable one."""
    stable: dict[str, CompiledRelease] = {}
    for one in releases:
        stable.setdefault(one.feature, one)
    routes = [
        Route(
            feature=feature,
            stable=one.digest,
            team="support",
            capture_content=capture,
            rollout=rollout if feature == FEATURE else None,
        )
        for feature, one in stable.items()
    ]
    return Snapshot(
        revision=revision,
        environment="production",
        published_at_ms=1_760_000_000_000,
        routes=routes,
        releases={one.digest: one for one in releases},
        prices={one.digest: Price(input_usd=1.0, output_usd=2.0) for one in releases} if prices is None else prices,
        fallback_prices={one.digest: [Price(input_usd=10.0, output_usd=20.0)] for one in releases if one.fallbacks},
        keys=keys or {},
    )


class Stack:
    """What a test sees."""

    def __init__(self, root: Path, first: Snapshot, *, sim: SimConfig, upstream: str, config: dict[str, Any]) -> None:
        self.directory = DataDirectory(root)
        publish(self.directory.snapshot("production"), first)
        self.plane = DataPlane.open(self.directory, environment="production", kind="gateway")
        self.sim = SimApplication(sim)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stack")
        self._thread.start()
        self._upstream = HttpServer(self.sim)
        self.upstream_address = host, port = self.run(self._upstream.start("127.0.0.1", 0))
        self.endpoints = endpoints = {
            "openai": Endpoint(name="openai", base_url=upstream or f"http://{host}:{port}/v1", api_key="sk-upstream"),
            "keyless": Endpoint(name="keyless", base_url=f"http://{host}:{port}/v1", api_key_env="NO_SUCH_KEY"),
            **{
                name: Endpoint(name=name, base_url=url, api_key=f"sk-{name}")
                for name, url in config.pop("providers", {}).items()
            },
        }
        settings = GatewayConfig(port=0, drain_seconds=5.0, **config)
        self.gateway = Gateway(settings, self.plane, endpoints)
        self.host, self.port = self.run(self.gateway.start())
        self.base_url = f"http://{self.host}:{self.port}/v1"
        self._clients: list[openai.OpenAI] = []

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=20)

    def client(self, **options: Any) -> openai.OpenAI:
        made = openai.OpenAI(base_url=self.base_url, **{"api_key": "none", "max_retries": 0, **options})
        self._clients.append(made)
        return made

    def events(self) -> list[Event]:
        self.plane.flush()
        return read_journal(self.directory.journals / self.plane.process_id, JournalPosition()).events

    def generations(self, count: int) -> list[Generation]:
        """Wait until `count` generations are recorded, and return them."""
        wait_until(lambda: len([e for e in self.events() if isinstance(e, Generation)]) >= count)
        found = [event for event in self.events() if isinstance(event, Generation)]
        assert len(found) == count
        return found

    def publish(self, fresh: Snapshot) -> None:
        publish(self.directory.snapshot("production"), fresh)
        wait_until(lambda: self.plane.revision == fresh.revision)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.run(self.gateway.stop())
        self.run(self._upstream.drain(0.2))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.plane.close()


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def release() -> Callable[..., CompiledRelease]:
    """Builds a release of `support-reply`."""
    return make_release


@pytest.fixture
def snapshot() -> Callable[..., Snapshot]:
    """Builds a snapshot; the first release of each feature is its stable one."""
    return make_snapshot


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until something holds."""
    return wait_until


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    made: list[Stack] = []

    def make(*releases: CompiledRelease, sim: SimConfig | None = None, upstream: str = "", **options: Any) -> Stack:
        parts = {name: options.pop(name) for name in ("rollout", "keys", "capture", "prices") if name in options}
        first = make_snapshot(*(releases or (make_release(),)), **parts)
        one = Stack(tmp_path / f"data{len(made)}", first, sim=sim or SimConfig(), upstream=upstream, config=options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()
