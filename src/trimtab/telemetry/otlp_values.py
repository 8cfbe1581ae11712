"""Python values as OTLP's attribute values, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["attribute_map", "key_values", "plain_value"]


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Return attributes; those that are `None` or empty are left out."""
    return [
        KeyValue(key=name, value=_any_value(value))
        for name, value in attributes.items()
        if value is not None and value not in ("", [])
    ]


def _any_value(value: Any) -> AnyValue:  # noqa: ANN401 - what attributes may be
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=sound(value))
        case list():
            return AnyValue(array_value=ArrayValue(values=[_any_value(one) for one in value]))
    raise TypeError(f"no attribute can be a {type(value).__name__}")


def sound(text: str) -> str:
    """Return text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def attribute_map(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes as Python values."""
    return {one.key: plain_value(one.value) for one in attributes}


def plain_value(value: AnyValue) -> Any:  # noqa: ANN401 - what attributes may be
    """Return one value: text, number, truth, bytes, or lists and dicts of them."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return attribute_map(value.kvlist_value.values)
    return getattr(value, kind)
