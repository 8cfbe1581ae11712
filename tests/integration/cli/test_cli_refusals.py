"""What is wrong is said with its place and a way out, on stderr, and leaves nothing behind.

Status 2: what was typed or written is wrong. Status 3: it could not be done. Status 1: the answer is no.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trimtab.control.plane import ControlPlane

    Trimtab = Callable[..., subprocess.CompletedProcess[str]]

PROMPT = "support-reply.prompt.yml"
REQUEST = "messages:\n  - role: system\n    content: |-\n      {}\nmodel: openai/gpt-4o-mini-2024-07-18\n"


@pytest.fixture(scope="module")
def pushed(trimtab: Trimtab, shop: Path) -> Path:
    assert trimtab("init", "support-reply").returncode == 0
    assert trimtab("push", "support-reply").returncode == 0
    return shop


@pytest.fixture(scope="module")
def plane(pushed: Path) -> Iterator[ControlPlane]:
    """Looks into the directory from here, for starting a process per look would cost a second."""
    opened = open_control(load_settings(environ={"TRIMTAB_DIRECTORY": str(pushed / ".trimtab")}))
    yield opened
    opened.close()


@pytest.fixture
def draft(pushed: Path) -> Path:
    """A changed copy of the feature that would be a new release, before a test breaks it."""
    target = pushed / "draft"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(pushed / "support-reply", target)
    (target / "partials/tone.md").write_text("Something else.\n")
    return target


def state(plane: ControlPlane) -> tuple[Any, ...]:
    return plane.audit(), plane.releases("support-reply")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("feature.yaml", b"feature: support-reply\nteam: [\n", ["feature.yaml:3"]),
        (PROMPT, b"name: \xff\n", [PROMPT, "UTF-8"]),
        (PROMPT, REQUEST.format('{% include "tome" %}').encode(), [PROMPT, "`tome`", "tone"]),
        ("partials/tone.md", b'{% include "tone" %}', ["tone.md", "tone"]),
        (PROMPT, (REQUEST.format("hi") + "modelParameters:\n  temprature: 1\n").encode(), [PROMPT, "temprature"]),
        (PROMPT, REQUEST.format("Hello {{ costumer }}").encode(), [PROMPT, "costumer"]),
        (
            "rollout.yaml",
            b"alpha: 0.05\nsteps:\n  - setWeight: 300\n",
            ["rollout.yaml:3", "steps[0].setWeight", "<= 100"],
        ),
    ],
    ids=["yaml", "encoding", "missing-partial", "cyclic-partial", "model-field", "variable", "plan"],
)
def test_a_push_of_a_broken_folder_says_where_and_stores_nothing(
    trimtab: Trimtab, plane: ControlPlane, draft: Path, name: str, content: bytes, said: list[str]
) -> None:
    before = state(plane)
    (draft / name).write_bytes(content)
    done = trimtab("push", "draft", "--json")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    for part in said:
        assert part in done.stderr
    assert state(plane) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("environment", "set", "support-reply", "#1"), "Missing option '--reason'"),
        (("push", "absent"), "absent"),
        (("release", "list", "suport-reply"), "there is no feature `suport-reply`"),
        (("rollout", "start", "support-reply", "#1"), "environment set support-reply"),
        (("rollout", "explain", "support-reply"), "trimtab rollout list"),
        (("trace", "gen_123"), "is not a Trimtab id"),
        (("--config", "absent.toml", "running"), "absent.toml"),
        (("prompt", "import", "absent.prompt", "--to", "x"), "absent.prompt"),
    ],
    ids=lambda value: value.replace(" ", "-")[:20] if isinstance(value, str) else value[-1],
)
def test_misuse_is_status_2_with_a_way_out(
    trimtab: Trimtab, plane: ControlPlane, arguments: tuple[str, ...], said: str
) -> None:
    before = state(plane)
    done = trimtab(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert state(plane) == before


def test_an_environment_name_cannot_lead_out_of_the_data_directory(trimtab: Trimtab, pushed: Path) -> None:
    done = trimtab("--environment", "../../escaped", "environment", "set", "support-reply", "#1", "--reason", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "../../escaped" in done.stderr
    assert not list(pushed.parent.rglob("escaped*"))


def test_a_command_that_could_not_be_done_is_status_3(trimtab: Trimtab, pushed: Path) -> None:
    (pushed / "a-file").write_text("not a folder")
    done = trimtab("release", "list", "support-reply", TRIMTAB_DIRECTORY="a-file/data")
    assert (done.returncode, done.stdout) == (3, "")
    assert "a-file" in done.stderr
    assert "TRIMTAB_DIRECTORY" in done.stderr


def test_a_snapshot_that_cannot_be_read_is_status_3(trimtab: Trimtab, pushed: Path) -> None:
    broken = pushed / "broken" / "snapshots"
    broken.mkdir(parents=True)
    (broken / "production.json").write_text("{")
    done = trimtab("running", TRIMTAB_DIRECTORY="broken")
    assert (done.returncode, done.stdout) == (3, "")
    assert "production.json" in done.stderr


def test_the_server_refuses_to_listen_off_loopback(trimtab: Trimtab) -> None:
    done = trimtab("server", "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "loopback only" in done.stderr


def test_import_writes_a_folder_that_can_be_pushed_and_never_over_another(trimtab: Trimtab, pushed: Path) -> None:
    (pushed / "greet.prompt").write_text(
        "---\nmodel: openai/gpt-4o-mini\ninput:\n  schema:\n    name: string\n---\nGreet {{name}}.\n"
    )
    done = trimtab("prompt", "import", "greet.prompt", "--to", "greet")
    assert done.returncode == 0, done.stderr
    written = done.stdout.split()
    assert written
    assert all((pushed / name).is_file() for name in written)
    assert done.stderr.endswith("next: trimtab push greet\n")
    again = trimtab("prompt", "import", "greet.prompt", "--to", "greet")
    assert (again.returncode, again.stdout) == (2, "")
    assert "nothing was written" in again.stderr
    release = json.loads(trimtab("push", "greet", "--json").stdout)
    assert release["release"] == "greet#1"


def test_an_audit_log_changed_behind_its_back_is_status_1(trimtab: Trimtab, pushed: Path) -> None:
    copy = pushed / "tampered"
    copy.mkdir()
    with sqlite3.connect(pushed / ".trimtab/control.db") as source, sqlite3.connect(copy / "control.db") as target:
        source.backup(target)
        triggers = target.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            target.execute(f"DROP TRIGGER {name}")
        (body,) = target.execute("SELECT body FROM audit WHERE sequence = 2").fetchone()
        assert b'"ada"' in body
        target.execute("UPDATE audit SET body = ? WHERE sequence = 2", (body.replace(b'"ada"', b'"eve"'),))
    source.close()
    target.close()
    done = trimtab("audit", "verify", "--json", TRIMTAB_DIRECTORY="tampered")
    assert done.returncode == 1
    assert "2" in json.loads(done.stdout)["broken"]
    assert done.stderr == ""
