"""Items from the tests of a promptfooconfig.yaml, their assertions as checks of the item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.files import read_text
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.core.errors import SourceError
from trimtab.evals.datasets.item import Item, item_key
from trimtab.evals.datasets.records import read_csv, read_jsonl
from trimtab.evals.scoring.promptfoo_asserts import scorer_of_assertion

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.artifacts.document import Node

__all__ = ["read_promptfoo"]

_EXPECTED_COLUMN = "__expected"


def read_promptfoo(path: Path, *, judge: str = "", embedder: str = "") -> tuple[list[Item], list[str]]:
    """Return the items of a promptfoo configuration, and what of its assertions was not taken over.

    `judge` and `embedder` are models for assertions that name none. Raises `SourceError` with the line.
    """
    document = parse_yaml(read_text(path), str(path)).mapping()
    tests = document.get("tests")
    if tests is None or not tests.value:
        raise SourceError("no_items", "this configuration has no tests", path=str(path))
    default = document["defaultTest"].plain() if "defaultTest" in document else {}
    reader = _Reader(default if isinstance(default, dict) else {}, judge, embedder)
    if isinstance(tests.value, str):
        return _from_file(tests, path.parent), [
            "assertions of a file of tests are not read: `__expected` became `expected`"
        ]
    return [reader.item(node) for node in tests.items()], reader.notes()


def _from_file(node: Node, folder: Path) -> list[Item]:
    name = node.text().removeprefix("file://")
    path = folder / name
    if not path.is_file():
        raise node.error("missing_file", f"there is no file `{name}` beside the configuration")
    rename = {_EXPECTED_COLUMN: "expected"}
    if path.suffix == ".csv":
        return read_csv(read_text(path), str(path), rename=rename)
    if path.suffix == ".jsonl":
        return read_jsonl(read_text(path), str(path), rename=rename)
    raise node.error("unconvertible", f"tests in `{name}` are not read", hint="name a .csv or .jsonl file")


class _Reader:
    def __init__(self, default: dict[str, Any], judge: str, embedder: str) -> None:
        self._default = default
        self._models = {"judge": judge, "embedder": embedder}
        self._left_out: dict[str, int] = {}

    def item(self, node: Node) -> Item:
        test = node.plain()
        if not isinstance(test, dict):
            raise node.wrong_type("a mapping")
        variables = {**(self._default.get("vars") or {}), **(test.get("vars") or {})}
        if not variables:
            raise node.error("malformed_item", "this test has no `vars`: it asks nothing")
        assertions = [*(self._default.get("assert") or []), *(test.get("assert") or [])]
        checks = [check for one in assertions if (check := self._check(one)) is not None]
        labels = {**(self._default.get("metadata") or {}), **(test.get("metadata") or {})}
        return Item(
            id=item_key(variables, []),
            variables=variables,
            slices={str(key): value for key, value in labels.items() if isinstance(value, str)},
            source=f"{node.path}:{node.line}",
            checks=checks,
        )

    def _check(self, assertion: Any) -> dict[str, Any] | None:  # noqa: ANN401 - any JSON value
        found = scorer_of_assertion(assertion, **self._models) if isinstance(assertion, dict) else "no assertion"
        if isinstance(found, str):
            self._left_out[found] = self._left_out.get(found, 0) + 1
            return None
        check: dict[str, Any] = msgspec.to_builtins(found)
        return check

    def notes(self) -> list[str]:
        return [f"{reason} ({count:,} left out)" for reason, count in sorted(self._left_out.items())]
