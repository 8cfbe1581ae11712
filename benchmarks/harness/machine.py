"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["describe_machine"]

_GIB = 1024**3


def describe_machine() -> dict[str, str]:
    """Return processor, memory, kernel, Python, commit, privileges and date, for people."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory / _GIB:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{sys.version.split()[0]} ({_build()})",
        "trimtab": _commit(),
        "priority": "real-time load generator" if os.geteuid() == 0 else "ordinary (not root): noisier figures",
        "load_before": f"{os.getloadavg()[0]:.2f}",
    }


def _build() -> str:
    """Say how Python was built: without profile-guided optimisation it takes a fifth more CPU."""
    if Path(sys.executable).resolve().parent == Path("/usr/bin"):
        return "the system's"
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return "optimised build" if optimised else "build without optimisations"


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
        )
        return done.stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        " with local changes" if git("status", "--short", "--", "../../src") else ""
    )
