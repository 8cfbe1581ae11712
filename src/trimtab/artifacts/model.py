"""What an artifact is: typed content per kind, and the immutable record around it.

The digest covers the content alone (never name, number or author), so equal content is one artifact however often,
by whomever and from whichever file format it is pushed.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from trimtab.core.canonical import canonical_digest

__all__ = [
    "AdapterContent",
    "Artifact",
    "ArtifactKind",
    "Content",
    "DatasetContent",
    "ModelApi",
    "ModelContent",
    "OutputStep",
    "PartialContent",
    "PromptContent",
    "PromptMessage",
    "Role",
    "SchemaContent",
    "ScorerContent",
    "ToolDefinition",
    "ToolsContent",
    "artifact_digest",
    "decode_content",
]

Role = Literal["system", "developer", "user", "assistant"]
ModelApi = Literal["chat", "responses", "messages"]
"""OpenAI's chat completions, OpenAI's Responses, Anthropic's Messages."""
OutputStep = Literal["trim", "strip_code_fence", "extract_code_block", "extract_json", "drop_preamble", "drop_closer"]
"""What :mod:`trimtab.artifacts.output_steps` can do to an output."""
ArtifactKind = Literal["prompt", "partial", "model", "tools", "schema", "adapter", "dataset", "scorer"]


class _Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the content of an artifact: unknown fields are errors, never dropped."""


class PromptMessage(_Content, frozen=True, kw_only=True):
    """One chat message; `content` is a minijinja template."""

    role: Role
    content: str


class PromptContent(_Content, frozen=True, kw_only=True):
    """A chat prompt. `{% include "name" %}` names a partial, bound to a digest when a release is built."""

    messages: list[PromptMessage]
    variables: dict[str, Any]
    """JSON Schema (draft 2020-12) of an object: the variables the templates take. `{}` takes anything."""


class PartialContent(_Content, frozen=True, kw_only=True):
    """A piece of template text that prompts of one feature share."""

    text: str


class ModelContent(_Content, frozen=True, kw_only=True):
    """A model snapshot at a provider, and the sampling parameters the release pins."""

    provider: str
    model: str
    parameters: dict[str, Any] = {}
    """In the names of the OpenAI chat completions API (`temperature`, `max_tokens`, `seed`, ...)."""
    api: ModelApi | msgspec.UnsetType = msgspec.UNSET
    """Which API of the provider is called; see `called_by`. Unset where nothing was said, so that models from before
    there was a choice keep their digests."""

    @property
    def called_by(self) -> ModelApi:
        """The API: Anthropic's Messages for provider `anthropic`, chat completions for others, or what `api` says."""
        if self.api is msgspec.UNSET:
            return "messages" if self.provider == "anthropic" else "chat"
        return self.api


class ToolDefinition(_Content, frozen=True, kw_only=True):
    """One function the model may call; `parameters` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool = False


class ToolsContent(_Content, frozen=True, kw_only=True):
    """The functions the model may call, in the order it sees them."""

    tools: list[ToolDefinition]


class SchemaContent(_Content, frozen=True, kw_only=True):
    """The response format: a JSON Schema the output must satisfy."""

    name: str
    schema: dict[str, Any]
    strict: bool = True


class AdapterContent(_Content, frozen=True, kw_only=True):
    """What is done to a model's output before the caller sees it, step by step."""

    output: list[OutputStep] = []


class DatasetContent(_Content, frozen=True, kw_only=True):
    """Items that releases are tried on; their text lies in a file of its own under `items`."""

    items: str
    """Digest of the items, as JSON Lines."""
    count: int
    heldout: float = 0.5
    """Share of the items (groups of them, where they come in groups) that is held out of the train split."""


class ScorerContent(_Content, frozen=True, kw_only=True):
    """How an answer is judged. `trimtab.evals.scoring` knows the types and their parameters."""

    type: str
    parameters: dict[str, Any] = {}


Content = (
    PromptContent
    | PartialContent
    | ModelContent
    | ToolsContent
    | SchemaContent
    | AdapterContent
    | DatasetContent
    | ScorerContent
)

_CONTENT_TYPES: dict[str, type[Content]] = {
    "prompt": PromptContent,
    "partial": PartialContent,
    "model": ModelContent,
    "tools": ToolsContent,
    "schema": SchemaContent,
    "adapter": AdapterContent,
    "dataset": DatasetContent,
    "scorer": ScorerContent,
}


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A stored artifact version: `feature/kind/name@v{number}` is a friendly alias of `digest` and never moves."""

    digest: str
    kind: ArtifactKind
    feature: str
    name: str
    number: int
    content: Content
    created_at_ms: int
    created_by: str


def artifact_digest(kind: ArtifactKind, content: Content) -> str:
    """Return the identity of a content: SHA-256 over the canonical JSON of `{"kind", "content"}`."""
    return canonical_digest({"kind": kind, "content": msgspec.to_builtins(content)})


def decode_content(kind: ArtifactKind, value: Any) -> Content:  # noqa: ANN401 - any JSON value
    """Return the typed content of a JSON value; raises `msgspec.ValidationError` that names the field."""
    return msgspec.convert(value, _CONTENT_TYPES[kind])
