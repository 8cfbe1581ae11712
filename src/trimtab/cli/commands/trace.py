"""trimtab trace. Reads journals, then files: works with the control plane dead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from trimtab.cli.output import emit_json, json_option
from trimtab.core.ids import short_digest

if TYPE_CHECKING:
    from trimtab.cli.context import AppContext
    from trimtab.control.reports import TraceReport
    from trimtab.events import Event

__all__ = ["command"]

_JUDGED = {
    (name, value): word
    for name in ("error", "refusal", "format", "schema")
    for value, word in ((1.0, "good"), (0.0, "BAD"))
}


@click.command("trace")
@click.argument("generation")
@json_option
@click.pass_obj
def command(app: AppContext, generation: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Tell what one request met: its release, rendered prompt, served model and scores.

    GENERATION is the id in the `x-trimtab-generation` header, or what the SDK's `record` returned.
    """
    from trimtab.control.tracing import read_trace

    report = read_trace(app.settings().data_directory, generation, cold=lambda one: _cold(app, one))
    if as_json:
        emit_json(report)
    else:
        _print(report)


def _cold(app: AppContext, generation: str) -> list[Event]:
    """Ask the files. Only then are the libraries that read them worth their time to load."""
    from trimtab.bootstrap.evidence_reader import open_reader
    from trimtab.evidence.questions import trace

    reader = open_reader(app.settings())
    try:
        return trace(reader, generation)
    finally:
        reader.close()


def _print(report: TraceReport) -> None:
    call = report.generation
    when = datetime.fromtimestamp(call.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    facts = {
        "release": f"{report.release} ({short_digest(call.release)})",
        "arm": call.arm + (f" of {call.rollout}, step {call.stage + 1}" if call.rollout else ""),
        "user": call.unit or "-",
        "when": f"{when} UTC on {call.process}",
        "model": f"asked {call.provider}/{call.requested_model}, served {call.served_model or '-'}",
        "result": " ".join(part for part in (call.status, call.error_code, call.finish_reason) if part),
        "cost": f"{call.latency_ms:.1f} ms, {call.input_tokens}+{call.output_tokens} tokens, ${call.cost_usd:.6f}",
    }
    print(call.id)
    for name, value in facts.items():
        print(f"  {name:<8}{value}")
    for message in call.messages:
        print(f"\n--- {message.get('role')}\n{message.get('content')}")
    if call.content_dropped:
        print(f"\ncontent was not kept: {call.content_dropped}")
    print(f"\n--- answer\n{call.output}")
    if call.tool_calls:
        print(f"tool calls: {call.tool_calls}")
    print(
        "\nmetrics  "
        + ", ".join(f"{name} {_JUDGED.get((name, value), f'{value:g}')}" for name, value in report.measures.items())
    )
    for score in report.scores:
        print(f"\nscore    {score.name} = {score.value:g}  ({score.source}) {score.comment}".rstrip())
    for signal in report.feedback:
        print(f"\nfeedback {signal.name} = {signal.value:g}  {signal.comment}".rstrip())
    for shadow in report.shadows:
        print(f"\n--- shadow {short_digest(shadow.release)}: {shadow.id}\n{shadow.output or shadow.error_code}")
