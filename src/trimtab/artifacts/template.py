"""What a template may do: one sandboxed minijinja dialect for checking and for serving.

Strict: an undefined variable is an error, never an empty string in a prompt. Texts are rendered as they stand: nothing
is escaped and a trailing newline is kept.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import minijinja

from trimtab.artifacts.template_lexer import tokenize
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trimtab.artifacts.model import PromptContent

__all__ = ["RENDER_FUEL", "PromptError", "check_templates", "check_text", "new_environment", "undeclared_variables"]

RENDER_FUEL = 100_000
"""Instructions one rendering may take; a loop that runs away stops here."""

_FUNCTIONS = frozenset({"dict", "namespace", "range"})
_UNSUPPORTED = frozenset({"block", "extends", "from", "import"})
_CALLED = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\s*\(")
_FILTER = re.compile(r"(?<!\|)\|\s*([A-Za-z_]\w*)")
_TEST = re.compile(r"\bis\s+(?:not\s+)?([A-Za-z_]\w*)")
_LITERAL_BRACES = "`{{`, `{%` and `{#` open a tag; to send them as they are, write {% raw %}...{% endraw %} around them"


class PromptError(InputError):
    """A prompt's template is wrong. Says where: which message or partial, and which line of its text (from 1)."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        message_index: int | None = None,
        partial: str | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        where = f"partial `{partial}`" if partial is not None else f"messages[{message_index}].content"
        if partial is None and message_index is None:
            where = "messages"
        super().__init__(code, message, param=where if line is None else f"{where} line {line}", hint=hint)
        self.message_index = message_index
        self.partial = partial
        self.line = line


def new_environment() -> minijinja.Environment:
    """Return an environment of the one dialect: strict, without loader, escaping or debugging, and bounded by fuel."""
    environment = minijinja.Environment(
        undefined_behavior="strict",
        fuel=RENDER_FUEL,
        keep_trailing_newline=True,
        auto_escape_callback=_never_escape,
        debug=False,
    )
    environment.remove_global("debug")  # it prints every variable, and into a prompt
    return environment


def undeclared_variables(prompt: PromptContent) -> set[str]:
    """Return the variables the templates take, partials not followed; raises `PromptError` as `check_templates`."""
    check_templates(prompt)
    names: set[str] = set()
    for message in prompt.messages:
        names |= _undeclared(message.content)
    return names


def check_templates(prompt: PromptContent) -> None:
    """Check every message.

    Raises `PromptError`: `template_syntax`, `unknown_filter`, `unknown_test`, `unknown_function`,
    `template_unsupported`.
    """
    for index, message in enumerate(prompt.messages):
        check_text(message.content, message_index=index)


def check_text(text: str, *, message_index: int | None = None, partial: str | None = None) -> None:
    """Check one template text; raises as `check_templates`."""
    try:
        undeclared = _undeclared(text)
    except minijinja.TemplateError as error:
        detail = error.detail or error.message
        raise PromptError(
            "template_syntax",
            f"the template cannot be read: {detail}",
            message_index=message_index,
            partial=partial,
            line=error.line,
            hint=_LITERAL_BRACES,
        ) from None
    for line, code, problem in _problems(text, undeclared):
        raise PromptError(code, problem, message_index=message_index, partial=partial, line=line, hint=_HINTS.get(code))


_HINTS = {
    "template_unsupported": "put the shared text into partials/ and write {% include 'name' %}",
    "unknown_function": "a template can call range, dict and namespace; pass other values as variables",
    "unknown_filter": "see the built-in filters of minijinja (upper, trim, join, default, tojson, ...)",
    "unknown_test": "see the built-in tests of minijinja (defined, none, string, number, in, ...)",
}


def _problems(text: str, undeclared: set[str]) -> Iterator[tuple[int, str, str]]:
    """What minijinja would only find while serving a request."""
    for token in tokenize(text):
        if token.kind not in {"expression", "statement"}:
            continue
        code = token.code
        keyword = code.partition(" ")[0]
        if token.kind == "statement" and keyword in _UNSUPPORTED:
            yield token.line, "template_unsupported", f"`{{% {keyword} %}}` needs another template while serving"
        for name in _CALLED.findall(code):
            if name in undeclared and name not in _FUNCTIONS:
                yield token.line, "unknown_function", f"there is no function `{name}`"
        for name in _FILTER.findall(code):
            if not _exists(f"''|{name}", "UnknownFilter"):
                yield token.line, "unknown_filter", f"there is no filter `{name}`"
        for name in _TEST.findall(code):
            if not _exists(f"'' is {name}", "UnknownTest"):
                yield token.line, "unknown_test", f"there is no test `{name}`"


def _undeclared(text: str) -> set[str]:
    names = set(_checker().undeclared_variables_in_str(text))
    called = {name for token in tokenize(text) for name in _CALLED.findall(token.code)}
    return names - (called & _FUNCTIONS)


@functools.lru_cache(maxsize=256)
def _exists(expression: str, missing: str) -> bool:
    try:
        _checker().eval_expr(expression)
    except minijinja.TemplateError as error:
        return error.kind != missing
    return True


@functools.cache
def _checker() -> minijinja.Environment:
    return new_environment()


def _never_escape(_name: str) -> bool:
    return False
