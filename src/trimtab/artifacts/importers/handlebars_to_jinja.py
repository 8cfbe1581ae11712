"""Translates Dotprompt's Handlebars to minijinja, split into messages where `{{role}}` stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.artifacts.importers.draft import feature_name
from trimtab.artifacts.importers.handlebars import Tag, Text, parse_arguments, tokenize_handlebars
from trimtab.artifacts.template_lexer import escape_literal, join_templates
from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Translation", "jinja_literal", "translate"]

_PATH = re.compile(r"(?:\.\./)*(?:this|\.|@?[A-Za-z_][\w-]*)?(?:[./]?[A-Za-z_]\w*|\.\[?\d+\]?)*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_LOOP = {"@index": "loop.index0", "@first": "loop.first", "@last": "loop.last"}
_ROLES = {"model": "assistant", "assistant": "assistant", "system": "system", "user": "user", "developer": "developer"}
_NO_EQUAL = {
    "history": "earlier turns come from the caller, after the release's messages: remove the tag",
    "media": "a message is text here: send images as messages of the caller",
    "section": "a release has no named sections: write the text where it belongs",
}
_LITERAL = re.compile(r"-?\d+(?:\.\d+)?|true|false|null|\"[^\"]*\"|'[^']*'")


@dataclass(slots=True)
class Translation:
    """The outcome: messages, and the partials they include."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    partials: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Block:
    """An open block: how it is closed, and what bare names mean inside it (`""` is the root)."""

    name: str
    closing: str
    context: str
    loops: bool
    line: int


def jinja_literal(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a JSON value as a minijinja expression."""
    match value:
        case None:
            return "none"
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)}: {jinja_literal(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(jinja_literal(item) for item in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def translate(
    text: str, path: str, first_line: int, *, optional: Mapping[str, Any], inside_partial: bool = False
) -> Translation:
    """Return a Dotprompt template as messages.

    `optional` maps the variables a caller may leave out to what stands in for them. Raises `SourceError`:
    `unconvertible` naming what has no equal, `malformed_template` for blocks that do not close.
    """
    translator = _Translator(path, optional, inside_partial=inside_partial)
    for piece in tokenize_handlebars(text, path, first_line):
        translator.take(piece)
    return translator.finish()


class _Translator:
    """Walks the pieces once, keeping the open blocks."""

    def __init__(self, path: str, optional: Mapping[str, Any], *, inside_partial: bool) -> None:
        self._path = path
        self._optional = optional
        self._inside_partial = inside_partial
        self._role = "user"
        self._template = ""
        self._blocks: list[_Block] = []
        self._result = Translation()

    def take(self, piece: Text | Tag) -> None:
        if isinstance(piece, Text):
            self._emit(escape_literal(piece.value))
            return
        match piece.sigil:
            case "!":
                if piece.trims_before or piece.trims_after:
                    self._emit(_dashed("{##}", piece))
            case "#":
                self._open(piece)
            case "/":
                self._close(piece)
            case ">":
                self._partial(piece)
            case "^" if piece.body:
                raise self._unconvertible(piece, f"the inverted block `{{{{^{piece.body}}}}}`", "write {{#unless}}")
            case _:
                self._value(piece)

    def finish(self) -> Translation:
        if self._blocks:
            block = self._blocks[-1]
            raise self._error("malformed_template", f"`{{{{#{block.name}}}}}` is never closed", block.line)
        self._flush()
        return self._result

    def _emit(self, template: str) -> None:
        # Dashes written for Handlebars' `~` are meant to reach over to the text beside them.
        brace = self._template.endswith("{") and template[:1] in set("{%#")
        self._template = join_templates(self._template, template) if brace else self._template + template

    def _flush(self) -> None:
        content = self._template if self._inside_partial else self._template.strip()
        if content:
            self._result.messages.append((self._role, content))
        self._template = ""

    def _error(self, code: str, message: str, line: int, hint: str | None = None) -> SourceError:
        return SourceError(code, message, path=self._path, line=line, hint=hint)

    def _unconvertible(self, tag: Tag, what: str, hint: str | None = None) -> SourceError:
        return self._error("unconvertible", f"{what} cannot be converted", tag.line, hint)

    def _arguments(self, tag: Tag) -> tuple[list[str], dict[str, str]]:
        arguments = parse_arguments(tag.body)
        if arguments is None or not arguments[0]:
            raise self._unconvertible(tag, f"`{{{{{tag.sigil}{tag.body}}}}}`")
        return arguments

    def _value(self, tag: Tag) -> None:
        words, named = self._arguments(tag)
        head = words[0]
        if head == "else" or tag.sigil == "^":
            self._else(tag, words)
        elif head == "role" and len(words) > 1:
            self._switch(tag, words[1])
        elif head in _NO_EQUAL:
            raise self._unconvertible(tag, f"`{{{{{head}}}}}`", _NO_EQUAL[head])
        elif head == "json" and len(words) > 1:
            indent = f"(indent={named['indent']})" if "indent" in named else ""
            self._emit(_dashed(f"{{{{ {self._expression(tag, words[1])}|tojson{indent} }}}}", tag))
            self._result.notes.append(
                "`{{json}}` became `|tojson`, which puts a space after : and , and writes <, >, & and ' as \\u escapes"
            )
        elif len(words) > 1 or named:
            raise self._unconvertible(tag, f"the helper `{head}`", "Dotprompt's own helpers are role, json, if, each")
        else:
            expression = self._expression(tag, head)
            if expression.startswith("(") and expression.endswith("))"):
                expression = expression[1:-1]  # a default alone needs no parentheses
            self._emit(_dashed(f"{{{{ {expression} }}}}", tag))

    def _switch(self, tag: Tag, name: str) -> None:
        role = _ROLES.get(name.strip("\"'"))
        if role is None:
            raise self._unconvertible(tag, f"the role {name}")
        if self._blocks or self._inside_partial:
            place = "a partial" if self._inside_partial else f"`{{{{#{self._blocks[-1].name}}}}}`"
            raise self._unconvertible(tag, f"`{{{{role}}}}` inside {place}", "which messages there are must be fixed")
        self._flush()
        self._role = role

    def _open(self, tag: Tag) -> None:
        words, named = self._arguments(tag)
        helper, rest = words[0], words[1:]
        known = {"if": 1, "unless": 1, "each": 1, "with": 1, "ifEquals": 2, "unlessEquals": 2}
        if known.get(helper) != len(rest) or named:
            raise self._unconvertible(tag, f"the block `{{{{#{tag.body}}}}}`")
        context = self._context()
        if helper == "each":
            depth = sum(block.loops for block in self._blocks)
            item = "item" if depth == 0 else f"item{depth + 1}"
            opening = f"{{% for {item} in {self._expression(tag, rest[0])} %}}"
            self._blocks.append(_Block(helper, "{% endfor %}", item, loops=True, line=tag.line))
        else:
            opening = f"{{% if {self._condition(tag, helper, rest)} %}}"
            if helper == "with":
                context = self._expression(tag, rest[0])
            self._blocks.append(_Block(helper, "{% endif %}", context, loops=False, line=tag.line))
        self._emit(_dashed(opening, tag))

    def _condition(self, tag: Tag, helper: str, rest: list[str]) -> str:
        if helper in {"ifEquals", "unlessEquals"}:
            operator = "==" if helper == "ifEquals" else "!="
            return f"{self._expression(tag, rest[0])} {operator} {self._expression(tag, rest[1])}"
        truth = self._truth(tag, rest[0])
        return f"not ({truth})" if helper == "unless" else truth

    def _truth(self, tag: Tag, word: str) -> str:
        """Missing counts as false in Handlebars; in a strict template it must be asked for."""
        expression = self._expression(tag, word)
        if not re.fullmatch(r"[A-Za-z_][\w.]*", expression) or expression.startswith("loop."):
            return expression
        steps = expression.split(".")
        asked = [".".join(steps[: end + 1]) for end in range(len(steps))]
        if steps[0].startswith("item") and self._context() == steps[0]:
            asked = asked[1:]
        return " and ".join([*(f"{step} is defined" for step in asked), expression])

    def _else(self, tag: Tag, words: list[str]) -> None:
        if not self._blocks:
            raise self._error("malformed_template", "`{{else}}` stands in no block", tag.line)
        if len(words) > 1:
            if words[1] not in {"if", "unless"} or self._blocks[-1].loops or len(words) != 3:  # noqa: PLR2004
                raise self._unconvertible(tag, f"`{{{{{tag.body}}}}}`")
            self._emit(_dashed(f"{{% elif {self._condition(tag, words[1], words[2:])} %}}", tag))
        else:
            self._emit(_dashed("{% else %}", tag))

    def _close(self, tag: Tag) -> None:
        if not self._blocks or self._blocks[-1].name != tag.body:
            raise self._error("malformed_template", f"`{{{{/{tag.body}}}}}` closes nothing that is open", tag.line)
        self._emit(_dashed(self._blocks.pop().closing, tag))

    def _partial(self, tag: Tag) -> None:
        words, named = self._arguments(tag)
        if len(words) > 1 or self._context() or tag.indented or words[0].startswith("("):
            reason = "indented" if tag.indented else "with another context"
            raise self._unconvertible(
                tag, f"the partial `{words[0]}`, {reason},", "write {{> name}} at the margin, outside of each and with"
            )
        self._result.partials.add(words[0])
        include = _dashed(f'{{% include "{feature_name(words[0])}" %}}', tag)
        if named:
            values = ", ".join(f"{key} = {self._expression(tag, value)}" for key, value in named.items())
            include = f"{{% with {values} %}}{include}{{% endwith %}}"
        self._emit(include)

    def _context(self) -> str:
        return self._blocks[-1].context if self._blocks else ""

    def _expression(self, tag: Tag, word: str) -> str:
        if _LITERAL.fullmatch(word):
            return "none" if word == "null" else word
        if word in _LOOP and any(block.loops for block in self._blocks):
            return _LOOP[word]
        contexts = ["", *(block.context for block in self._blocks if block.loops or block.name == "with")]
        path = word.removeprefix("@root.") if word.startswith("@root.") else word
        if path != word:
            contexts = [""]
        while path.startswith("../") and len(contexts) > 1:
            path = path.removeprefix("../")
            contexts.pop()
        if not _PATH.fullmatch(path) or path.startswith(("@", "../")) or not path:
            raise self._unconvertible(tag, f"`{word}`", "only variables, @index, @first, @last and @root are known")
        steps = [step for step in re.split(r"[./]", path) if step]
        if path == "." or steps[:1] == ["this"]:
            steps = steps[1:]
        if contexts[-1] == "" and steps:
            return ".".join([self._root(tag, steps[0]), *steps[1:]])
        expression = ".".join([contexts[-1], *steps])
        if not expression.strip("."):
            raise self._unconvertible(tag, f"`{word}` outside of a block")
        return expression

    def _root(self, tag: Tag, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise self._unconvertible(tag, f"the variable name `{name}`", "use letters, digits and _")
        if name not in self._optional:
            return name
        return f"({name}|default({jinja_literal(self._optional[name])}))"


def _dashed(template: str, tag: Tag) -> str:
    """Carry Handlebars' `~` over as `-`."""
    if tag.trims_before:
        template = f"{template[:2]}-{template[2:]}"
    return f"{template[:-2]}-{template[-2:]}" if tag.trims_after else template
