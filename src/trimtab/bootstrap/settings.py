"""Settings: one TOML file, overridden by environment variables, overridden by flags.

Unknown keys are errors that name their path. Secrets are never settings: a provider names the environment variable
that holds its key.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from trimtab.bootstrap.node_settings import DataPlanesSettings, RelaySettings
from trimtab.core.errors import InputError, SourceError
from trimtab.core.ids import check_name
from trimtab.providers.resilience.policy import BreakerPolicy, RetryPolicy
from trimtab.serving.directory import DataDirectory
from trimtab.serving.disk_budget import JournalLimits
from trimtab.serving.team_limit import TeamLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ENVIRONMENT_VARIABLES",
    "EvidenceSettings",
    "GatewaySettings",
    "IntakeSettings",
    "MetricsSettings",
    "MigrationSettings",
    "OtelSettings",
    "ProviderSettings",
    "ServerSettings",
    "Settings",
    "load_settings",
]

_FILE_NAME = "trimtab.toml"


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model provider is reached, and which environment variable holds its key."""

    base_url: str
    """Up to and including the version, e.g. `https://api.openai.com/v1`."""
    api_key_env: str = ""
    """Name of the environment variable with the key; empty where none is needed."""


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The OpenAI-compatible data plane."""

    host: str = "127.0.0.1"
    port: int = 8400
    max_body_bytes: int = 10 * 1024 * 1024
    """Larger requests are answered with 413."""
    upstream_timeout_seconds: float = 600.0
    drain_seconds: float = 30.0
    """How long SIGTERM waits for requests in flight."""
    drain_idle_seconds: float = 3.0
    """How much of it idle connections are kept open, for requests that are on their way."""
    workers: int = 1
    """Gateway processes behind the port: one for each core that the gateway may have."""
    redact: str = ""
    """`module:function` that sees the content of every event (prompt, variables, answer, comment) before it is written
    and returns what may be kept of it. Where it fails, the event is written without content."""
    redact_path: list[str] = []
    """Folders from which `redact` may load. Its code runs in the gateway."""
    trust_network: bool = False
    """Listen off loopback although no gateway key exists. Anybody who reaches the port may then call."""
    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    limits: dict[str, TeamLimit] = {}
    """By team; `*` stands for every team that is not named."""
    shadow_limits: dict[str, TeamLimit] = {}
    """What mirrored requests may use, by the team that owns the feature; `*` as in `limits`."""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control plane: controller, API and console."""

    host: str = "127.0.0.1"
    port: int = 8401
    tick_seconds: float = 0.5
    """How often evidence is folded and rollouts are decided."""
    scorer_path: list[str] = []
    """Folders from which `scorer: {python: "module:function"}` may load. Their code runs in the server."""
    data_planes: DataPlanesSettings = DataPlanesSettings()


class EvidenceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events at rest: journals become Parquet files."""

    location: str = ""
    """A folder, or `s3://bucket/prefix?region=...`; `evidence` in the data directory where empty. Credentials for S3
    come from the environment, as AWS's tools read them."""
    compact_seconds: float = 5.0
    """How often the server moves journals into files."""
    retention_days: float = 400.0
    """Files whose hour is older are deleted."""
    journal_hours: float = 24.0
    """How long what was moved stays in journals, where `trimtab trace` finds it fastest."""
    erasure_hours: float = 24.0
    """How long an erasure may wait for some machine before `/readyz` and the log warn of it."""


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`/metrics` of gateway and server, for Prometheus."""

    token_env: str = ""
    """Name of the environment variable with the token that a scraper sends (`Authorization: Bearer`). Where empty,
    `/metrics` is guarded as everything else: by gateway keys, where any exist."""
    open: bool = False
    """Answer whoever reaches the port, also where everything else asks for a key."""


class OtelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is recorded, sent to an OpenTelemetry collector (OTLP over HTTP) by `trimtab server` and `trimtab relay`."""

    endpoint: str = ""
    """Base address of the collector, such as `http://127.0.0.1:4318`; nothing is sent where empty."""
    headers_env: str = ""
    """Name of the environment variable with headers to send: `name=value,...`, as in OTEL_EXPORTER_OTLP_HEADERS."""
    signals: tuple[Literal["traces", "logs"], ...] = ("traces",)
    """`traces`: a span for each generation. `logs`: exposures, scores and feedback as log events."""
    content: bool = False
    """Whether prompts, answers, comments and units are sent, as far as they were recorded."""
    sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """Share of traces that are sent, of those that no caller began; what a caller began is sent if it sampled it."""
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long the collector may take for one request."""
    compression: Literal["gzip", "none"] = "gzip"
    resource: dict[str, str] = {}
    """Attributes of the resource, beside `service.name = "trimtab"`."""


class IntakeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traces that applications send to `trimtab server` (OTLP over HTTP): their model calls become generations."""

    feature_attributes: tuple[str, ...] = ("trimtab.feature", "service.name")
    """Where a span, or its resource, names the feature; the first that is there. Spans without one are refused."""
    content: bool = True
    """Whether prompts and answers are kept, as far as they are sent and `gateway.redact` leaves them."""


class MigrationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What new model migrations go by; a plan keeps what it was begun with."""

    capabilities: str = ""
    """A TOML file of what models take, read after the built-in table: its rows win."""
    lead_days: float = 30.0
    """How long a migration takes: an alarm is raised when the old model's shutdown is nearer than this."""
    traffic_days: float = 30.0
    """How far back recorded calls are looked at."""
    golden_items: int = 400
    """Recorded calls of each feature that both models are asked again, at most."""
    min_items: int = 30
    """Of each feature, for the golden set to pass."""
    heldout_share: float = 0.5
    """Share of them that adapting never sees."""
    max_noise: float = 0.2
    """Share of items, at most, in which two answers of the old model differ in what programs read."""
    max_errors: float = 0.02
    """Share of calls of the golden set, at most, that may fail."""
    margin: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    """What counts as equivalent: what programs read is worse in less than this share of the held-out answers, shown at
    95 % (0.05: five in a hundred; takes some 60 held-out items). How far it is shown is always told; without a
    margin that decides nothing."""
    soak_hours: float = 24.0
    """How long the new release must be in force before the cutover counts."""
    zero_call_hours: float = 168.0
    """How long nobody may have called the old model before it counts as retired."""
    approve_before: list[Literal["golden", "lint", "diff", "adapt", "judges", "shadow", "retire"]] = msgspec.field(
        default_factory=lambda: ["shadow"]
    )
    """States that a person lets each feature into (`trimtab migration approve`)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a Trimtab process can be told."""

    directory: str = ".trimtab"
    """Data directory: control state, snapshots, journals."""
    database: str = ""
    """Where control state lives: `postgresql://user@host:5432/name`, or SQLite in the data directory where empty. Leave
    the password to PGPASSWORD or ~/.pgpass, or give the whole URL in the environment."""
    environment: str = "production"
    """Environment that commands mean when none is named."""
    actor: str = ""
    """Who changes are booked to; the login name where empty."""
    log_format: Literal["human", "json"] = "human"
    """How gateway and server write their log to stderr: prose, or one JSON object a line."""
    gateway: GatewaySettings = GatewaySettings()
    server: ServerSettings = ServerSettings()
    journal: JournalLimits = JournalLimits()
    evidence: EvidenceSettings = EvidenceSettings()
    metrics: MetricsSettings = MetricsSettings()
    otel: OtelSettings = OtelSettings()
    relay: RelaySettings = RelaySettings()
    intake: IntakeSettings = IntakeSettings()
    migration: MigrationSettings = MigrationSettings()
    providers: dict[str, ProviderSettings] = {}
    """By the name a `model` artifact gives as its provider; `openai` and `anthropic` are there without being named."""

    @property
    def data_directory(self) -> DataDirectory:
        """The data directory as paths."""
        return DataDirectory(Path(self.directory).resolve())

    @property
    def evidence_location(self) -> str:
        """Where events at rest are."""
        return self.evidence.location or str(self.data_directory.root / "evidence")


ENVIRONMENT_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "TRIMTAB_DIRECTORY": ("directory",),
    "TRIMTAB_DATABASE": ("database",),
    "TRIMTAB_ENVIRONMENT": ("environment",),
    "TRIMTAB_ACTOR": ("actor",),
    "TRIMTAB_LOG_FORMAT": ("log_format",),
    "TRIMTAB_GATEWAY_HOST": ("gateway", "host"),
    "TRIMTAB_GATEWAY_PORT": ("gateway", "port"),
    "TRIMTAB_SERVER_HOST": ("server", "host"),
    "TRIMTAB_SERVER_PORT": ("server", "port"),
    "TRIMTAB_DATA_PLANES_HOST": ("server", "data_planes", "host"),
    "TRIMTAB_DATA_PLANES_PORT": ("server", "data_planes", "port"),
    "TRIMTAB_DATA_PLANES_ADDRESS": ("server", "data_planes", "address"),
}
"""Environment variable -> path of the setting it overrides."""

_DEFAULT_PROVIDERS = {
    "openai": {"base_url": "https://api.openai.com/v1", "api_key_env": "OPENAI_API_KEY"},
    "anthropic": {"base_url": "https://api.anthropic.com/v1", "api_key_env": "ANTHROPIC_API_KEY"},
}


def load_settings(
    *, config: Path | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Return the settings: flag > environment > file > default.

    `config` is the file to read (`trimtab.toml` in the working directory where `None`, if it is there); `flags` maps
    dotted paths (`gateway.port`) to values, `None` meaning not given. Raises `SourceError` for the file, `InputError`
    for the rest, always with the path of the key.
    """
    tree: dict[str, Any] = {"providers": dict(_DEFAULT_PROVIDERS)}
    _merge(tree, _read_file(config))
    environ = os.environ if environ is None else environ
    for variable, path in ENVIRONMENT_VARIABLES.items():
        if variable in environ:
            _set(tree, path, environ[variable])
    for dotted, value in (flags or {}).items():
        if value is not None:
            _set(tree, tuple(dotted.split(".")), value)
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
        check_name(settings.environment, what="environment")
    except msgspec.ValidationError as error:
        raise InputError(
            "invalid_setting",
            f"a setting is wrong: {error}",
            param=_place(config),
            hint=_nearest(str(error)) or "the settings reference lists every key with its type and default",
        ) from error
    return settings


def _read_file(config: Path | None) -> dict[str, Any]:
    path = config or Path(_FILE_NAME)
    if config is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise SourceError("unreadable_file", f"cannot read the settings: {error.strerror}", path=str(path)) from error
    except UnicodeDecodeError as error:
        raise SourceError("not_utf8", f"byte {error.start} is not UTF-8", path=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise SourceError("malformed_toml", f"not TOML: {error}", path=str(path)) from error


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            tree[key] = dict(tree[key])
            _merge(tree[key], value)
        else:
            tree[key] = value


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:  # noqa: ANN401 - any TOML value
    for key in path[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            return  # what stands in a table's place is refused, with its path, by the conversion
        tree = below
    tree[path[-1]] = value


def _place(config: Path | None) -> str:
    return f"{config or _FILE_NAME}, the environment or a flag"


def _nearest(message: str) -> str | None:
    """Return a hint for msgspec's "unknown field" message."""
    _, found, rest = message.partition("unknown field `")
    if not found:
        return None
    known = {
        field
        for struct in (
            Settings,
            GatewaySettings,
            ServerSettings,
            DataPlanesSettings,
            EvidenceSettings,
            MigrationSettings,
            JournalLimits,
            MetricsSettings,
            OtelSettings,
            RelaySettings,
            IntakeSettings,
            ProviderSettings,
            RetryPolicy,
            BreakerPolicy,
        )
        for field in struct.__struct_fields__
    }
    close = difflib.get_close_matches(rest.split("`")[0], sorted(known), n=1)
    return f"did you mean `{close[0]}`?" if close else None
