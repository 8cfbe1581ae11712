"""What DuckDB says of a query, in the words of whoever asked it: of their tables, never of those behind them."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import duckdb

from trimtab.core.errors import InputError
from trimtab.evidence.tables import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["no_files", "no_function", "no_table", "refusal"]

_NO_TABLE = re.compile(r'Table with name "?(.+?)"? does not exist!')
_GUESS = re.compile(r'\n?Did you mean "[^\n]*')
_KIND = re.compile(r"^(\w+ )?Error: ")
_COLUMNS = "`DESCRIBE generations` lists its columns, as docs/reference/evidence-columns.md does"


def refusal(error: duckdb.Error) -> InputError:
    """Return the error that a person should read for one of DuckDB's."""
    text = str(error)
    if isinstance(error, duckdb.PermissionException):
        return no_files()
    if (missing := _NO_TABLE.search(text)) is not None:
        return no_table(missing[1])
    said = _KIND.sub("", _GUESS.sub("", text) if '"_' in text or '"pg_' in text else text, count=1)
    return InputError("invalid_query", f"the query cannot be answered: {said.strip()}", param="sql", hint=_hint(error))


def no_files() -> InputError:
    """Return the error of a query that names a file."""
    return InputError(
        "no_files", "a query reads what was recorded, and no other file", param="sql", hint=f"ask {_tables()}"
    )


def no_table(name: str) -> InputError:
    """Return the error of a query that names a table that is not for queries."""
    close = difflib.get_close_matches(name.lower(), KINDS, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"ask {_tables()}"
    return InputError("unknown_table", f"there is no table `{name}`", param="sql", hint=hint)


def no_function(name: str, tables: Sequence[str]) -> InputError:
    """Return the error of a query that calls what is not for queries; `tables` are the functions that FROM takes."""
    return InputError(
        "no_function",
        f"a query may not call `{name}`: it reads what was recorded, and does nothing else",
        param="sql",
        hint=f"ask {_tables()}; FROM also takes {', '.join(tables)}",
    )


def _hint(error: duckdb.Error) -> str | None:
    return _COLUMNS if isinstance(error, duckdb.BinderException) else None


def _tables() -> str:
    *first, last = KINDS
    return f"{', '.join(first)} and {last}"
