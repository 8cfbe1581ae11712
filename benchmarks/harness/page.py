"""`RESULTS.md`: what was measured, how, and on what; every figure comes from `RESULTS.json`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.harness.results import CallCost, GatewayResult, Gateways, Results, Sdk, Soak

__all__ = ["gateway_tables", "sdk_tables", "soak_table", "write_page"]

_HEAD = """\
<!-- Written by `just bench-peers` and `just soak`; do not edit. -->

# Benchmark results

Rates say more about a machine than about a program, so read the ratios: everything in one table was measured in one
run, in rounds in which all took turns, and each ratio is taken within a round. How: [README](README.md).
"""
_METHOD = """\
{rounds} rounds, {seconds:.0f} s in all. One worker pinned to one core; load generator and upstream on the other.
"""
_RATIOS = """\
Beside Trimtab, in the same rounds: how many times its CPU per request a gateway needs, how many times a gateway's
requests per second Trimtab serves, and Trimtab's added latency as a multiple of the gateway's.
"""
_STREAMS = """\
Streams, gateway CPU in µs per content chunk: of a stream of 20 (its request included), of each chunk beyond the
twentieth, and of a stream of 20 whose chunks come 2 ms apart, so that none share a read.
"""
_ASLEEP = """\
## Gateways whose callers and upstream sleep

On one machine, a gateway that answers a caller which sleeps on the other core wakes it, and pays for that: in a virtual
machine as much as for sending. Callers and upstreams on other machines cost it nothing of the kind, so above nobody
sleeps. Here they do, and each gateway pays for it the more often the slower it is.
"""
_SOAKED = """\
{requests:,} requests, {streams:,} of them streams, in {seconds:.0f} s; full content captured;
{durable:,} events durable, {dropped:,} dropped. Highest {highest:.1f} MB; {growth:+.1f} MB since a fifth of the
requests: {verdict}.
"""
_DASH = "\N{EN DASH}"
_ROOT = Path(__file__).parent.parent.parent
_QUOTED = 300
_SMALL = 10.0
_TINY = 0.1


def write_page(results: Results, path: Path) -> Path:
    """Write the page; returns its path."""
    parts = [_HEAD]
    if results.gateways:
        parts += ["## Gateways\n", _about(results.gateways.machine, results.gateways.command)]
        parts.append(gateway_tables(results.gateways))
    if results.asleep:
        parts += [_ASLEEP, _about(results.asleep.machine, results.asleep.command)]
        parts.append(gateway_tables(results.asleep))
    if results.sdk:
        parts += ["## In the process: the SDK\n", _about(results.sdk.machine, results.sdk.command)]
        parts.append(sdk_tables(results.sdk))
    if results.soak:
        parts += ["## Soak\n", _about(results.soak.machine, results.soak.command), soak_table(results.soak)]
    path.write_text("\n".join(parts))
    return path


def gateway_tables(found: Gateways) -> str:
    """All tables of a run of gateways."""
    parts = [
        _METHOD.format(rounds=found.rounds, seconds=found.seconds),
        _table(
            "gateway|CPU µs per request|requests/s, 32 connections|added p50, p99 µs, 1 connection|RSS MB",
            (
                (
                    _named(one),
                    _number(one.cpu_us),
                    _number(one.rps),
                    _pair(one.added_p50_us, one.added_p99_us),
                    _number(one.rss_mb),
                )
                for one in found.chat
            ),
        ),
        _RATIOS,
        _table(
            "gateway|its CPU by Trimtab's|Trimtab's requests/s by its|Trimtab's added p50, p99 by its",
            (
                (
                    one.name,
                    _number(one.cpu_of_trimtab),
                    _number(one.rps_of_trimtab),
                    _pair(one.added_p50_of_trimtab, one.added_p99_of_trimtab),
                )
                for one in found.chat
                if one.name != "trimtab"
            ),
        ),
        _STREAMS,
        _table(
            "gateway|20 chunks|a chunk more|20 chunks, 2 ms apart",
            (
                (_named(one), _number(one.chunk_us), _number(one.further_chunk_us), _number(one.paced_chunk_us))
                for one in found.chat
                if one.cpu_us is not None
            ),
        ),
    ]
    if found.long:
        parts += ["2.3 KB of text per request, recorded in full by Trimtab.\n", _short(found.long)]
    if found.tls:
        parts += ["The upstream behind TLS 1.3, its certificate verified.\n", _short(found.tls)]
    parts.append("What was on and off:\n")
    configurations = {one.name: one for one in (*found.chat, *found.long, *found.tls)}
    parts.append("".join(f"- {_named(one)}: {one.configuration}.\n" for one in configurations.values()))
    parts.append(_events(list(configurations.values())))
    parts += [
        f"Not measured: {name}: {_inline(reason)}\n" for name, reason in (found.skipped | found.unanswered).items()
    ]
    parts += [f"Did not count: {one.name}: {_inline(one.problem)}\n" for one in configurations.values() if one.problem]
    return "\n".join(part for part in parts if part)


def sdk_tables(found: Sdk) -> str:
    """All tables of a run of the SDK."""
    parts = [
        "CPU µs per call, in the calling thread and in the whole process (threads that write behind included).\n",
        _table("in the process|thread|process", map(_cost, found.in_process)),
    ]
    if found.calls:
        parts += ["Whole model calls over HTTP to the kit's upstream, which never sleeps.\n", _calls(found.calls)]
    parts += [
        "Importing, ms of CPU beyond bare Python.\n",
        _table("program|ms", ((name, _number(cost)) for name, cost in found.import_ms.items())),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in found.versions.items()) + ".\n",
    ]
    parts += [f"Not measured: {name}: {_inline(reason)}\n" for name, reason in found.skipped.items()]
    return "\n".join(parts)


def soak_table(found: Soak) -> str:
    """Memory over requests, and the verdict."""
    told = _SOAKED.format(
        requests=found.requests,
        streams=found.streams,
        seconds=found.seconds,
        durable=found.durable_events,
        dropped=found.dropped_events,
        highest=found.highest_rss_mb,
        growth=found.growth_mb,
        verdict="flat" if found.flat else "not flat",
    )
    rows = ((f"{count:,}", _number(memory)) for count, memory in found.rss_mb)
    return "\n".join([told, _table("requests|RSS MB", rows)])


def _about(machine: dict[str, str], command: str) -> str:
    return f"`{command}`; " + "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items()) + ".\n"


def _events(found: list[GatewayResult]) -> str:
    told = [
        f"{one.name}: {one.answered:,} answered, {one.durable_events:,} events durable, {one.dropped_events:,} dropped"
        for one in found
        if one.durable_events is not None
    ]
    return f"Events: {'; '.join(told)}.\n" if told else ""


def _short(found: list[GatewayResult]) -> str:
    return _table(
        "gateway|CPU µs per request|requests/s, 32 connections|Trimtab's requests/s by its|RSS MB",
        (
            (
                _named(one),
                _number(one.cpu_us),
                _number(one.rps),
                _number(one.rps_of_trimtab) if not one.name.startswith("trimtab") else "1",
                _number(one.rss_mb),
            )
            for one in found
        ),
    )


def _named(one: GatewayResult) -> str:
    return f"{one.name} {one.version}".strip() if one.version != "this commit" else f"**{one.name}**"


def _calls(costs: list[CallCost]) -> str:
    """Each is held against the bare client that is called in the same way, by what the whole process spends."""
    bare = {_way(cost.name): cost.process_us for cost in reversed(costs) if cost.name.startswith("openai client")}
    ratios = [bare[way] / cost.process_us if (way := _way(cost.name)) in bare else None for cost in costs]
    return _table(
        "call|thread|process|openai client's process, called alike, by its",
        ((*_cost(cost), _number(ratio)) for cost, ratio in zip(costs, ratios, strict=True)),
    )


def _way(name: str) -> str:
    """Say how a case of `sdk_calls` calls."""
    if "at once" in name:
        return "at once"
    return "asynchronous" if "async" in name or "uvloop" in name else "blocking"


def _cost(cost: CallCost) -> tuple[str, str, str]:
    return cost.name, _number(cost.thread_us), _number(cost.process_us)


def _pair(first: float | None, second: float | None) -> str:
    return _DASH if first is None or second is None else f"{_number(first)}, {_number(second)}"


def _number(value: float | None) -> str:
    if value is None:
        return _DASH
    if abs(value) < _TINY:
        return f"{value:.3f}"
    if abs(value) < _SMALL:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < _SMALL * _SMALL else f"{value:,.0f}"


def _inline(text: str) -> str:
    """Return a program's own words in one line, without where this checkout lies."""
    return " ".join(text.replace(str(_ROOT), ".").replace("|", "/").split())[:_QUOTED]


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    columns = head.split("|")
    lines = [f"| {' | '.join(columns)} |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
