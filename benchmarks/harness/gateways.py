"""A run of gateways: all started, measured in interleaved rounds, summed up."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING

import msgspec

from benchmarks.harness.bench import direct, open_bench
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.results import GatewayResult, Gateways
from benchmarks.harness.rounds import Field, run_rounds
from benchmarks.harness.workloads import CHAT, CHAT_LONG, CHAT_ONE, PACED, STREAM, STREAM_LONG
from benchmarks.servers import nginx, trimtab
from trimtab.serving.process_status import ProcessStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.harness.contender import Contender, Sample
    from benchmarks.harness.rounds import Entry, Samples
    from benchmarks.harness.workloads import Workload
    from benchmarks.servers.model import Server, Workspace

__all__ = ["OURS", "events_of", "measure_gateways"]

_EVERYTHING = (CHAT, CHAT_ONE, STREAM, STREAM_LONG, PACED)
OURS: tuple[Entry, ...] = (
    (direct, (*_EVERYTHING, CHAT_LONG)),
    (nginx.prepare, (*_EVERYTHING, CHAT_LONG)),
    (trimtab.prepare, _EVERYTHING),
    (trimtab.prepare_source, _EVERYTHING),
    (trimtab.prepare_capturing, (CHAT_LONG,)),
    (trimtab.prepare_tls, (CHAT, CHAT_ONE)),
    (nginx.prepare_tls, (CHAT, CHAT_ONE)),
)
"""Our configurations, and what stands beside them: nothing at all, and a proxy that adds nothing."""
_DIRECT, _OURS, _OURS_TLS, _OURS_CAPTURING = "direct", "trimtab", "trimtab, TLS upstream", "trimtab, content captured"
_TLS = "TLS upstream"


def measure_gateways(
    peers: Sequence[Callable[[Workspace], Server]], *, rounds: int, scale: float, command: str, busy_poll: bool = True
) -> Gateways:
    """Measure ours and `peers`; `scale` stretches the time of every workload."""
    machine, began = describe_machine(), time.monotonic()
    entries = [*OURS, *((peer, _EVERYTHING) for peer in peers)]
    field = Field()
    with open_bench(busy_poll=busy_poll) as (kit, workspace):
        if not kit.tls:
            field.skipped[_TLS] = "the upstream was compiled without OpenSSL"
            entries = [entry for entry in entries if not entry[0].__name__.endswith("_tls")]
        with contextlib.ExitStack() as stack:
            field.enter(entries, workspace, kit, stack)
            samples = run_rounds(field, kit, rounds=rounds, scale=scale)
            memory = {contender.server.name: contender.rss_bytes() / 1e6 for contender, _ in field.contenders}
        # before the folder goes, with what our gateways said of their events when they ended
        results = [_result(contender, samples, memory) for contender, _ in field.contenders]
        long = _long(field, samples, memory)
    return Gateways(
        machine=machine | {"kit": "never sleeps" if busy_poll else "sleeps when idle"},
        command=command,
        rounds=rounds,
        seconds=round(time.monotonic() - began, 0),
        chat=[found for found in results if found.rps and _TLS not in found.name],
        long=long,
        tls=[found for found in results if found.rps and _TLS in found.name],
        skipped=field.skipped,
        unanswered={
            f"{contender.server.name}, {' and '.join(contender.unanswered)}": next(iter(contender.unanswered.values()))
            for contender, _ in field.contenders
            if contender.unanswered
        },
    )


def _cpu(sample: Sample) -> float:
    return sample.cpu_us


def _rps(sample: Sample) -> float:
    return sample.load.rps


def _p50(sample: Sample) -> float:
    return sample.load.p50_us


def _p99(sample: Sample) -> float:
    return sample.load.p99_us


def _result(contender: Contender, samples: Samples, memory: dict[str, float]) -> GatewayResult:
    server = contender.server
    name, ours = server.name, _OURS_TLS if _TLS in server.name else _OURS
    own_cpu = bool(server.command)
    added = [_added(samples, name, quantile) for quantile in (_p50, _p99)]
    added_ours = [_added(samples, ours, quantile) for quantile in (_p50, _p99)]
    durable, dropped = events_of(server.data)
    return GatewayResult(
        name=name,
        version=server.version,
        configuration=server.configuration,
        rps=samples.median(name, CHAT.name, _rps),
        cpu_us=samples.median(name, CHAT.name, _cpu) if own_cpu else None,
        added_p50_us=added[0] if own_cpu else None,
        added_p99_us=added[1] if own_cpu else None,
        chunk_us=_per_chunk(samples, name, STREAM) if own_cpu else None,
        further_chunk_us=_further_chunk(samples, name) if own_cpu else None,
        paced_chunk_us=_per_chunk(samples, name, PACED) if own_cpu else None,
        rss_mb=memory[name] if own_cpu else None,
        rps_of_trimtab=samples.ratio(ours, name, CHAT.name, _rps),
        cpu_of_trimtab=samples.ratio(name, ours, CHAT.name, _cpu) if own_cpu else None,
        added_p50_of_trimtab=_divide(added_ours[0], added[0]) if own_cpu else None,
        added_p99_of_trimtab=_divide(added_ours[1], added[1]) if own_cpu else None,
        answered=contender.requests,
        durable_events=durable,
        dropped_events=dropped,
        problem=samples.problems().get(name, ""),
    )


def _long(field: Field, samples: Samples, memory: dict[str, float]) -> list[GatewayResult]:
    return [
        GatewayResult(
            name=contender.server.name,
            version=contender.server.version,
            configuration=contender.server.configuration,
            rps=samples.median(contender.server.name, CHAT_LONG.name, _rps),
            cpu_us=samples.median(contender.server.name, CHAT_LONG.name, _cpu) if contender.server.command else None,
            rss_mb=memory[contender.server.name] if contender.server.command else None,
            rps_of_trimtab=samples.ratio(_OURS_CAPTURING, contender.server.name, CHAT_LONG.name, _rps),
            answered=contender.requests,
            durable_events=events_of(contender.server.data)[0],
            dropped_events=events_of(contender.server.data)[1],
            problem=samples.problems().get(contender.server.name, ""),
        )
        for contender, workloads in field.contenders
        if CHAT_LONG in workloads
    ]


def _added(samples: Samples, name: str, quantile: Callable[[Sample], float]) -> float | None:
    """Median over the rounds of a latency at one connection, less the same of the upstream in the same round."""
    through, straight = (samples.by_key.get((server, CHAT_ONE.name), []) for server in (name, _DIRECT))
    if not through or any(sample.load.problem for sample in (*through, *straight)):
        return None
    return statistics.median(quantile(a) - quantile(b) for a, b in zip(through, straight, strict=True))


def _per_chunk(samples: Samples, name: str, workload: Workload) -> float | None:
    return _divide(samples.median(name, workload.name, _cpu), workload.chunks)


def _further_chunk(samples: Samples, name: str) -> float | None:
    short, long = samples.median(name, STREAM.name, _cpu), samples.median(name, STREAM_LONG.name, _cpu)
    return None if short is None or long is None else (long - short) / (STREAM_LONG.chunks - STREAM.chunks)


def _divide(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def events_of(data: Path | None) -> tuple[int | None, int | None]:
    """What our gateway said of its events when it ended: durable and dropped."""
    if data is None:
        return None, None
    statuses = [
        msgspec.json.decode(path.read_bytes(), type=ProcessStatus) for path in (data / "processes").glob("*.json")
    ]
    return sum(status.durable for status in statuses), sum(status.dropped for status in statuses)
