"""Datasets from the command line: from files, from traffic, from feedback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from trimtab.core.clock import SystemClock
from trimtab.core.ids import new_id
from trimtab.events import Feedback, Generation, encode_event
from trimtab.serving.directory import DataDirectory
from trimtab.serving.journal import JournalWriter

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]

LINES = "".join(
    json.dumps(
        {"input": f"What is {n} + {n}?", "expected": str(2 * n), "slices": {"size": "big" if n > 9 else "small"}}
    )
    + "\n"
    for n in range(20)
)


@pytest.fixture(scope="module", autouse=True)
def _pushed(trimtab_here: Trimtab, shop: Path) -> None:
    assert trimtab_here("init", "support-reply").returncode == 0
    assert trimtab_here("push", "support-reply").returncode == 0
    (shop / "sums.jsonl").write_text(LINES + LINES.splitlines()[0] + "\n")


def test_a_dataset_is_made_listed_shown_and_split(trimtab_here: Trimtab) -> None:
    made = trimtab_here("dataset", "create", "support-reply", "sums", "--from", "sums.jsonl")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("support-reply/dataset/sums@v1 (")
    assert made.stdout.endswith("): 20 items\n")
    assert "1 repeated an earlier item exactly" in made.stderr
    again = trimtab_here("dataset", "create", "support-reply", "sums", "--from", "sums.jsonl")
    assert "@v1" in again.stdout
    assert "as before" in again.stdout
    drawn = ("--sample", "10", "--by", "size")
    made = trimtab_here("dataset", "create", "support-reply", "sums", "--from", "sums.jsonl", *drawn, "--json")
    assert {"name": "sums@v2", "items": 10, "left_out": 10}.items() <= json.loads(made.stdout).items()
    listed = trimtab_here("dataset", "list", "support-reply").stdout
    rows = [line.split()[:2] for line in listed.splitlines() if line.startswith("sums")]
    assert rows == [["sums@v2", "10"], ["sums@v1", "20"]]
    told = json.loads(trimtab_here("dataset", "list", "support-reply", "--json").stdout)
    one = json.loads(trimtab_here("dataset", "show", "support-reply", "sums@v1", "--json").stdout)
    assert [each for each in told if each["name"] == "sums@v1"] == [{name: one[name] for name in told[0]}]
    shown = trimtab_here("dataset", "show", "support-reply", "sums@v1").stdout
    assert "20 with an expected answer" in shown
    assert "size: small 10, big 10" in shown
    assert "nobody said when these happened" in shown
    sides = [
        trimtab_here("dataset", "split", "support-reply", "sums@v1", "--split", side).stdout.splitlines()
        for side in ("train", "heldout")
    ]
    assert len(sides[0]) + len(sides[1]) == 20
    assert not set(sides[0]) & set(sides[1])
    assert trimtab_here("audit", "verify").returncode == 0


def test_a_dataset_comes_from_traffic_and_feedback(trimtab_here: Trimtab, shop: Path) -> None:
    now_ms = SystemClock().now_ms()
    digest = json.loads(trimtab_here("release", "show", "support-reply", "#1", "--json").stdout)["digest"]
    writer = JournalWriter(DataDirectory(shop / ".trimtab").journals / "sdk-1")
    for n in range(4):
        call = Generation(
            id=new_id("gen", now_ms),
            at_ms=now_ms,
            feature="support-reply",
            environment="production",
            release=digest,
            release_number=1,
            unit=f"user-{n}",
            variables={"shop": "Acme"},
            messages=[{"role": "system", "content": "..."}, {"role": "user", "content": f"Where is order A-{n}?"}],
            output=f"answer {n}",
        )
        said = Feedback(
            id=new_id("fb", now_ms), at_ms=now_ms, feature="support-reply", environment="production",
            generation=call.id, name="thumbs", value=float(n % 2),
        )  # fmt: skip
        writer.append(encode_event(call), now_ms)
        writer.append(encode_event(said), now_ms)
    writer.close()
    (shop / "own.py").write_text(
        "def no_orders(content):\n"
        "    for message in content['messages']:\n"
        "        message['content'] = message['content'].replace('A-', 'X-')\n"
        "    return content\n"
    )
    poor = (
        "--from-evidence",
        "--feedback",
        "thumbs",
        "--at-most",
        "0",
        "--redact",
        "own:no_orders",
        "--redact-path",
        ".",
    )
    made = trimtab_here("dataset", "create", "support-reply", "poor", *poor)
    assert made.returncode == 0, made.stderr
    items = [json.loads(line) for line in trimtab_here("dataset", "split", "support-reply", "poor").stdout.splitlines()]
    asked = {item["messages"][-1]["content"]: item["reference"] for item in items}
    assert asked == {"Where is order X-0?": "answer 0", "Where is order X-2?": "answer 2"}
    assert all(item["group"] and item["slices"]["feedback"] == "0" for item in items)
    assert "age: newest 0 days" in trimtab_here("dataset", "show", "support-reply", "poor").stdout
    erased = trimtab_here("evidence", "erase", "user-2", "--yes")
    assert erased.returncode == 0, erased.stderr
    (stays,) = [line for line in erased.stderr.splitlines() if line.startswith("not reached")]
    told, path = stays.split(" in ")
    assert told == "not reached: 1 item of support-reply/dataset/poor@v1"
    rest = trimtab_here("dataset", "split", "support-reply", "poor", "--without-user", "user-2")
    assert [json.loads(line)["reference"] for line in rest.stdout.splitlines()] == ["answer 0"]
    (shop / "rest.jsonl").write_text(rest.stdout)
    again = trimtab_here("dataset", "create", "support-reply", "poor", "--from", "rest.jsonl")
    assert again.stdout.startswith("support-reply/dataset/poor@v2 (")
    (shop / path).unlink()
    assert "not reached" not in trimtab_here("evidence", "erase", "user-2", "--yes").stderr
    gone = trimtab_here("dataset", "show", "support-reply", "poor@v1")
    assert "the items of this dataset are not in this data directory" in gone.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "support-reply", "x"), "say where the items come from"),
        (("create", "support-reply", "Bad Name", "--from", "sums.jsonl"), "cannot name a dataset"),
        (("create", "nothing", "x", "--from", "sums.jsonl"), "there is no feature `nothing`"),
        (("create", "support-reply", "x", "--from", "gone.jsonl"), "gone.jsonl"),
        (("create", "support-reply", "x", "--from", "sums.jsonl", "--rename", "a"), "is not OLD=NEW"),
        (
            ("create", "support-reply", "x", "--from", "sums.jsonl", "--by", "lang", "--sample", "3"),
            "no item has a slice",
        ),
        (("create", "support-reply", "x", "--from-evidence", "--since", "1ms"), "can be asked again"),
        (("show", "support-reply", "none"), "has no dataset `none`"),
        (("show", "support-reply", "sums@vx"), "names no dataset"),
    ],
)
def test_what_makes_no_dataset_is_refused(
    trimtab_here: Trimtab, shop: Path, arguments: tuple[str, ...], said: str
) -> None:
    (shop / "bad.yaml").write_text("name: x\nscorers: [{type: nothing}]\n")
    done = trimtab_here("dataset", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
