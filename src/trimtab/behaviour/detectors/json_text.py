"""JSON: does it parse, and does it hold what it held."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from trimtab.behaviour.detector import Detector
from trimtab.behaviour.reading import NO_JSON, type_name
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from trimtab.behaviour.reading import Reading

__all__ = ["DETECTORS", "validator"]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def _parses(reading: Reading) -> bool:
    """The whole text, white space at its ends aside, is a JSON object or array (RFC 8259: no NaN, no comments)."""
    return reading.json is not NO_JSON


def _wrapped(reading: Reading) -> bool:
    """The text is not JSON as it stands, but exactly one JSON object (or, without objects, one array) is inside it."""
    return reading.json is NO_JSON and reading.inner_json is not NO_JSON


def _trailing(reading: Reading) -> bool:
    """The text begins with a JSON object or array, and something other than white space follows it."""
    if reading.stripped[:1] not in {"{", "["} or reading.json is not NO_JSON:
        return False
    try:
        json.JSONDecoder().raw_decode(reading.stripped)
    except (ValueError, RecursionError):
        return False
    return True


def _schema(reading: Reading) -> bool:
    """The whole text is JSON and satisfies the feature's JSON Schema."""
    return reading.json is not NO_JSON and bool(validator(_schema_text(reading)).is_valid(reading.json))


def _unknown_keys(reading: Reading) -> bool | None:
    """The JSON object has a key, at any depth, that the schema's `properties` at that place do not name.

    Asked where the text is or holds an object; places for which the schema names no properties take any key.
    """
    return None if reading.object is None else _unknown(reading.object, reading.expected.schema or {})


def _keys(reading: Reading) -> bool | None:
    """The JSON object has exactly the keys that are most common among both sides' objects.

    Asked where the text is or holds an object. Of equally common sets of keys the first in the alphabet counts.
    """
    return None if reading.object is None else frozenset(reading.object) == reading.usual.keys


def _order(reading: Reading) -> bool | None:
    """The keys of the JSON object stand in the order most common among both sides' objects with the same keys."""
    if reading.object is None or len(reading.object) < 2:  # noqa: PLR2004 - one key has one order
        return None
    return tuple(reading.object) == reading.usual.order.get(frozenset(reading.object))


def _types(reading: Reading) -> bool | None:
    """Every value of the JSON object has the type most common for its key among both sides; null is no type."""
    if reading.object is None:
        return None
    usual = reading.usual.types
    return all(value is None or type_name(value) == usual.get(key) for key, value in reading.object.items())


def _null(reading: Reading) -> bool:
    """The JSON that the text is or holds has a null somewhere: what is not known is said so, not left out."""
    return any(value is None for value in reading.leaves)


def _empty_string(reading: Reading) -> bool:
    """The JSON that the text is or holds has an empty string somewhere."""
    return any(value == "" for value in reading.leaves if isinstance(value, str))


def _number_as_string(reading: Reading) -> bool:
    """The JSON that the text is or holds has a string that is a JSON number, such as "12.5"."""
    return any(isinstance(value, str) and _NUMBER.fullmatch(value) is not None for value in reading.leaves)


def _enum_case(reading: Reading) -> bool | None:
    """Every one-word string (2 to 32 letters, `_`, `-`) is in the letter case most common for its key on both sides.

    Lower, UPPER, Capital or mixed; at any depth, under the nearest key. Asked where the JSON has such a string.
    """
    usual = reading.usual.cases
    return all(case == usual.get(key) for key, case in reading.words) if reading.words else None


def _indented(reading: Reading) -> bool | None:
    """The JSON is written over several lines. Asked of texts that are JSON."""
    return None if reading.json is NO_JSON else "\n" in reading.stripped


def _schema_text(reading: Reading) -> str:
    return json.dumps(reading.expected.schema)


@lru_cache(maxsize=8)
def validator(schema: str) -> jsonschema_rs.Validator:
    """Return the compiled form of a JSON Schema; raises `InputError` where it is none."""
    try:
        return jsonschema_rs.validator_for(json.loads(schema))
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise InputError("invalid_schema", f"this is no JSON Schema: {error}", param="expected.schema") from error


def _unknown(value: Any, schema: Any) -> bool:  # noqa: ANN401 - any JSON value
    if not isinstance(schema, dict):
        return False
    if isinstance(value, list):
        return any(_unknown(one, schema.get("items")) for one in value)
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return False
    return any(key not in properties or _unknown(inner, properties[key]) for key, inner in value.items())


DETECTORS = (
    Detector("json.parses", "breaks", "is JSON as it stands", _parses, worse="fewer"),
    Detector("json.schema", "breaks", "satisfies the schema", _schema, worse="fewer", needs="schema"),
    Detector("json.wrapped", "breaks", "is not JSON but holds JSON", _wrapped, worse="more"),
    Detector("json.trailing", "breaks", "goes on behind its JSON", _trailing, worse="more"),
    Detector(
        "json.unknown_keys",
        "breaks",
        "has a key that is not in the schema",
        _unknown_keys,
        worse="more",
        needs="schema",
    ),
    Detector("json.keys", "breaks", "has the usual keys", _keys, worse="unusual"),
    Detector("json.types", "breaks", "has the usual type under every key", _types, worse="unusual"),
    Detector("json.number_as_string", "breaks", "writes a number as a string", _number_as_string, worse="either"),
    Detector("json.null", "breaks", "has a null", _null, worse="either"),
    Detector("json.enum_case", "breaks", "has the usual letter case in one-word values", _enum_case, worse="unusual"),
    Detector("json.empty_string", "content", "has an empty string", _empty_string),
    Detector("json.key_order", "style", "has its keys in the usual order", _order),
    Detector("json.indented", "style", "writes its JSON over several lines", _indented),
)
