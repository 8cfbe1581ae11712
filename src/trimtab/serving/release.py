"""A release made ready to serve: templates compiled, variables checked."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import minijinja

from trimtab.artifacts.template import new_environment
from trimtab.core.errors import InputError
from trimtab.serving.plain_prompt import plain_prompt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.releases.model import CompiledRelease

__all__ = ["PreparedRelease"]

_FUNCTIONS = frozenset({"dict", "namespace", "range"})
"""What a template calls without being given it."""

_RAISED_BY_OBJECTS = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What variables raise that are objects of an application's own, when a template looks into them."""


class PreparedRelease:
    """A compiled release and what rendering it needs. Immutable and shared between threads."""

    __slots__ = ("_declared", "_environment", "_roles", "_validator", "compiled", "digest", "label", "number", "plain")

    def __init__(self, compiled: CompiledRelease) -> None:
        """Compile what rendering needs; raises `InputError` (`template_error`, `schema_error`) where it is invalid."""
        self.compiled = compiled
        self.digest = compiled.digest
        self.number = compiled.number
        self.label = f"{compiled.feature}#{compiled.number}"
        self._roles = tuple(message.role for message in compiled.prompt.messages)
        self._environment = new_environment()  # the dialect that push checked against
        for index, message in enumerate(compiled.prompt.messages):
            try:
                self._environment.add_template(str(index), message.content)
            except minijinja.TemplateError as error:
                raise InputError(
                    "template_error",
                    f"message {index} of {self.label} is no template: {error}",
                    param=f"prompt.messages[{index}].content",
                ) from error
        schema = compiled.prompt.variables
        self._validator = _validator(schema, label=self.label)
        self._declared = frozenset(schema.get("properties", {}))
        self.plain = plain_prompt(compiled.prompt, self._environment.undeclared_variables_in_str)
        """What fills it in without the engine, where that can be; `render` asks it first."""

    def render(self, variables: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the release's messages with the variables filled in.

        Raises `InputError`: `unknown_variable`, `missing_variable`, `invalid_variable` or `template_error`, naming
        the variable.
        """
        if self.plain is not None:
            messages = self.plain.render(variables)
            if messages is not None:
                return messages
        return self.render_templates(variables)

    def render_templates(self, variables: Mapping[str, Any]) -> list[dict[str, str]]:
        """Do what `render` does by the engine alone: for whom `plain` has said that it cannot."""
        for name in variables:
            if not isinstance(name, str):
                raise _no_name(self.label, name)
        if self._validator is not None and not self._accepts(variables):
            raise self._refusal(variables)
        render = self._environment.render_template
        try:
            return [{"role": role, "content": render(str(i), **variables)} for i, role in enumerate(self._roles)]
        except (minijinja.TemplateError, *_RAISED_BY_OBJECTS) as error:
            raise self._unrenderable(error, variables) from error

    def _unrenderable(self, error: Exception, variables: Mapping[str, Any]) -> InputError:
        if isinstance(error, minijinja.TemplateError) and error.kind == "UndefinedError":
            texts = (message.content for message in self.compiled.prompt.messages)
            taken = set().union(*(self._environment.undeclared_variables_in_str(text) for text in texts))
            lacking = sorted(taken - set(variables) - _FUNCTIONS)
            if lacking:
                return _missing(self.label, lacking[0])
        return InputError(
            "template_error",
            f"the prompt of {self.label} cannot be rendered: {error}",
            param="variables",
            hint="check the types of the variables",
        )

    def _accepts(self, variables: Mapping[str, Any]) -> bool:
        try:
            accepted: bool = self._validator.is_valid(dict(variables))
        except (ValueError, TypeError, RecursionError):  # no JSON value: an object, bytes, a list in itself
            return False
        return accepted

    def _refusal(self, variables: Mapping[str, Any]) -> InputError:
        for name in variables:
            if name not in self._declared:
                close = difflib.get_close_matches(str(name), sorted(self._declared), n=1)
                known = ", ".join(sorted(self._declared)) or "none"
                hint = f"did you mean `{close[0]}`?" if close else f"its variables: {known}"
                return InputError(
                    "unknown_variable", f"{self.label} has no variable `{name}`", param=f"variables.{name}", hint=hint
                )
        for name in self.compiled.prompt.variables.get("required", []):
            if name not in variables:
                return _missing(self.label, name)
        for name, value in variables.items():
            if not _is_json(value):
                return InputError(
                    "invalid_variable",
                    f"variables.{name} is no JSON value",
                    param=f"variables.{name}",
                    hint="use strings, numbers, booleans, null, lists, and dicts whose keys are strings",
                )
        problem = next(iter(self._validator.iter_errors(dict(variables))))
        path = ".".join(["variables", *(str(part) for part in problem.instance_path)])
        return InputError("invalid_variable", f"{path} is wrong: {problem.message}", param=path)


def _is_json(value: object) -> bool:
    try:
        if isinstance(value, dict):
            return all(isinstance(key, str) and _is_json(each) for key, each in value.items())
        if isinstance(value, list | tuple):
            return all(_is_json(each) for each in value)
    except RecursionError:
        return False
    return value is None or isinstance(value, str | int | float)


def _no_name(label: str, name: object) -> InputError:
    return InputError(
        "invalid_variables",
        f"the variables of {label} have names, and `{name!r:.100}` is none",
        param="variables",
        hint='pass {"name": value}',
    )


def _missing(label: str, name: str) -> InputError:
    return InputError(
        "missing_variable",
        f"{label} needs the variable `{name}`",
        param=f"variables.{name}",
        hint="send it under trimtab.variables",
    )


def _validator(schema: Mapping[str, Any], *, label: str) -> Any:  # noqa: ANN401 - jsonschema_rs types are loaded late
    if not schema:
        return None
    import jsonschema_rs  # late: 25 ms that a process without releases need not pay

    try:
        return jsonschema_rs.validator_for(dict(schema), retriever=_no_network)
    except ValueError as error:
        raise InputError(
            "schema_error",
            f"the variables of {label} are described by no JSON Schema: {str(error).partition(chr(10))[0]}",
            param="prompt.variables",
        ) from error


def _no_network(uri: str) -> Any:  # noqa: ANN401 - the signature jsonschema_rs calls
    raise ValueError(f"`{uri}` is outside the release; a data plane fetches nothing")
