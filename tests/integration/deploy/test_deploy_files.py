"""What deploy/ ships is taken by the programs it is for, where those are installed; and says what the code means."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from trimtab.bootstrap.settings import GatewaySettings, load_settings
from trimtab.cli.main import COMMANDS

DEPLOY = Path(__file__).parents[3] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
RUNS_LONG = [path for path in UNITS if path.stem != "trimtab-backup"]


def found(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def run(*command: str | Path) -> str:
    ended = subprocess.run([str(one) for one in command], capture_output=True, text=True, timeout=60)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    return said


def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    analyze = found("systemd-analyze")
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/opt/trimtab/current/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text)
    assert run(analyze, "verify", *sorted(tmp_path.iterdir())) == ""


@pytest.mark.parametrize("unit", RUNS_LONG, ids=lambda path: path.stem)
def test_systemd_rates_the_units_as_hardened(unit: Path) -> None:
    analyze = found("systemd-analyze")
    if "--offline" not in run(analyze, "--help"):
        pytest.skip("this systemd cannot rate units that are not loaded")
    rating = re.search(r"Overall exposure level for \S+: ([0-9.]+)", run(analyze, "security", "--offline=true", unit))
    assert rating is not None
    assert float(rating[1]) <= 2.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units_run_commands_that_there_are(unit: Path) -> None:
    line = re.search(r"-m trimtab --config \S+ (\S+)", unit.read_text())
    assert line is not None
    assert line[1] in COMMANDS


def test_the_gateway_is_given_its_time_to_drain() -> None:
    text = (DEPLOY / "systemd" / "trimtab-gateway.service").read_text()
    wait = re.search(r"TimeoutStopSec=(\d+)", text)
    assert wait is not None
    assert int(wait[1]) > GatewaySettings().drain_seconds + 5  # the supervisor's grace
    assert "KillMode=mixed" in text


def test_the_settings_are_settings() -> None:
    settings = load_settings(config=DEPLOY / "trimtab.toml", environ={})
    assert settings.gateway.workers == 4
    assert str(settings.data_directory.root) == "/var/lib/trimtab"


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    nginx = found("nginx")
    authority = trustme.CA()
    for name in ("llm", "console"):
        issued = authority.issue_cert(f"{name}.example.com")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    text = (DEPLOY / "proxy" / "nginx.conf").read_text().replace("/etc/nginx/tls", str(tmp_path))
    whole = tmp_path / "nginx.conf"
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole.write_text(
        f"pid {tmp_path}/pid;\nerror_log {tmp_path}/log;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{text}}}\n"
    )
    assert "test is successful" in run(nginx, "-t", "-c", whole, "-p", tmp_path)


def test_haproxy_takes_its_configuration() -> None:
    run(found("haproxy"), "-c", "-f", DEPLOY / "proxy" / "haproxy.cfg")


def test_the_image_runs_as_nobody_in_particular_and_holds_no_build() -> None:
    lines = (DEPLOY / "container" / "Containerfile").read_text().splitlines()
    stages = [index for index, line in enumerate(lines) if line.startswith("FROM ")]
    assert len(stages) == 2
    last = lines[stages[-1] :]
    assert "USER 10001:10001" in last
    assert not [line for line in last if "pip" in line or line.startswith("COPY src")]
    copied = {word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]}
    root = DEPLOY.parent
    assert {name for name in copied if not (root / name).exists()} == set()
    ignored = (DEPLOY / "container" / "Containerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= set(ignored)
    extras = re.search(r'"\.\[([a-z,]+)\]"', "\n".join(lines))
    assert extras is not None
    assert all(f"\n{extra} = [" in (root / "pyproject.toml").read_text() for extra in extras[1].split(","))
