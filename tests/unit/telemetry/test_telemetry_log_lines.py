from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.bootstrap.logs import secrets_of
from trimtab.bootstrap.settings import load_settings
from trimtab.core.errors import StorageError
from trimtab.telemetry.log_lines import CONTEXT, HumanLines, JsonLines

SECRET = "sk-very-secret-0123456789"


def line(
    formatter: logging.Formatter, message: str, *values: object, error: BaseException | None = None, **extra: Any
) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("trimtab.test")
    logger.addHandler(handler)
    try:
        logger.warning(message, *values, exc_info=error, extra=extra)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


ANYTHING = st.text() | st.integers() | st.floats() | st.none() | st.binary(max_size=4) | st.lists(st.text(max_size=3))


@given(st.text(), st.dictionaries(st.sampled_from(CONTEXT), ANYTHING))
def test_every_line_is_one_json_object_whatever_it_tells(text: str, context: dict[str, Any]) -> None:
    told = line(JsonLines(), "%s", text, **context)
    assert told.endswith("\n")
    assert told.count("\n") == 1
    found = json.loads(told)
    assert (found["level"], found["logger"]) == ("warning", "trimtab.test")
    assert found["message"] == text.encode("utf-8", "replace").decode()
    assert found["at"].endswith("Z")


@given(st.text(), st.text())
def test_secrets_never_appear(before: str, after: str) -> None:
    error = raised(StorageError("no", f"cannot reach {SECRET}"))
    for formatter in (JsonLines([SECRET]), HumanLines([SECRET])):
        told = line(formatter, "%s", f"{before}{SECRET}{after}", error=error, path=f"/x?{SECRET}", hint=SECRET)
        assert SECRET not in told


def test_of_an_unexpected_exception_the_text_is_not_told_but_where_it_was() -> None:
    error = raised(ValueError("what the user wrote"), KeyError("also theirs"))
    told = json.loads(line(JsonLines(), "a call failed in Trimtab itself", error=error, generation="gen_1"))
    assert "user wrote" not in json.dumps(told)
    assert "theirs" not in json.dumps(told)
    assert (told["error"]["type"], told["error"]["cause"], told["generation"]) == ("ValueError", "KeyError", "gen_1")
    assert "raised" in told["error"]["stack"][-1]


def test_our_own_errors_are_told_with_their_code() -> None:
    told = json.loads(line(JsonLines(), "failed", error=raised(StorageError("disk_full", "the disk is full"))))
    assert told["error"]["code"] == "disk_full"
    assert told["error"]["message"] == "the disk is full"


def test_people_read_the_message_as_it_is_with_what_mends_it() -> None:
    assert line(HumanLines(), "gateway on %s", "http://h/v1", loop="x") == "gateway on http://h/v1\n"
    told = line(HumanLines(), "error: no", param="gateway.port", hint="free it")
    assert told == "error: no (at gateway.port)\n  hint: free it\n"
    assert "ValueError: why" in line(HumanLines(), "failed", error=raised(ValueError("why")))


def test_all_secrets_that_settings_know_of_are_found() -> None:
    settings = load_settings(
        environ={},
        flags={
            "database": "postgresql://trimtab:p%40ss-word@db/trimtab",
            "metrics.token_env": "SCRAPER",
            "otel.headers_env": "OTLP_HEADERS",
            "otel.endpoint": "https://user:collector-pass@collector",
        },
    )
    environ = {
        "OPENAI_API_KEY": "sk-1",
        "SCRAPER": "tok-1",
        "OTLP_HEADERS": "x-key=head%20er,x-team=t1",
        "PGPASSWORD": "pg-1",
        "TRIMTAB_RELAY_KEY": "tt-relay-1",
        "HOME": "/root",
    }
    found = secrets_of(settings, environ)
    assert {"sk-1", "tok-1", "head er", "pg-1", "tt-relay-1", "p@ss-word", "collector-pass"} <= found
    assert "/root" not in found


@pytest.mark.parametrize("short", ["", "a", "12345"])
def test_what_is_too_short_to_be_a_secret_hides_nothing(short: str) -> None:
    assert json.loads(line(JsonLines([short]), "12345 a"))["message"] == "12345 a"
