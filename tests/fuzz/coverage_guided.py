"""Fuzz guided by coverage, from the root of the repository: `python -m tests.fuzz.coverage_guided TARGET [OPTIONS]`.

The targets are those of `python -m tests.fuzz`: the bytes that atheris makes up are what hypothesis draws from, so that
it finds its way through the same requests, packets and streams by the branches of ours that they reach. atheris is
nothing that Trimtab depends on: `pip install atheris` where there is a wheel of it for this Python and machine. Options
are libFuzzer's own. For ten minutes, keeping what reached something new:

    mkdir -p .hypothesis/server
    python -m tests.fuzz.coverage_guided server .hypothesis/server -max_total_time=600

A failure is shown with its traceback, and its input written to `crash-...`; that file in place of the folder plays it
again.
"""

from __future__ import annotations

import sys
from importlib import import_module, util
from typing import Any

_USAGE = 2


def main(arguments: list[str]) -> int:
    if util.find_spec("atheris") is None:
        sys.stderr.write("atheris is not installed: `pip install atheris`, or fuzz with `python -m tests.fuzz`\n")
        return _USAGE
    atheris: Any = import_module("atheris")
    # What is imported in here counts its branches; hypothesis and the standard library would only make noise.
    with atheris.instrument_imports(include=["trimtab"], enable_loader_override=False):
        targets: dict[str, Any] = import_module("tests.fuzz.targets").TARGETS
    if len(arguments) < 2 or arguments[1] not in targets:
        sys.stderr.write(f"{__doc__}\ntargets: {', '.join(sorted(targets))}\n")
        return _USAGE
    atheris.Setup([arguments[0], *arguments[2:]], targets[arguments[1]].hypothesis.fuzz_one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
