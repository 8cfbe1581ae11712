"""JUnit's XML, as pytest, Jest, promptfoo and most others write it: counted while it is read, whatever its size."""

from __future__ import annotations

from xml.parsers import expat

from trimtab.core.errors import InputError
from trimtab.evals.tally import NAMES_KEPT, Tally

__all__ = ["count_junit"]

_ROOTS = {"testsuites", "testsuite"}
_LONGEST_NAME = 80


def count_junit(data: bytes) -> Tally:
    """Return how the cases ended. The suites' own totals are not asked: runners disagree on what they count.

    Raises `InputError` for what is not such XML; a document that declares entities is refused.
    """
    counter = _Counter()
    parser = expat.ParserCreate()
    parser.StartElementHandler = counter.start
    parser.EndElementHandler = counter.end
    parser.EntityDeclHandler = counter.entity
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat's signature: this is all of it
    except expat.ExpatError as error:
        raise InputError("malformed_report", f"this is not XML: {error}") from error
    return counter.tally()


class _Counter:
    def __init__(self) -> None:
        self._depth = 0
        self._name = ""
        self._case_depth = 0
        self._ended = "passed"
        self._counts = {"passed": 0, "failure": 0, "error": 0, "skipped": 0}
        self._examples: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and name not in _ROOTS:
            raise InputError("unknown_report", f"`<{name}>` is not JUnit's XML", hint="its root is `<testsuites>`")
        if name == "testcase":
            self._case_depth, self._ended = self._depth, "passed"
            self._name = attributes.get("name", "")
        elif self._depth == self._case_depth + 1 and name in self._counts and self._ended != "error":
            self._ended = name

    def end(self, name: str) -> None:
        if name == "testcase":
            self._counts[self._ended] += 1
            if self._ended in {"failure", "error"} and len(self._examples) < NAMES_KEPT:
                self._examples.append(" ".join(self._name.split())[:_LONGEST_NAME])
            self._case_depth = 0
        self._depth -= 1

    def entity(self, *_: object) -> None:
        raise InputError("malformed_report", "the report declares XML entities, which no test runner does")

    def tally(self) -> Tally:
        return Tally(
            passed=self._counts["passed"],
            failed=self._counts["failure"],
            errors=self._counts["error"],
            skipped=self._counts["skipped"],
            examples=tuple(name for name in self._examples if name),
        )
