"""Writes YAML that people edit and `yaml_source` reads back exactly: long texts as blocks, no text like a number."""

from __future__ import annotations

from typing import Any

import yaml

from trimtab.artifacts.yaml_source import is_plain_text

__all__ = ["dump_yaml"]

_BREAKS = frozenset("\r\x85\u2028\u2029\ufeff")
"""Read as line breaks or dropped where they are not escaped."""


class _Dumper(yaml.SafeDumper):
    """Writes every value out where it stands."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - PyYAML's signature
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML quotes what YAML 1.1 would misread; YAML 1.2 reads a few more texts as numbers.
    block = "|" if "\n" in text else None
    style = '"' if _BREAKS.intersection(text) or not is_plain_text(text) else block
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return the UTF-8 YAML of a JSON value, keys in their order."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text.encode()
