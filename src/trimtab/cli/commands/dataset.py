"""trimtab dataset: what releases are tried on."""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from trimtab.cli.output import ago, emit_json, json_option, say, table
from trimtab.core.clock import SystemClock
from trimtab.core.durations import seconds
from trimtab.core.errors import InputError, SourceError
from trimtab.core.ids import short_digest
from trimtab.core.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trimtab.cli.context import AppContext
    from trimtab.control.eval_desk import EvalDesk
    from trimtab.evals.datasets import Item, Shaped

__all__ = ["command"]

_YAML = frozenset({".yaml", ".yml"})
_SHOWN = 100


@click.group("dataset")
def command() -> None:
    """Keep what releases are tried on: items from files, traffic and feedback, each version by its digest."""


@command.command("create")
@click.argument("feature")
@click.argument("name")
@click.option(
    "--from",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="JSON Lines, JSON, CSV, or promptfooconfig.yaml; repeatable.",
)
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Give a field the name used here: question=input.")
@click.option("--from-evidence", is_flag=True, help="From what was recorded of the feature.")
@click.option("--since", default="7d", show_default=True, help="Of evidence, how far back: 30m, 1h, 7d.")
@click.option("--release", "release_number", type=int, help="Of evidence, only the release of this number.")
@click.option("--feedback", default="", help="Of evidence, only what has feedback (or a score) of this name.")
@click.option("--at-least", type=float, help="Of that feedback, only values from here on.")
@click.option("--at-most", type=float, help="Of that feedback, only values up to here.")
@click.option("--limit", type=click.IntRange(min=1), help="Of evidence, at most so many, the oldest first.")
@click.option(
    "--near", type=float, help="Leave out what nearly repeats an earlier item: similarity from here, 0.9 say."
)
@click.option("--sample", "size", type=click.IntRange(min=1), help="Draw at most so many items, the same each time.")
@click.option("--by", multiple=True, metavar="SLICE", help="Keep the shares of this slice in the sample; repeatable.")
@click.option("--heldout", type=float, default=0.5, show_default=True, help="Share held out of the train split.")
@click.option("--redact", metavar="MODULE:FUNCTION", help="Sees each item's content first (default: gateway.redact).")
@click.option("--redact-path", multiple=True, metavar="FOLDER", help="Where it may load from.")
@click.option("--judge", default="", metavar="PROVIDER/MODEL", help="For promptfoo's assertions that need a judge.")
@click.option("--embedder", default="", metavar="PROVIDER/MODEL", help="For those that need embeddings.")
@json_option
@click.pass_obj
def create(app: AppContext, /, feature: str, name: str, *, as_json: bool, **wishes: Any) -> None:  # noqa: ANN401 - click's options
    """Store a dataset NAME of FEATURE. Equal items make the version that they made before.

    Exact repetitions are left out. Fields and columns with a meaning of their own are id, input, messages, variables,
    expected, reference, group, slices (columns slice:NAME), at and checks; without `variables`, others are variables.
    """
    from trimtab.evals.datasets import Shape, shape

    if bool(wishes["files"]) == wishes["from_evidence"]:
        raise InputError("no_source", "say where the items come from: --from FILE or --from-evidence")
    with contextlib.closing(app.evals()) as desk:
        items, notes = _from_evidence(app, desk, feature, wishes) if wishes["from_evidence"] else _from_files(wishes)
        items = _redacted(app, items, wishes)
        shaped = shape(items, Shape(near=wishes["near"], size=wishes["size"], by=tuple(wishes["by"])))
        stored = desk.put_dataset(feature, name, shaped.items, heldout=wishes["heldout"])
    for note in [*notes, *_told(shaped)]:
        say(note)
    if as_json:
        emit_json(
            {"name": f"{name}@v{stored.number}", "digest": stored.digest, "created": stored.created} | _counts(shaped)
        )
        return
    known = quantity(len(shaped.items), "item") + ("" if stored.created else ", as before")
    print(f"{feature}/dataset/{name}@v{stored.number} ({short_digest(stored.digest)}): {known}")


def _from_files(wishes: Mapping[str, Any]) -> tuple[list[Item], list[str]]:
    from trimtab.artifacts.files import read_text
    from trimtab.evals.datasets.promptfoo_tests import read_promptfoo
    from trimtab.evals.datasets.records import read_csv, read_json, read_jsonl

    rename = dict(_pair(text) for text in wishes["rename"])
    items: list[Item] = []
    notes: list[str] = []
    for path in wishes["files"]:
        if path.suffix in _YAML:
            found, told = read_promptfoo(path, judge=wishes["judge"], embedder=wishes["embedder"])
            items += found
            notes += told
        else:
            read = {".csv": read_csv, ".json": read_json}.get(path.suffix, read_jsonl)
            items += read(read_text(path), str(path), rename=rename)
    if not items:
        raise SourceError("no_items", "there is no item in it", path=str(wishes["files"][0]))
    return items, notes


def _pair(text: str) -> tuple[str, str]:
    old, given, new = text.partition("=")
    if not (old and given and new):
        raise InputError("malformed_rename", f"`{text}` is not OLD=NEW", param="rename")
    return old, new


def _from_evidence(
    app: AppContext, desk: EvalDesk, feature: str, wishes: Mapping[str, Any]
) -> tuple[list[Item], list[str]]:
    from trimtab.bootstrap.evidence_reader import open_reader
    from trimtab.evals.datasets.from_traffic import items_of
    from trimtab.evidence.questions import Filter, extract, signals

    own = desk.own_messages(feature)
    now_ms = time.time_ns() // 1_000_000
    span = (now_ms - round(1000 * seconds(wishes["since"])), now_ms + 1)
    which = Filter(
        feature=feature,
        environment=app.settings().environment,
        release_number=wishes["release_number"],
        status="ok",
        span=span,
    )
    with contextlib.closing(open_reader(app.settings())) as reader:
        said = signals(reader, which, name=wishes["feedback"]) if wishes["feedback"] else None
        fit = (
            one
            for one in extract(reader, which)
            if not one.mirrors and (said is None or _wanted(said.get(one.id), wishes))
        )
        found = list(itertools.islice(fit, wishes["limit"]))
    items, empty = items_of(found, own_messages=own.get, signals=said)
    if not items:
        message = f"nothing recorded of `{feature}` in the last {wishes['since']} can be asked again"
        raise InputError("no_items", message, param="since", hint="look with: trimtab evidence metrics --since 30d")
    return items, [f"of {quantity(empty, 'generation')} the content is missing: it is not captured"] if empty else []


def _wanted(value: float | None, wishes: Mapping[str, Any]) -> bool:
    least, most = wishes["at_least"], wishes["at_most"]
    return value is not None and (least is None or value >= least) and (most is None or value <= most)


def _redacted(app: AppContext, items: Sequence[Item], wishes: Mapping[str, Any]) -> list[Item]:
    from trimtab.bootstrap.hooks import load_hook
    from trimtab.evals.datasets.redacting import redacted

    gateway = app.settings().gateway
    reference = wishes["redact"] or gateway.redact
    if not reference:
        return list(items)
    folders = list(wishes["redact_path"]) or gateway.redact_path
    hook = load_hook(reference, folders, setting="--redact" if wishes["redact"] else "gateway.redact")
    return [redacted(item, hook) for item in items]


def _counts(shaped: Shaped) -> dict[str, int]:
    return {
        "items": len(shaped.items),
        "repeated": shaped.repeated,
        "contradicting": shaped.contradicting,
        "near": shaped.near,
        "left_out": shaped.left_out,
    }


def _told(shaped: Shaped) -> list[str]:
    told = {
        f"{shaped.repeated:,} repeated an earlier item exactly": shaped.repeated,
        f"{shaped.contradicting:,} of those expect another answer than the first: look at them": shaped.contradicting,
        f"{shaped.near:,} nearly repeated an earlier item": shaped.near,
        f"{shaped.left_out:,} were not drawn into the sample": shaped.left_out,
    }
    return [text for text, count in told.items() if count]


@command.command("list")
@click.argument("feature")
@json_option
@click.pass_obj
def list_datasets(app: AppContext, feature: str, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """List the datasets of FEATURE, every version."""
    with contextlib.closing(app.evals()) as desk:
        found = desk.datasets(feature)
    if as_json:
        emit_json(
            [
                {
                    "name": f"{one.name}@v{one.number}",
                    "digest": one.digest,
                    "items": getattr(one.content, "count", 0),
                    "heldout_share": getattr(one.content, "heldout", 0.0),
                    "created_at_ms": one.created_at_ms,
                    "created_by": one.created_by,
                }
                for one in found
            ]
        )
        return
    now_ms = SystemClock().now_ms()
    rows = [
        (
            f"{one.name}@v{one.number}",
            f"{getattr(one.content, 'count', 0):,}",
            short_digest(one.digest),
            ago(one.created_at_ms, now_ms),
            one.created_by,
        )
        for one in found
    ]
    if rows:
        print(table(("dataset", "items", "digest", "made", "by"), rows, right=(1,)))
    else:
        say(f"none yet; make one: trimtab dataset create {feature} NAME --from FILE")


@command.command("show")
@click.argument("feature")
@click.argument("reference")
@click.option("--items", "shown", type=click.IntRange(min=0), default=3, show_default=True, help="How many to print.")
@json_option
@click.pass_obj
def show(app: AppContext, feature: str, reference: str, shown: int, as_json: bool) -> None:  # noqa: FBT001 - click's signature
    """Show a dataset (NAME or NAME@v3): how many items, how old, in which slices."""
    from trimtab.evals.datasets.summary import summarise

    with contextlib.closing(app.evals()) as desk:
        dataset = desk.dataset(feature, reference)
    now_ms = SystemClock().now_ms()
    summary = summarise(dataset.items, heldout=dataset.heldout, now_ms=now_ms)
    if as_json:
        facts = {
            "name": dataset.name,
            "digest": dataset.digest,
            "heldout_share": dataset.heldout,
            "created_at_ms": dataset.created_at_ms,
            "created_by": dataset.created_by,
        }
        emit_json(facts | msgspec.to_builtins(summary))
        return
    print(
        f"{dataset.name}  {short_digest(dataset.digest)}"
        f"  made {ago(dataset.created_at_ms, now_ms)} by {dataset.created_by}"
    )
    for line in summary.lines():
        print(f"  {line}")
    for item in dataset.items[:shown]:
        expected = "" if item.expected is None else f"  ->  {_line(msgspec.json.encode(item.expected).decode())}"
        print(f"  {item.id}  {_line(item.question)}{expected}")


@command.command("split")
@click.argument("feature")
@click.argument("reference")
@click.option("--split", type=click.Choice(["all", "train", "heldout"]), default="all", show_default=True)
@click.option("--without-user", metavar="UNIT", help="Leave out items made of what this user said, of traffic.")
@click.pass_obj
def split_command(
    app: AppContext,
    feature: str,
    reference: str,
    split: Any,  # noqa: ANN401 - a choice
    without_user: str | None,
) -> None:
    """Write the items of a split to stdout as JSON lines.

    What an item's group (or, without one, what it asks) hashes to decides its side, so it never moves.
    """
    from trimtab.evals.datasets import in_split
    from trimtab.evals.datasets.from_traffic import group_of

    with contextlib.closing(app.evals()) as desk:
        dataset = desk.dataset(feature, reference)
    theirs = group_of(without_user) if without_user else None
    chosen = [
        item
        for item in dataset.items
        if in_split(item, split, heldout=dataset.heldout) and (theirs is None or item.group != theirs)
    ]
    for item in chosen:
        print(msgspec.json.encode(item).decode())
    say(f"{len(chosen):,} of {quantity(len(dataset.items), 'item')}")


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
