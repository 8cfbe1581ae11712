from __future__ import annotations

import inspect

import pytest

from trimtab.core import errors
from trimtab.core.errors import SourceError, TrimtabError

CLASSES = [value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, TrimtabError)]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_stands_in_the_drawn_tree(error: type[TrimtabError]) -> None:
    assert error.__name__ in (errors.__doc__ or "")
    assert error.__name__ in errors.__all__


def test_an_error_says_what_where_and_how_to_mend_it() -> None:
    error = SourceError("malformed_yaml", "not YAML: tab", path="feature.yaml", line=3, hint="use spaces")
    assert str(error) == "not YAML: tab (at feature.yaml:3)\n  hint: use spaces"
    assert error.as_json() == {
        "error": {
            "type": "invalid_request_error",
            "code": "malformed_yaml",
            "message": "not YAML: tab",
            "param": "feature.yaml:3",
            "hint": "use spaces",
        }
    }
