from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.artifacts.files import MAX_FILE_BYTES, read_text
from trimtab.artifacts.json_source import parse_json
from trimtab.artifacts.yaml_source import parse_yaml
from trimtab.artifacts.yaml_writer import dump_yaml
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path


def failure(text: str, *, as_json: bool = False) -> SourceError:
    with pytest.raises(SourceError) as caught:
        (parse_json if as_json else parse_yaml)(text, "f")
    return caught.value


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "malformed_yaml", 3),
        ("a: 1\n\tb: 2\n", "malformed_yaml", 2),
        ("a: 1\nb: 2\na: 3\n", "duplicate_key", 3),
        ("a:\n  x: 1\n  x: 1\n", "duplicate_key", 3),
        ("a: !!python/object/apply:os.system [ls]\n", "unsupported_yaml", 1),
        ("a: &a [*a]\n", "malformed_yaml", 1),
        ("a: 1\n---\nb: 2\n", "unsupported_yaml", 2),
        ("? [x]\n: 1\n", "unsupported_yaml", 1),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "unsupported_yaml", 3),
        ("a: 1\nb: .inf\n", "number_out_of_range", 2),
        ("a: 12345678901234567890123\n", "number_out_of_range", 1),
        ("a: 1\nb: \x01\n", "malformed_yaml", 2),
        ("[" * 200 + "]" * 200, "too_deep", 1),
        ("[" * 100_000, "too_deep", 1),
    ],
)
def test_wrong_yaml_is_refused_with_its_line(text: str, code: str, line: int) -> None:
    error = failure(text)
    assert (error.code, error.line) == (code, line)


def test_aliases_that_explode_are_stopped() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for n in range(1, 12):
        text += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n"
    assert failure(text).code == "too_large"


def test_an_honest_alias_works() -> None:
    assert parse_yaml("a: &x {k: 1}\nb: *x\n", "f").plain() == {"a": {"k": 1}, "b": {"k": 1}}


def test_an_explicit_type_decides() -> None:
    assert parse_yaml('a: !!str 1\nb: !!int "1"\nc: ! 2\n', "f").plain() == {"a": "1", "b": 1, "c": "2"}


def test_scalars_follow_yaml_1_2_not_1_1() -> None:
    text = "a: no\nb: 2024-01-01\nc: 010\nd: 0x1F\ne: 1e3\nf: ~\ng: 'true'\nh: true\ni: 12:30:45\nj: 0o17\n"
    assert parse_yaml(text, "f").plain() == {
        "a": "no",
        "b": "2024-01-01",
        "c": 10,
        "d": 31,
        "e": 1000.0,
        "f": None,
        "g": "true",
        "h": True,
        "i": "12:30:45",
        "j": 15,
    }


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ('{"a": 1,\n "a": 2}', "duplicate_key", 2),
        ('{"a": 1,\n}', "malformed_json", 2),
        ("[1,\n2,\n]", "malformed_json", 3),
        ('{"a": NaN}', "malformed_json", 1),
        ('{"a": 1}\n{"b": 2}', "malformed_json", 2),
        ('{"a": "\\ud800"}', "malformed_json", 1),
        ('{"a"\n1}', "malformed_json", 2),
        ('{"a": 1e999}', "number_out_of_range", 1),
        ("", "malformed_json", 1),
        ("[" * 100_000, "too_deep", 1),
        ('{\n"a": "x\n', "malformed_json", 2),
    ],
)
def test_wrong_json_is_refused_with_its_line(text: str, code: str, line: int) -> None:
    error = failure(text, as_json=True)
    assert (error.code, error.line) == (code, line)


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([True, False]), st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_the_standard_library_reads_it(value: Any, escape: Any, indent: Any) -> None:
    text = json.dumps(value, ensure_ascii=escape, indent=indent)
    assert parse_json(text, "f").plain() == value


@given(VALUES.filter(lambda value: isinstance(value, list | dict)))
def test_yaml_that_a_writer_wrote_is_read_back(value: Any) -> None:
    assert parse_yaml(dump_yaml(value).decode(), "f").plain() == value


@settings(max_examples=300)
@given(st.text(st.sampled_from(list("ab:-[]{}&*!|>'\"%#,? \n\t\\01.~<\x00\ud800\ufeff")), max_size=40) | st.text())
def test_whatever_the_text_only_a_source_error_is_raised(text: str) -> None:
    for parse in (parse_yaml, parse_json):
        with contextlib.suppress(SourceError):
            json.dumps(parse(text, "f").plain()).encode()


def test_a_file_that_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(SourceError, match="0xe9 at offset 11") as caught:
        read_text(path)
    assert (caught.value.code, caught.value.line) == ("not_utf8", 2)


def test_a_file_over_one_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(SourceError) as caught:
        read_text(path)
    assert caught.value.code == "file_too_large"


def test_line_ends_and_byte_order_mark_of_another_system_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: |\r\n  x\r\n  y\r\n")
    assert parse_yaml(read_text(path), "f").plain() == {"a": "x\ny\n"}
