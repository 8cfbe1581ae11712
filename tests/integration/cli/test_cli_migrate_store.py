"""Moving control state to Postgres by the command line, and going on from there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.postgres import PostgresServer

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]


def test_control_state_moves_and_commands_go_on_there(trimtab: Trimtab, postgres: PostgresServer) -> None:
    assert trimtab("init", "support-reply").returncode == 0
    assert trimtab("push", "support-reply").returncode == 0
    assert trimtab("environment", "set", "support-reply", "#1", "--reason", "first").returncode == 0
    url = postgres.new_database()
    moved = trimtab("migrate-store", "--to", url)
    assert moved.returncode == 0, moved.stderr
    assert "release" in moved.stdout
    assert "next: set `database`" in moved.stderr
    listed = trimtab("release", "list", "support-reply", "--json", TRIMTAB_DATABASE=url)
    assert [one["number"] for one in json.loads(listed.stdout)] == [1]
    verified = trimtab("audit", "verify", TRIMTAB_DATABASE=url)
    assert verified.returncode == 0, verified.stderr
    started = trimtab("rollout", "start", "support-reply", "#1", TRIMTAB_DATABASE=url)
    assert started.returncode == 2, "the same release is no candidate, whatever the database"
    again = trimtab("migrate-store", "--to", url)
    assert again.returncode == 2
    assert "holds rows" in again.stderr
    twice = trimtab("migrate-store", "--to", url, TRIMTAB_DATABASE=url)
    assert "already" in twice.stderr


def test_a_wrong_database_is_told_and_its_password_is_not(trimtab: Trimtab) -> None:
    done = trimtab("release", "list", "support-reply", TRIMTAB_DATABASE="postgresql://ada:hunter2@127.0.0.1:1/x")
    assert done.returncode == 3
    assert "is the Postgres server up" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
