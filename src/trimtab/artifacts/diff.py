"""Semantic difference of two versions: what a release changes, said so that a reviewer can decide on it."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from trimtab.artifacts.change import Change, same, show
from trimtab.artifacts.model import (
    AdapterContent,
    Content,
    ModelContent,
    PartialContent,
    PromptContent,
    PromptMessage,
    SchemaContent,
    ToolDefinition,
    ToolsContent,
)
from trimtab.artifacts.schema_diff import diff_schema
from trimtab.artifacts.text_diff import diff_text
from trimtab.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Change", "ReleaseParts", "diff_artifacts", "diff_releases"]


class ReleaseParts(Protocol):
    """What a compiled release consists of (`releases` is above this package)."""

    @property
    def prompt(self) -> PromptContent: ...
    @property
    def model(self) -> ModelContent: ...
    @property
    def tools(self) -> ToolsContent | None: ...
    @property
    def schema(self) -> SchemaContent | None: ...
    @property
    def adapter(self) -> AdapterContent | None: ...
    @property
    def wire(self) -> str: ...
    @property
    def fallbacks(self) -> Sequence[FallbackParts]: ...


class FallbackParts(Protocol):
    """One fallback of a release."""

    @property
    def model(self) -> ModelContent: ...
    @property
    def wire(self) -> str: ...


def diff_releases(old: ReleaseParts, new: ReleaseParts) -> list[Change]:
    """Return what differs between two releases; empty exactly where all their contents are equal."""
    changes = [*_prompt(old.prompt, new.prompt), *_model_itself(old.model, new.model)]
    pairs: list[tuple[str, Content | None, Content | None]] = [
        ("tools", old.tools, new.tools),
        ("schema", old.schema, new.schema),
        ("adapter", old.adapter, new.adapter),
    ]
    for kind, before, after in pairs:
        changes += _optional(kind, before, after)
    if old.wire != new.wire:
        changes.append(_replaced("wire", old.wire, new.wire))
    return [*changes, *_fallbacks(old.fallbacks, new.fallbacks)]


def diff_artifacts(old: Content, new: Content) -> list[Change]:
    """Return what differs between two contents of one kind; raises `InputError` (`different_kinds`)."""
    match old, new:
        case PromptContent(), PromptContent():
            return list(_prompt(old, new))
        case PartialContent(), PartialContent():
            return diff_text("partial.text", old.text, new.text, template=True)
        case ModelContent(), ModelContent():
            return list(_model(old, new))
        case ToolsContent(), ToolsContent():
            return list(_tools(old, new))
        case SchemaContent(), SchemaContent():
            return list(_response(old, new))
        case AdapterContent(), AdapterContent():
            return [] if old == new else [_replaced("adapter.output", list(old.output), list(new.output))]
    raise InputError(
        "different_kinds",
        f"a {type(old).__name__} and a {type(new).__name__} have no common meaning to compare",
        hint="compare two versions of one artifact",
    )


def _fallbacks(old: Sequence[FallbackParts], new: Sequence[FallbackParts]) -> Iterator[Change]:
    """Compare two chains place by place: the order is what they mean."""
    for number, (before, after) in enumerate(zip_longest(old, new), 1):
        path = f"fallbacks[{number}]"
        if before is not None and after is not None:
            for change in _model_itself(before.model, after.model):
                yield msgspec.structs.replace(change, path=f"{path}.{change.path}")
            if before.wire != after.wire:
                yield _replaced(f"{path}.wire", before.wire, after.wire)
        elif before is not None:
            named = _named(before.model)
            yield Change(kind="removed", path=path, before=_plain(before.model), summary=f"fallback removed ({named})")
        elif after is not None:
            named = _named(after.model)
            yield Change(kind="added", path=path, after=_plain(after.model), summary=f"fallback added ({named})")


def _optional(kind: str, old: Content | None, new: Content | None) -> list[Change]:
    if old is not None and new is not None:
        return diff_artifacts(old, new)
    if old is not None:
        return [Change(kind="removed", path=kind, before=_plain(old), summary=f"{kind} removed ({_named(old)})")]
    if new is not None:
        return [Change(kind="added", path=kind, after=_plain(new), summary=f"{kind} added ({_named(new)})")]
    return []


def _named(content: Content) -> str:
    match content:
        case ToolsContent():
            return ", ".join(tool.name for tool in content.tools)
        case SchemaContent():
            return content.name
        case AdapterContent():
            return ", ".join(content.output)
        case ModelContent():
            return f"{content.provider}/{content.model}"
        case _:
            return type(content).__name__


def _prompt(old: PromptContent, new: PromptContent) -> Iterator[Change]:
    matcher = SequenceMatcher(None, [_key(message) for message in old.messages], [_key(item) for item in new.messages])
    for _, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        shared = min(old_to - old_from, new_to - new_from)
        for offset in range(shared):
            place = f"prompt.messages[{new_from + offset}]"
            yield from _message(place, old.messages[old_from + offset], new.messages[new_from + offset])
        for index in range(old_from + shared, old_to):
            yield _one_sided("removed", f"prompt.messages[{index}]", old.messages[index])
        for index in range(new_from + shared, new_to):
            yield _one_sided("added", f"prompt.messages[{index}]", new.messages[index])
    yield from diff_schema("prompt.variables", old.variables, new.variables, noun="variable")


def _key(message: PromptMessage) -> tuple[str, str]:
    return message.role, message.content


def _message(place: str, old: PromptMessage, new: PromptMessage) -> Iterator[Change]:
    if old.role != new.role:
        yield _replaced(f"{place}.role", old.role, new.role)
    yield from diff_text(f"{place}.content", old.content, new.content, template=True)


def _one_sided(kind: str, place: str, message: PromptMessage) -> Change:
    value = _plain(message)
    summary = f"{message.role} message {kind}: {show(' '.join(message.content.split()))}"
    if kind == "added":
        return Change(kind="added", path=place, after=value, summary=summary, words_added=[message.content])
    return Change(kind="removed", path=place, before=value, summary=summary, words_removed=[message.content])


def _model(old: ModelContent, new: ModelContent) -> Iterator[Change]:
    yield from _model_itself(old, new)
    if old.called_by != new.called_by:
        yield _replaced("model.api", old.called_by, new.called_by)


def _model_itself(old: ModelContent, new: ModelContent) -> Iterator[Change]:
    """Without its API: a release says by its wire formats how its models are called."""
    if old.provider != new.provider:
        yield _replaced("model.provider", old.provider, new.provider)
    if old.model != new.model:
        yield _replaced("model.model", old.model, new.model)
    for name in sorted(old.parameters.keys() | new.parameters.keys()):
        place = f"model.parameters.{name}"
        if name not in new.parameters:
            value = old.parameters[name]
            yield Change(kind="removed", path=place, before=value, summary=f"removed (was {show(value)})")
        elif name not in old.parameters:
            value = new.parameters[name]
            yield Change(kind="added", path=place, after=value, summary=f"set to {show(value)}")
        elif not same(old.parameters[name], new.parameters[name]):
            yield _replaced(place, old.parameters[name], new.parameters[name])


def _tools(old: ToolsContent, new: ToolsContent) -> Iterator[Change]:
    before = {tool.name: tool for tool in old.tools}
    after = {tool.name: tool for tool in new.tools}
    for name, tool in before.items():
        if name not in after:
            yield Change(kind="removed", path=f"tools.{name}", before=_plain(tool), summary=f"tool `{name}` removed")
    for name, tool in after.items():
        if name in before:
            yield from _tool(before[name], tool)
        else:
            yield Change(kind="added", path=f"tools.{name}", after=_plain(tool), summary=f"tool `{name}` added")
    shared = [[name for name in tools if name in before and name in after] for tools in (before, after)]
    if shared[0] != shared[1]:
        yield Change(
            kind="moved",
            path="tools",
            before=list(before),
            after=list(after),
            summary=f"the model sees the tools in another order: {', '.join(after)}",
        )


def _tool(old: ToolDefinition, new: ToolDefinition) -> Iterator[Change]:
    place = f"tools.{new.name}"
    yield from diff_text(f"{place}.description", old.description, new.description)
    yield from diff_schema(f"{place}.parameters", old.parameters, new.parameters, noun="parameter")
    if old.strict != new.strict:
        yield _replaced(f"{place}.strict", old.strict, new.strict)


def _response(old: SchemaContent, new: SchemaContent) -> Iterator[Change]:
    if old.name != new.name:
        yield _replaced("schema.name", old.name, new.name)
    yield from diff_schema("schema", old.schema, new.schema)
    if old.strict != new.strict:
        yield _replaced("schema.strict", old.strict, new.strict)


def _replaced(path: str, before: Any, after: Any) -> Change:  # noqa: ANN401 - any JSON value
    return Change(kind="changed", path=path, before=before, after=after, summary=f"{show(before)} → {show(after)}")


def _plain(value: Any) -> Any:  # noqa: ANN401 - a Struct, as plain JSON
    return msgspec.to_builtins(value)
