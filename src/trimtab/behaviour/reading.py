"""One output, read once for all detectors: what each needs is worked out when it is first asked for."""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from trimtab.artifacts.output_steps import embedded_json, only_code_block
from trimtab.behaviour.language import language_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trimtab.behaviour.model import Expected, Output

__all__ = ["NO_JSON", "Call", "Place", "Reading", "Usual", "type_name"]

Place = tuple[str, ...]
"""Where a value stands: `("text",)`, `("json", key)` or `("tool", name, key)`."""
_LONGEST_CHOICE = 40
"""Characters of a value that may be a choice."""
NO_JSON = object()
"""Stands for "is no JSON": `None` is JSON's null."""
_LOOKS_LIKE_CODE = re.compile(
    r"^[ \t]*(?:def |class |import |from \w|return\b|for .*:|while .*:|if .*:|with .*:|try:|@\w|async def |"
    r"[\w.\[\]]+ *[-+*/]?= *\S)",
    re.MULTILINE,
)
_LATEX = re.compile(
    r"\\[(\[]|\$\$|\\(?:frac|boxed|sqrt|times|cdot|text|begin|sum|leq?|geq?|equiv|mod)\b|\$[^$\n\\^_]*[\\^_][^$\n]*\$"
)
_ONE_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{1,31}")
_STATEMENTS = (ast.Expr, ast.Pass)
_LONGEST_CODE = 200_000


@dataclass(frozen=True, slots=True)
class Usual:
    """What is most common among the outputs of *both* sides: whichever side an output is on, it is judged alike."""

    keys: frozenset[str] | None = None
    """Of a JSON object."""
    order: dict[frozenset[str], tuple[str, ...]] = field(default_factory=dict)
    """Most common order of the same keys."""
    types: dict[str, str] = field(default_factory=dict)
    """Most common type of each key's value."""
    cases: dict[str, str] = field(default_factory=dict)
    """Most common letter case of each key's one-word strings."""
    arguments: dict[str, frozenset[str]] = field(default_factory=dict)
    """Most common argument keys of each tool."""
    argument_types: dict[tuple[str, str], str] = field(default_factory=dict)
    """Most common type of each tool's argument."""
    language: str = ""
    opening: str = ""
    """The first four characters of a text, letters as `a` and digits as `0`."""
    ending: str = ""
    """The last character of a text, the same way."""


class Call:
    """One tool call: its name and what its arguments are."""

    __slots__ = ("arguments", "name")

    def __init__(self, raw: dict[str, Any]) -> None:
        function = raw.get("function")
        said = function if isinstance(function, dict) else raw
        self.name = str(said.get("name") or "")
        arguments = said.get("arguments", said.get("input"))
        if isinstance(arguments, str):
            arguments = parse_json(arguments)
        self.arguments: dict[str, Any] | None = arguments if isinstance(arguments, dict) else None
        """`None` where they are no JSON object."""


class Reading:
    """An output and what detectors ask of it."""

    def __init__(self, output: Output, expected: Expected, usual: Usual | None = None) -> None:
        """`usual` may be set later: it takes a look at every output."""
        self.output = output
        self.text = output.text
        self.expected = expected
        self.usual = usual or Usual()

    @cached_property
    def stripped(self) -> str:
        """The text without white space at its ends."""
        return self.text.strip()

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.splitlines()

    @cached_property
    def lower(self) -> str:
        """The text in lower case, with plain apostrophes."""
        return self.text.lower().replace("\u2019", "'")

    @cached_property
    def fences(self) -> list[str]:
        """Lines that open or close a code fence, without their indentation."""
        if "```" not in self.text:
            return []
        return [line.strip() for line in self.lines if line.lstrip().startswith("```")]

    @cached_property
    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The object or array that the whole text is, else `NO_JSON`."""
        return parse_json(self.stripped) if self.stripped[:1] in {"{", "["} else NO_JSON

    @cached_property
    def inner_json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The object or array that the text is or holds (as step `extract_json` has it), else `NO_JSON`."""
        if self.json is not NO_JSON:
            return self.json
        found = embedded_json(self.text)
        return NO_JSON if found is self.text or found == self.text else parse_json(found)

    @cached_property
    def object(self) -> dict[str, Any] | None:
        """The JSON object that the text is or holds."""
        return self.inner_json if isinstance(self.inner_json, dict) else None

    @cached_property
    def leaves(self) -> list[Any]:
        """Every value in the JSON that is no object and no array."""
        return [] if self.inner_json is NO_JSON else list(_leaves(self.inner_json))

    @cached_property
    def words(self) -> list[tuple[str, str]]:
        """The nearest key and the letter case of every string in the JSON that is one word."""
        return [] if self.inner_json is NO_JSON else list(_words(self.inner_json))

    @cached_property
    def is_code(self) -> bool:
        """Whether the text as given is Python."""
        return parses_as_python(self.text)

    @cached_property
    def holds_code(self) -> bool:
        """Whether the text is Python once its fence and what stands around it are gone."""
        return self.is_code or parses_as_python(only_code_block(self.text))

    @cached_property
    def language(self) -> str:
        """The language of the text; empty where it cannot be told."""
        return language_of(self.text)

    @cached_property
    def opening(self) -> str:
        """The first four characters, letters as `a` and digits as `0`."""
        return "".join(map(_class_of, self.stripped[:4]))

    @cached_property
    def ending(self) -> str:
        """The last character, letters as `a` and digits as `0`."""
        return "".join(map(_class_of, self.stripped[-1:]))

    @cached_property
    def latex(self) -> bool:
        """Whether the text has LaTeX."""
        return ("\\" in self.text or "$" in self.text) and _LATEX.search(self.text) is not None

    @cached_property
    def calls(self) -> list[Call]:
        """The tool calls."""
        return [Call(raw) for raw in self.output.tool_calls]

    @cached_property
    def choices(self) -> dict[Place, str]:
        """Short strings and booleans by the place where they stand: what may be a choice of few."""
        found: dict[Place, str] = {}
        if 0 < len(self.stripped) <= _LONGEST_CHOICE and self.object is None:
            found["text",] = self.stripped
        for key, value in _choices(self.object or {}):
            found["json", key] = value
        for call in self.calls:
            for key, value in _choices(call.arguments or {}):
                found.setdefault(("tool", call.name, key), value)
        return found


def _choices(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        if isinstance(value, bool):
            yield key, "true" if value else "false"
        elif isinstance(value, str) and len(value) <= _LONGEST_CHOICE:
            yield key, value


def type_name(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the JSON type of a value; `integer` and `number` are told apart."""
    return _TYPES.get(type(value), "null")


_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}


def _class_of(character: str) -> str:
    return "a" if character.isalpha() else "0" if character.isdigit() else character


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def parse_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text, `NO_JSON` where it is none."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return NO_JSON


def _leaves(value: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON value
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        else:
            yield one


def _words(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    waiting = [("", value)]
    while waiting:
        key, one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.items())
        elif isinstance(one, list):
            waiting.extend((key, inner) for inner in one)
        elif isinstance(one, str) and _ONE_WORD.fullmatch(one):
            yield key, _case_of(one)


def _case_of(word: str) -> str:
    if word.islower():
        return "lower"
    if word.isupper():
        return "UPPER"
    return "Capital" if word[0].isupper() and word[1:].islower() else "mixed"


def parses_as_python(text: str) -> bool:
    """Return whether a text is Python that does something: `Yes` and `42` parse, and are no programs."""
    if len(text) > _LONGEST_CODE or not _LOOKS_LIKE_CODE.search(text):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\(" and the like in a string are the model's affair
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(statement, _STATEMENTS) for statement in body)
