"""Results of test suites in SQL (`releases.ports.RegistryTransaction`)."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from trimtab.releases.eval_result import EvalResult
from trimtab.storage import schema as t
from trimtab.storage.refusals import eval_conflict
from trimtab.storage.sql_tables import SqlTables

__all__ = ["SqlEvals"]


class SqlEvals(SqlTables):
    """Results of test suites."""

    def add_eval_result(self, result: EvalResult) -> None:
        self.insert(
            t.eval_result,
            eval_conflict(result),
            release=result.release,
            suite=result.suite,
            number=result.number,
            body=msgspec.json.encode(result),
        )

    def eval_results(self, release: str) -> list[EvalResult]:
        columns = t.eval_result.c
        query = sa.select(columns.body).where(columns.release == release)
        return self.many(EvalResult, query.order_by(*self.in_order(columns.suite, columns.number)))

    def latest_eval_result(self, release: str, suite: str) -> EvalResult | None:
        columns = t.eval_result.c
        query = sa.select(columns.body).where(columns.release == release, columns.suite == suite)
        return self.one(EvalResult, query.order_by(columns.number.desc()).limit(1))
