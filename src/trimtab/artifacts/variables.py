"""Typed variables: what the templates take, against what is declared."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.template import PromptError, check_templates, undeclared_variables
from trimtab.artifacts.template_lexer import tokenize

if TYPE_CHECKING:
    from trimtab.artifacts.model import PromptContent

__all__ = ["VariablesReport", "variables_schema"]


class VariablesReport(msgspec.Struct, frozen=True, kw_only=True):
    """The schema a prompt's variables must satisfy, and what is worth a warning."""

    schema: dict[str, Any]
    unused: list[str] = []
    """Declared, but no template takes them."""

    @property
    def warnings(self) -> list[str]:
        """One line for people per thing that is allowed but probably not meant."""
        return [f"variable `{name}` is declared, but no template uses it" for name in self.unused]


def variables_schema(prompt: PromptContent, declared: dict[str, Any] | None = None) -> VariablesReport:
    """Return the JSON Schema of the variables of a prompt whose partials are inlined.

    Without a declaration it is inferred: every variable a template takes is required, unless the template asks
    whether it is there (`is defined`, `default`), and nothing else is taken. A declaration is checked: raises
    `PromptError` (`undeclared_variable`) for a variable that a template takes and the declaration does not know, unless
    it is open (`{}`, or `additionalProperties` or `patternProperties` given).
    """
    taken = undeclared_variables(prompt)
    if declared is None:
        optional = _asked_for(prompt)
        schema: dict[str, Any] = {"type": "object", "properties": {name: {} for name in sorted(taken)}}
        required = sorted(taken - optional)
        if required:
            schema["required"] = required
        return VariablesReport(schema=schema | {"additionalProperties": False})
    known = set(declared.get("properties", {}))
    missing = sorted(taken - known)
    if missing and not _open(declared):
        raise _undeclared(prompt, missing[0], known)
    return VariablesReport(schema=declared, unused=sorted(known - taken))


def _open(declared: dict[str, Any]) -> bool:
    return not declared or declared.get("additionalProperties", False) is not False or "patternProperties" in declared


def _asked_for(prompt: PromptContent) -> set[str]:
    pattern = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\s*(?:is\s+(?:not\s+)?(?:un)?defined\b|\|\s*(?:default|d)\b)")
    return {
        name
        for message in prompt.messages
        for token in tokenize(message.content)
        for name in pattern.findall(token.code)
    }


def _undeclared(prompt: PromptContent, name: str, known: set[str]) -> PromptError:
    index, line = _first_use(prompt, name)
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    hint = f"did you mean `{close[0]}`?" if close else f"declare it: variables: {{{name}: string}}"
    return PromptError(
        "undeclared_variable",
        f"the template uses `{name}`, which is not among the declared variables",
        message_index=index,
        line=line,
        hint=hint,
    )


def _first_use(prompt: PromptContent, name: str) -> tuple[int, int]:
    check_templates(prompt)
    word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    for index, message in enumerate(prompt.messages):
        for token in tokenize(message.content):
            if word.search(token.code):
                return index, token.line
    return 0, 1
