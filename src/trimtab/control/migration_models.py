"""The models that a migration is between, as people name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.artifacts.document import nearest
from trimtab.core.errors import InputError, NotFoundError
from trimtab.migration.inventory import ModelName

if TYPE_CHECKING:
    from collections.abc import Collection

    from trimtab.releases.ports import RegistryTransaction

__all__ = ["called_models", "model_name", "uncalled", "unknown_provider"]


def model_name(text: str, *, param: str, known: Collection[str] = ()) -> ModelName:
    """Return the model of `provider/model`; raises `InputError` for anything else, with a hint at one that is known."""
    provider, slash, model = text.partition("/")
    if not slash or not provider or not model.strip():
        meant = next((one for one in sorted(known) if text and one.endswith(f"/{text}")), "")
        hint = f"did you mean `{meant}`?" if meant else "write e.g. openai/gpt-4o-2024-08-06"
        raise InputError("malformed_name", f"`{text}` names no model", param=param, hint=hint)
    return ModelName(provider=provider, model=model)


def called_models(tx: RegistryTransaction, environment: str) -> set[str]:
    """Return the models that an environment's stable releases call, fallbacks included."""
    releases = [tx.release(pointer.release) for pointer in tx.pointers(environment)]
    return {
        f"{model.provider}/{model.model}"
        for release in releases
        if release is not None
        for model in (release.compiled.model, *(one.model for one in release.compiled.fallbacks))
    }


def uncalled(source: ModelName, environment: str, called: set[str]) -> NotFoundError:
    """Return the error for a model that nothing calls: a plan to replace it would have nothing to do."""
    return NotFoundError(
        "uncalled_model",
        f"no stable release in `{environment}` calls {source.text}, and no call to it is on record",
        param="from",
        hint=nearest(source.text, called)
        if called
        else f"nothing is served in `{environment}` yet: trimtab environment set FEATURE '#1' --reason ...",
    )


def unknown_provider(model: ModelName, known: Collection[str]) -> NotFoundError:
    """Return the error for a new model whose provider the settings do not name: every call to it would fail."""
    return NotFoundError(
        "unknown_provider",
        f"provider `{model.provider}` of {model.text} is not known here",
        param="to",
        hint=f"{nearest(model.provider, known)} Others are named under [providers.{model.provider}] of the settings",
    )
