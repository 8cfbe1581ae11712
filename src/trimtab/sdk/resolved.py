"""What a feature resolves to for one unit, and its prompt with the variables filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.artifacts.model import ModelContent, PromptContent, PromptMessage
from trimtab.core.errors import InputError
from trimtab.releases.model import CompiledRelease
from trimtab.sdk.own_copy import own_copy
from trimtab.sdk.request import checked_variables
from trimtab.serving.decision import Decision
from trimtab.serving.plain_prompt import SharedPrompt
from trimtab.serving.release import PreparedRelease

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trimtab.events import Arm

__all__ = ["Fallback", "Rendered", "Resolved", "check_default", "fill_in"]


_FALLBACK_TYPES: dict[str, Any] = {
    "model": str,
    "messages": list[PromptMessage],
    "provider": str,
    "parameters": dict[str, Any],
}


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve where Trimtab cannot say: the `default` of `resolve` and `render`."""

    model: str
    messages: list[dict[str, str]] = []
    """`{"role", "content"}`; contents are templates, as in a prompt."""
    provider: str = "openai"
    parameters: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Raises `InputError` (`invalid_default`) at once: it is served when all else has failed."""
        for name, kind in _FALLBACK_TYPES.items():
            try:
                msgspec.convert(getattr(self, name), kind)
            except msgspec.ValidationError as error:
                raise InputError(
                    "invalid_default", f"`{name}` of the default is wrong: {error}", param=f"default.{name}"
                ) from error

    def prepared(self, feature: str) -> PreparedRelease:
        """Return it as a release without identity; raises `InputError` (`template_error`) where it cannot be one."""
        prompt = PromptContent(messages=msgspec.convert(self.messages, list[PromptMessage]), variables={})
        model = ModelContent(provider=self.provider, model=self.model, parameters=self.parameters)
        return PreparedRelease(CompiledRelease(digest="", feature=feature, number=0, prompt=prompt, model=model))


def check_default(value: object) -> None:
    """Raise `InputError` (`invalid_default`) for what is no `Fallback`, before it is needed."""
    if not isinstance(value, Fallback):
        raise InputError(
            "invalid_default",
            f"a default is a `Fallback`, not a `{type(value).__name__}`",
            param="default",
            hint='pass trimtab.Fallback(model="...", messages=[...])',
        )


class Resolved(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The release that one unit of a feature meets. Immutable; cheap to make and to keep for a request."""

    decision: Decision
    started_ns: int
    error_code: str = ""
    """Why this is the default; empty where it is a release."""
    error_message: str = ""

    def __repr__(self) -> str:
        what = self.release or f"default, {self.error_code}"
        return f"<Resolved {self.feature}: {what}, arm {self.arm}>"

    @property
    def feature(self) -> str:
        """The feature's name."""
        return self.decision.feature

    @property
    def environment(self) -> str:
        """The environment whose pointer and rollout decided."""
        return self.decision.environment

    @property
    def release(self) -> str:
        """The friendly label, `support-reply#42`; empty for a default."""
        return self.decision.release.label if self.digest else ""

    @property
    def digest(self) -> str:
        """The release's identity; empty for a default."""
        return self.decision.release.digest

    @property
    def number(self) -> int:
        """The number in the label; 0 for a default."""
        return self.decision.release.number

    @property
    def arm(self) -> Arm:
        """The role in which the unit meets the release."""
        return self.decision.arm

    @property
    def unit(self) -> str:
        """The targeting key; empty where none was given."""
        return self.decision.unit

    @property
    def rollout(self) -> str:
        """Id of the rollout in force; empty where none runs."""
        return self.decision.rollout

    @property
    def stage(self) -> int:
        """Index of the rollout's step in force; -1 where none runs."""
        return self.decision.stage

    @property
    def compiled(self) -> CompiledRelease:
        """The whole release, every reference replaced by its content."""
        return self.decision.release.compiled

    @property
    def provider(self) -> str:
        """The model's provider."""
        return self.compiled.model.provider

    @property
    def model(self) -> str:
        """The model's snapshot id at its provider."""
        return self.compiled.model.model

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that the release pins, in OpenAI's names. A copy."""
        return dict(self.compiled.model.parameters)

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools in the shape of the chat completions API; empty where the release has none."""
        return list(self._chat_fields().get("tools", []))

    @property
    def response_format(self) -> dict[str, Any] | None:
        """The response format in the shape of the chat completions API; `None` where the release has no schema."""
        return self._chat_fields().get("response_format")

    def messages(self, variables: Mapping[str, Any] | None = None) -> list[dict[str, str]]:
        """Return the prompt with the variables filled in; raises `InputError` that names a variable."""
        return self.decision.release.render(checked_variables(variables))

    def render(self, **variables: Any) -> Rendered:  # noqa: ANN401 - any JSON value
        """Return the prompt with the variables filled in; raises `InputError` that names a variable."""
        return fill_in(self, variables)

    def _chat_fields(self) -> dict[str, Any]:
        from trimtab.providers.openai import build_request  # late: 6 ms that a process without calls need not pay

        # A message keeps the builder from asking for one; it is not looked at.
        return build_request(self.compiled, [{"role": "user", "content": ""}], {})


class Rendered(msgspec.Struct, eq=False, gc=False):
    """A resolved release with its prompt filled in: ready to be sent by whatever client you use."""

    decision: Decision
    started_ns: int
    messages: list[dict[str, str]]
    _shared: SharedPrompt | None = None
    """What the messages were copied from, where other calls have the same."""
    _values: dict[str, Any] | None = None
    """The variables, where nothing is shared: in nobody else's hands."""
    error_code: str = ""
    """Why this is the default; empty where it is a release."""
    error_message: str = ""

    def __repr__(self) -> str:
        return f"<Rendered {self.resolved!r}, {len(self.messages)} messages>"

    @property
    def resolved(self) -> Resolved:
        """The release that was filled in, or the default."""
        return Resolved(self.decision, self.started_ns, self.error_code, self.error_message)

    @property
    def variables(self) -> dict[str, Any]:
        """What was filled in. A copy: changing it changes nothing that is recorded."""
        values: dict[str, Any] = own_copy(self._shared.variables if self._shared is not None else self._values or {})
        return values

    @property
    def model(self) -> str:
        """The model's snapshot id at its provider."""
        return self.decision.release.compiled.model.model

    def chat_arguments(self, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - as the API takes them
        """Return the whole request for `chat.completions.create(**...)`: the release's fields and the caller's.

        `messages=[...]` follow the prompt. Raises `InputError` (`pinned_field`, `unknown_field`) by the rule of the
        gateway.
        """
        from trimtab.providers.openai import build_request

        return build_request(self.decision.release.compiled, list(self.messages), arguments)


def fill_in(resolved: Resolved, variables: dict[str, Any]) -> Rendered:
    """Return a prompt filled in; raises `InputError` that names one."""
    values: dict[str, Any] = own_copy(variables)
    messages = resolved.decision.release.render(values)
    return Rendered(
        resolved.decision,
        resolved.started_ns,
        messages,
        _values=values,
        error_code=resolved.error_code,
        error_message=resolved.error_message,
    )
