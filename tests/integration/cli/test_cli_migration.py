"""trimtab migration on the command line, where nothing is called: plans, decisions, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]

OLD, NEW = "openai/gpt-4o-mini-2024-07-18", "anthropic/claude-sonnet-4-5-20250929"


@pytest.fixture(scope="module", name="trimtab")
def a_shop_with_a_feature(trimtab_here: Trimtab) -> Trimtab:
    for command in (
        ("init", "support-reply"),
        ("push", "support-reply"),
        ("environment", "set", "support-reply", "#1", "--reason", "first"),
    ):
        assert trimtab_here(*command).returncode == 0
    return trimtab_here


def test_a_plan_tells_who_calls_the_model_what_will_change_and_what_is_next(trimtab: Trimtab) -> None:
    assert "begin one" in trimtab("migration", "list").stderr
    assert "no migration is under way in `production`" in trimtab("migration", "status").stderr
    options = ("--lead-days", "4000", "--set", "temperature=0.5", "--margin", "0.05")
    done = trimtab("migration", "plan", "--from", OLD, "--to", NEW, *options)
    assert done.returncode == 0, done.stderr
    for text in (
        "support-reply#1",
        "max_tokens=400 temperature=0.2",
        "margin  5 % of the held-out answers, in what programs read",
        f"ALARM  {OLD} will be shut down on 2027-01-14",
        "with the lead time it had to begin by",
        "support-reply  shutdown:" if "shutdown:" in done.stdout else "support-reply",
        "golden set: trimtab migration run mig_",
    ):
        assert text in done.stdout, text
    again = trimtab("migration", "plan", "--from", OLD, "--to", NEW)
    assert "keeps what it was begun with" in again.stderr
    status = json.loads(trimtab("migration", "status", "--json").stdout)
    assert status["migration"]["options"]["parameters"] == {"temperature": 0.5}
    assert (status["number"], len(status["alarms"])) == (1, 1)
    assert status["migration"]["id"] in trimtab("migration", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("plan", "--from", "gpt-4", "--to", NEW), "write e.g. openai/"),
        (("plan", "--from", "gpt-4o-mini-2024-07-18", "--to", NEW), f"did you mean `{OLD}`?"),
        (("plan", "--from", "openai/gpt-4o-mini-2024-07-1", "--to", NEW), f"did you mean `{OLD}`?"),
        (
            ("plan", "--from", "openai/gpt-4o-mini", "--to", NEW),
            "no stable release in `production` calls openai/gpt-4o-mini,",
        ),
        (("plan", "--from", "acme/other", "--to", NEW), f"known: {OLD}"),
        (("plan", "--from", OLD, "--to", "antropic/claude"), "did you mean `anthropic`?"),
        (("plan", "--from", OLD, "--to", "sonnet"), "`sonnet` names no model (at to)"),
        (("plan", "--from", OLD, "--to", OLD), "where it would come from already"),
        (("plan", "--from", OLD, "--to", NEW, "--set", "temperature"), "--set max_tokens=1024"),
        (("plan", "--from", OLD, "--to", NEW, "--set", "temperature=warm"), "malformed"),
        (("status", "mig_0"), "there is no migration mig_0"),
        (("approve", "--reason", "go"), "nothing waits for an approval"),
        (("approve",), "--reason"),
        (("ack", "--fork", "mars", "--reason", "seen"), "has no fork `mars`"),
        (("rollback", "--to", "mars", "--reason", "odd"), "mars"),
        (("show", "golden", "--fork", "support-repl"), "did you mean `support-reply`?"),
        (("show", "diff"), "has not written anything yet"),
    ],
)
def test_what_is_refused_says_how_to_mend_it(trimtab: Trimtab, arguments: tuple[str, ...], told: str) -> None:
    trimtab("migration", "plan", "--from", OLD, "--to", NEW)
    done = trimtab("migration", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(json.loads(trimtab("migration", "list", "--json").stdout)) == 1


def test_too_little_traffic_blocks_and_says_so_and_a_plan_is_abandoned_with_a_reason(trimtab: Trimtab) -> None:
    trimtab("migration", "plan", "--from", OLD, "--to", NEW)
    done = trimtab("migration", "run")
    assert done.returncode == 1
    assert "0 different calls were recorded in 30 days, and 30 are needed" in done.stdout
    assert "or go on nevertheless: trimtab migration approve" in done.stdout
    gone = trimtab("migration", "abandon", "--reason", "no traffic yet")
    assert "the plan was abandoned" in gone.stdout
    assert trimtab("audit", "verify").returncode == 0
