"""The other side of `sandbox`: `python -I sandbox_worker.py module:function MEMORY_MB FOLDER...`.

Standard library only. Reads one JSON list of arguments a line, writes one JSON object a line: `{"value": ...}` or
`{"error": "..."}`.
"""

import contextlib
import importlib
import json
import os
import sys
from typing import Any

LONGEST_ERROR = 300


def main() -> None:
    """Load the function and answer calls until stdin ends."""
    reference, memory_mb, *folders = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the function prints is nobody's answer
    _limit(int(memory_mb))
    sys.path[:0] = folders
    module, _, name = reference.partition(":")
    function: Any = None
    with _Foreign() as loading:
        function = getattr(importlib.import_module(module), name)
    _say(answers, {"error": loading.problem} if loading.problem else {"value": None})
    if loading.problem:
        return
    for line in sys.stdin:
        said = {}
        with _Foreign() as call:
            said = {"value": function(*json.loads(line))}
            json.dumps(said, allow_nan=False)  # what it returned may be no JSON
        _say(answers, {"error": call.problem} if call.problem else said)


class _Foreign:
    """Keeps what the user's code raises as a text."""

    problem = ""

    def __enter__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204 - as light as can be
        return self

    def __exit__(self, kind, error, trace) -> bool:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as above
        if isinstance(error, Exception):
            self.problem = f"{kind.__name__}: {error}"[:LONGEST_ERROR]
        return isinstance(error, Exception)


def _limit(memory_mb: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 1024 * 1024, memory_mb * 1024 * 1024))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(answers, value) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as light as can be
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
