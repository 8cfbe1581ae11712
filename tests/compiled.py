"""The data plane's tests once more, on what `hatch_build.py` makes of it: `python -m tests.compiled`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.harness.compiled import compiled_data_plane, compiled_modules, missing_tools

_ROOT = Path(__file__).parent.parent
_TESTS = (
    "tests/fuzz",
    "tests/integration/formats",
    "tests/integration/gateway",
    "tests/integration/http",
    "tests/integration/sdk",
    "tests/integration/serving",
    "tests/unit/calls",
    "tests/unit/providers",
    "tests/unit/sdk",
    "tests/unit/serving",
)


def main(arguments: list[str]) -> int:
    """Run them; returns pytest's exit status, 0 where this machine cannot compile."""
    missing = missing_tools()
    if missing:
        print(f"not tested compiled: {missing} (Debian: apt install gcc python3-dev)")
        return 0
    folder = compiled_data_plane()
    env = os.environ | {"PYTHONPATH": str(folder)}
    names = [module.removesuffix(".py").replace("/", ".") for module in compiled_modules()]
    said = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}, sys; [print(sys.modules[n].__file__) for n in {names}]"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name, where in zip(names, said.split("\n")[:-1], strict=True):
        if not (where.startswith(str(folder)) and where.endswith(".so")):
            raise SystemExit(f"`{name}` is not compiled: it comes from {where}")
    tests = [one for one in arguments if not one.startswith("-")] or _TESTS
    options = [one for one in arguments if one.startswith("-")]
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", *options, *tests]
    return subprocess.run(command, cwd=_ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
