"""Results of test suites: the same in memory and in SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from trimtab.core.errors import ConflictError
from trimtab.releases.eval_result import EvalResult

if TYPE_CHECKING:
    from trimtab.rollout.ports import ControlStore


def result(number: int = 1, **changes: object) -> EvalResult:
    first = EvalResult(
        feature="f",
        release="sha256:1",
        suite="smoke",
        number=number,
        passed=True,
        source="stated",
        at_ms=1000 - number,
        actor="ci",
    )
    return msgspec.structs.replace(first, **changes)


def test_the_latest_result_is_the_one_recorded_last_whatever_its_clock_said(store: ControlStore) -> None:
    with store.write() as tx:
        assert tx.latest_eval_result("sha256:1", "smoke") is None
        for number in range(1, 12):
            tx.add_eval_result(result(number))
        tx.add_eval_result(result(suite="red-team", passed=False))
        tx.add_eval_result(result(release="sha256:2"))
    with store.read() as tx:
        assert tx.latest_eval_result("sha256:1", "smoke") == result(11)
        assert tx.latest_eval_result("sha256:2", "red-team") is None
        found = [(one.suite, one.number) for one in tx.eval_results("sha256:1")]
        assert found == [("red-team", 1), *[("smoke", number) for number in range(1, 12)]]
        assert tx.eval_results("sha256:3") == []


def test_a_result_is_never_replaced(store: ControlStore) -> None:
    with store.write() as tx:
        tx.add_eval_result(result())
    with pytest.raises(ConflictError, match="stored already"), store.write() as tx:
        tx.add_eval_result(result(passed=False))
    with store.read() as tx:
        assert tx.eval_results("sha256:1") == [result()]
