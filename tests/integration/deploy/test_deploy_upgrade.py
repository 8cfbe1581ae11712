"""A rolling upgrade: the link to the installation is turned, SIGHUP, and no request is lost.

Two installations, told apart by the version that they say they are; the unit starts whichever `current` leads to.
"""

from __future__ import annotations

import http.client
import signal
import site
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def install(place: Path, version: str) -> None:
    """Make an installation of this Trimtab that says it is of a version."""
    venv.create(place, symlinks=True, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    told = packages / f"trimtab-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trimtab\nVersion: {version}\n")
    here = [*site.getsitepackages(), str(Path(__file__).parents[3] / "src")]
    (packages / "here.pth").write_text("\n".join(here) + "\n")


def version_at(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode().partition('version="')[2].partition('"')[0]
    finally:
        connection.close()


@pytest.mark.slow
def test_an_upgrade_loses_no_request(pushed: Path, start: Callable[..., Any], users: Callable[[int], Any]) -> None:
    install(pushed / "v1", "1.0.0")
    install(pushed / "v2", "2.0.0")
    (pushed / "current").symlink_to("v1")
    sim = start(sys.executable, "-m", "trimtab", "sim", "--port", "0")
    upstream = sim.wait_for("upstream on ").rpartition(" on ")[2]
    (pushed / "trimtab.toml").write_text(
        "[gateway]\nworkers = 2\ndrain_idle_seconds = 0.5\n"
        f'[providers.openai]\nbase_url = "{upstream}"\napi_key_env = ""\n'
    )
    gateway = start(str(pushed / "current" / "bin" / "python"), "-m", "trimtab", "gateway", "--port", "0")
    port = int(gateway.wait_for("gateway listening").rpartition(":")[2].partition("/")[0])
    assert version_at(port) == "1.0.0"
    asking = users(port)
    asking.wait_for_answers(50)
    (pushed / "next").symlink_to("v2")
    (pushed / "next").rename(pushed / "current")
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for("gateway reloaded")
    asking.wait_for_answers(50)
    asking.stop()
    assert {version_at(port) for _ in range(10)} == {"2.0.0"}
    assert asking.failed == []
