"""Control state in Postgres, the rest in a data directory: dumped, backed up, restored elsewhere as documented."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib.resources import as_file, files
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any

import pytest
from tests.postgres import PostgresServer, find_binaries

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.settings import load_settings
from trimtab.core.ids import new_id
from trimtab.events import Generation
from trimtab.serving.runtime import DataPlane

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.bootstrap.settings import Settings


def tool(name: str) -> str:
    binaries = find_binaries()
    found = shutil.which(name, path=str(binaries)) if binaries else None
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path, **environ: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    ended = subprocess.run(
        [str(one) for one in command], capture_output=True, text=True, timeout=90, env=kept | environ
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def settings_of(root: Path, url: str) -> Settings:
    return load_settings(environ={"TRIMTAB_DIRECTORY": str(root), "TRIMTAB_DATABASE": url, "TRIMTAB_ACTOR": "ada"})


def test_a_dump_and_a_backup_restored_elsewhere_are_whole(tmp_path: Path, postgres: PostgresServer) -> None:
    here, there = postgres.new_store_url(), postgres.new_database()
    dump, archive = tmp_path / "dump", tmp_path / "backup.tar.zst"
    folder = tmp_path / "support-reply"
    with as_file(files("trimtab.demo") / "support-reply") as example:
        copytree(example, folder, ignore=ignore_patterns("__pycache__"))
    settings = settings_of(tmp_path / "data", here)
    plane = open_control(settings)
    plane.push(folder)
    plane.set_pointer("support-reply", "#1", reason="first")
    entries, _ = plane.audit()
    plane.close()
    serving = DataPlane.open(settings.data_directory, environment="production", kind="gateway")
    now_ms = time.time_ns() // 1_000_000
    about: dict[str, Any] = {"feature": "support-reply", "environment": "production", "release": "sha256:1"}
    call = Generation(id=new_id("gen", now_ms), at_ms=now_ms, **about)
    assert serving.record(call)

    run(tool("pg_dump"), "-Fc", "-f", dump, here)
    environ = {"TRIMTAB_DATABASE": here, "TRIMTAB_DIRECTORY": str(tmp_path / "data")}
    trimtab = (sys.executable, "-m", "trimtab")
    run(*trimtab, "backup", archive, **environ)
    serving.close()

    run(tool("pg_restore"), "--no-owner", "-d", there, dump)
    elsewhere = {"TRIMTAB_DATABASE": there, "TRIMTAB_DIRECTORY": str(tmp_path / "elsewhere")}
    told = run(*trimtab, "restore", archive, **elsewhere)
    assert f"audit log whole: {len(entries)} entries" in told
    assert call.id in run(*trimtab, "trace", call.id, **elsewhere)
    restored = open_control(settings_of(tmp_path / "elsewhere", there))
    try:
        assert restored.audit()[1] == ""
        assert [one.number for one in restored.releases("support-reply")] == [1]
    finally:
        restored.close()
