"""What a query may name: our tables and its own, and functions that read nothing but their arguments.

DuckDB must open the files behind our tables, so it would open them by their paths as well: also those that were merged
away or rewritten by an erasure and are not deleted yet. So the names are looked at before it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from trimtab.core.errors import InputError
from trimtab.evidence.query_errors import no_files, no_function, no_table, refusal
from trimtab.evidence.tables import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TABLE_FUNCTIONS", "check_scope", "one_select"]

TABLE_FUNCTIONS = ("range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree")
"""Those that make rows of their arguments; all others read files, settings or the catalog, or do something."""
_FILE_FUNCTIONS = ("read_", "parquet_", "glob", "sniff_")
_REFUSED = frozenset({"current_setting", "getenv", "getvariable", "write_log"})
_PATH = frozenset("/.*\\")
"""A table whose name holds one of these would be a file."""


def one_select(sql: str) -> duckdb.Statement:
    """Return the one SELECT that a query is; raises `InputError` (`not_a_question`) for anything else."""
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InputError("not_a_question", "this is not one SELECT", param="sql", hint="evidence is read only")
    return statements[0]


def check_scope(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise `InputError` where a query is not one SELECT, or names what is not for queries."""
    try:
        one_select(sql)
        (row,) = cursor.execute("SELECT json_serialize_sql($sql::VARCHAR)", {"sql": sql}).fetchall()
    except duckdb.Error as error:
        raise refusal(error) from error
    tree = msgspec.json.decode(row[0])
    if tree["error"]:
        raise InputError("invalid_query", f"the query cannot be answered: {tree['error_message']}", param="sql")
    nodes = list(_nodes(tree["statements"]))
    tables = {*KINDS, *(name for node in nodes for name in _with(node))}
    for node in nodes:
        _check(node, tables)


def _check(node: dict[str, Any], tables: set[str]) -> None:
    match node:
        case {"type": "BASE_TABLE", "qualified_name": {"path": [*path]}}:
            _check_table(path, tables)
        case {"type": "SHOW_REF", "show_type": "SHOW_SPECIAL"}:
            raise no_table(str(node["table_name"]).strip('"'))
        case {"type": "SHOW_REF", "qualified_name": {"path": [_, *_] as path}}:
            _check_table(path, tables)
        case {"type": "TABLE_FUNCTION", "function": {"function_name": str(name)}}:
            if name.lower().startswith(_FILE_FUNCTIONS):
                raise no_files()
            if name.lower() not in TABLE_FUNCTIONS:
                raise no_function(name.lower(), TABLE_FUNCTIONS)
        case {"function_name": str(name)} if name.lower() in _REFUSED:
            raise no_function(name.lower(), TABLE_FUNCTIONS)


def _check_table(path: list[str], tables: set[str]) -> None:
    if any(_PATH & set(part) for part in path):
        raise no_files()
    if len(path) != 1 or path[0].lower() not in tables:
        raise no_table(".".join(path))


def _with(node: dict[str, Any]) -> list[str]:
    """Return the names that a node's WITH gives to queries."""
    match node:
        case {"cte_map": {"map": [*named]}}:
            return [one["key"].lower() for one in named]
    return []


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Yield every object of a syntax tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
