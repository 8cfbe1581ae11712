"""What was found, as values: kept in `benchmarks/RESULTS.json`, from which `RESULTS.md` is written."""

from __future__ import annotations

from pathlib import Path

import msgspec

__all__ = ["CallCost", "GatewayResult", "Gateways", "Results", "Sdk", "Soak", "load_results", "save_results"]

_JSON = Path(__file__).parent.parent / "RESULTS.json"


class GatewayResult(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway. CPU time is the gateway's own; everything is the median of the rounds, `None` if not measured."""

    name: str
    version: str
    configuration: str
    rps: float | None = None
    """Requests per second of one core at 32 connections."""
    cpu_us: float | None = None
    """CPU microseconds per request at 32 connections."""
    added_p50_us: float | None = None
    """At one connection, beyond calling the upstream directly in the same round."""
    added_p99_us: float | None = None
    chunk_us: float | None = None
    """CPU of a stream of 20 chunks, divided by 20: the request's own share included."""
    further_chunk_us: float | None = None
    """CPU of one chunk more: (stream of 200 - stream of 20) / 180."""
    paced_chunk_us: float | None = None
    """CPU of a stream of 20 chunks that come 2 ms apart, so that none can be handled together, divided by 20."""
    rss_mb: float | None = None
    """Resident memory of all its processes when the rounds were over, in 10^6 bytes."""
    rps_of_trimtab: float | None = None
    """Trimtab's requests per second by this gateway's."""
    cpu_of_trimtab: float | None = None
    """This gateway's CPU per request by Trimtab's."""
    added_p50_of_trimtab: float | None = None
    """Trimtab's added median latency by this gateway's."""
    added_p99_of_trimtab: float | None = None
    answered: int = 0
    durable_events: int | None = None
    """Ours only: events fsynced by the end."""
    dropped_events: int | None = None
    problem: str = ""


class Gateways(msgspec.Struct, frozen=True, kw_only=True):
    """One run of all gateways."""

    machine: dict[str, str]
    command: str
    rounds: int
    seconds: float
    chat: list[GatewayResult]
    """The same short request through every gateway."""
    long: list[GatewayResult]
    """2.3 KB of text."""
    tls: list[GatewayResult]
    """The upstream behind TLS."""
    skipped: dict[str, str]
    unanswered: dict[str, str]


class CallCost(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a library. CPU microseconds per call, median of the rounds."""

    name: str
    thread_us: float
    """In the calling thread."""
    process_us: float
    """In the whole process, threads that write behind included."""


class Sdk(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the SDK and its peers, in one process and in turns."""

    machine: dict[str, str]
    command: str
    versions: dict[str, str]
    in_process: list[CallCost]
    calls: list[CallCost]
    """Whole model calls over HTTP against the kit's upstream."""
    import_ms: dict[str, float]
    skipped: dict[str, str]


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of one gateway worker over many requests."""

    machine: dict[str, str]
    command: str
    requests: int
    streams: int
    seconds: float
    rss_mb: list[tuple[int, float]]
    """Requests answered, and resident memory then, in 10^6 bytes."""
    durable_events: int
    dropped_events: int
    highest_rss_mb: float
    growth_mb: float
    """Last reading less the reading after a fifth of the requests."""
    flat: bool


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """The newest of each kind."""

    gateways: Gateways | None = None
    asleep: Gateways | None = None
    """Ours and nginx, where the kit sleeps when idle."""
    sdk: Sdk | None = None
    soak: Soak | None = None


def load_results() -> Results:
    """Return what earlier runs left."""
    return msgspec.json.decode(_JSON.read_bytes(), type=Results) if _JSON.exists() else Results()


def save_results(**sections: Gateways | Sdk | Soak | None) -> Path:
    """Replace the sections that were measured, keep the others, and write the page anew; returns its path."""
    from benchmarks.harness.page import write_page

    results = msgspec.structs.replace(load_results(), **sections)
    _JSON.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return write_page(results, _JSON.with_name("RESULTS.md"))
