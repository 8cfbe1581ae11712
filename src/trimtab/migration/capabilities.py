"""What models take: a table of documented facts, each with its source, and a team's own rows on top.

What no row tells is unknown, and is told as unknown: nothing is guessed from a name.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trimtab.artifacts.model import ModelContent

__all__ = [
    "Alias",
    "Capabilities",
    "CapabilityTable",
    "Family",
    "FeatureFact",
    "Lifecycle",
    "ParameterRule",
    "RuleKind",
    "Table",
    "built_in_capabilities",
    "load_capabilities",
]

_BUILT_IN = Path(__file__).with_name("capabilities.toml")
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")

RuleKind = Literal["rejected", "ignored", "limited", "renamed", "required", "default"]


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: unknown keys are errors."""


class ParameterRule(_Row, frozen=True, kw_only=True):
    """What a model does with one parameter, in the names of chat completions."""

    name: str
    rule: RuleKind
    """`limited`: only values between `minimum` and `maximum`, or of `only`, are taken. `renamed`: `use` is taken in its
    place. `required`: a request without it is refused. `default`: what applies where it is not given."""
    minimum: float | None = None
    maximum: float | None = None
    only: list[Any] | None = None
    use: str = ""
    default: Any = None
    satisfied_by: list[str] = []
    """Other names that a required parameter may be given under."""
    when: dict[str, list[Any]] = {}
    """Holds only where other parameters have one of these values."""
    with_: str = msgspec.field(default="", name="with")
    """Holds only beside this other parameter."""
    says: str = ""
    """What the source adds, in words."""
    source: str = ""
    """Where it was read; the family's where empty."""
    seen: str = ""
    """Date (ISO) on which it was."""

    def allows(self, value: Any) -> bool:  # noqa: ANN401 - any JSON value
        """Return whether a `limited` rule takes a value."""
        if self.only is not None:
            return any(type(value) is type(one) and value == one for one in self.only) or (
                _is_number(value) and any(_is_number(one) and value == one for one in self.only)
            )
        if not _is_number(value):
            return True
        low = self.minimum is None or value >= self.minimum
        return low and (self.maximum is None or value <= self.maximum)

    @property
    def limits(self) -> str:
        """What a `limited` rule takes, in words."""
        if self.only is not None:
            return "only " + ", ".join(msgspec.json.encode(one).decode() for one in self.only)
        low = "" if self.minimum is None else f"{self.minimum:g}"
        high = "" if self.maximum is None else f"{self.maximum:g}"
        return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"


class FeatureFact(_Row, frozen=True, kw_only=True):
    """Whether a model can do something a release asks for: `tools`, `json_schema`, `json_object`."""

    name: str
    supported: bool
    says: str = ""
    source: str = ""
    seen: str = ""


class Family(_Row, frozen=True, kw_only=True):
    """Models that take parameters alike."""

    name: str
    provider: str
    models: list[str]
    known: bool = True
    source: str = ""
    seen: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    parameter: list[ParameterRule] = []
    feature: list[FeatureFact] = []


class Lifecycle(_Row, frozen=True, kw_only=True):
    """When models are deprecated and shut down."""

    provider: str
    models: list[str]
    deprecated: str = ""
    shutdown: str = ""
    """ISO date; empty where none is published."""
    replacement: str = ""
    says: str = ""
    source: str
    seen: str

    def __post_init__(self) -> None:
        for day in (self.deprecated, self.shutdown):
            if day:
                date.fromisoformat(day)


class Alias(_Row, frozen=True, kw_only=True):
    """A name that stands for a snapshot today."""

    provider: str
    name: str
    snapshot: str
    source: str
    seen: str


class Table(_Row, frozen=True, kw_only=True):
    """A file of rows, in their order."""

    family: list[Family] = []
    lifecycle: list[Lifecycle] = []
    alias: list[Alias] = []


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """All the table tells of one model."""

    provider: str
    model: str
    known: bool
    """Whether any row is about this model; parameters of an unknown one cannot be checked."""
    families: list[str]
    parameters: dict[str, ParameterRule]
    features: dict[str, FeatureFact]
    lifecycle: Lifecycle | None = None
    alias: Alias | None = None
    naming: Literal["pinned", "alias", "unknown"] = "unknown"
    """`pinned`: the name carries a date. `alias`: the table says what it stands for."""
    context_tokens: int | None = None
    max_output_tokens: int | None = None

    @property
    def shutdown(self) -> str:
        """ISO date of the shutdown, empty where none is known."""
        return "" if self.lifecycle is None else self.lifecycle.shutdown


_R = TypeVar("_R", ParameterRule, FeatureFact)


class CapabilityTable:
    """Rows in their order; later ones win."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables = list(tables)

    def of(self, model: ModelContent) -> Capabilities:
        """Return what is known of a model (its parameters do not matter here)."""
        return self.named(model.provider, model.model)

    def named(self, provider: str, name: str) -> Capabilities:
        """Return what is known of a provider's model."""
        alias = self._alias(provider, name)
        names = (name,) if alias is None else (alias.snapshot, name)
        families = [one for one in self._families(provider) if any(_matches(n, one.models) for n in names)]
        parameters: dict[str, ParameterRule] = {}
        features: dict[str, FeatureFact] = {}
        for family in families:
            for rule in family.parameter:
                parameters[rule.name] = _sourced(rule, family)
            for fact in family.feature:
                features[fact.name] = _sourced(fact, family)
        sizes = [one for one in families if one.context_tokens or one.max_output_tokens]
        return Capabilities(
            provider=provider,
            model=name,
            known=any(one.known for one in families),
            families=[one.name for one in families],
            parameters=parameters,
            features=features,
            lifecycle=self._lifecycle(provider, names),
            alias=alias,
            naming="alias" if alias else "pinned" if _DATED.search(name) else "unknown",
            context_tokens=sizes[-1].context_tokens if sizes else None,
            max_output_tokens=sizes[-1].max_output_tokens if sizes else None,
        )

    def _families(self, provider: str) -> list[Family]:
        return [one for table in self._tables for one in table.family if one.provider == provider]

    def _alias(self, provider: str, name: str) -> Alias | None:
        found = [one for table in self._tables for one in table.alias if (one.provider, one.name) == (provider, name)]
        return found[-1] if found else None

    def _lifecycle(self, provider: str, names: tuple[str, ...]) -> Lifecycle | None:
        """Return the newest row about the model; what it is called by counts before what that stands for."""
        rows = [one for table in self._tables for one in table.lifecycle if one.provider == provider]
        for name in reversed(names):
            found = [one for one in rows if _matches(name, one.models)]
            if found:
                return found[-1]
        return None


def load_capabilities(overlay: str = "") -> CapabilityTable:
    """Return the built-in table with the rows of a team's file on top.

    Raises `SourceError` that names the file for one that cannot be read or holds anything else.
    """
    tables = [built_in_capabilities()]
    if overlay:
        tables.append(_read(Path(overlay)))
    return CapabilityTable(tables)


@cache
def built_in_capabilities() -> Table:
    """Return the rows that come with Trimtab."""
    return _read(_BUILT_IN)


def _read(path: Path) -> Table:
    try:
        tree = tomllib.loads(path.read_bytes().decode())
        return msgspec.convert(tree, Table)
    except OSError as error:
        raise SourceError("unreadable_file", f"cannot read capabilities: {error.strerror}", path=str(path)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError("malformed_toml", f"not TOML: {error}", path=str(path)) from error
    except msgspec.ValidationError as error:
        raise SourceError(
            "invalid_capabilities", f"{error}", path=str(path), hint="see the reference of the capability table"
        ) from error


def _sourced(row: _R, family: Family) -> _R:
    return msgspec.structs.replace(row, source=row.source or family.source, seen=row.seen or family.seen)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_number(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, (int, float)) and not isinstance(value, bool)
