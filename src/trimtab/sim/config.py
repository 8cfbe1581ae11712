"""What the simulator is told: rules in a YAML or JSON file, camelCase, unknown keys refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
import yaml

from trimtab.core.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEFAULT_RULES", "Latency", "Rule", "SimConfig", "When", "load_sim_config"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of the configuration's parts."""


class When(_Part, frozen=True, kw_only=True, rename="camel"):
    """Which requests a rule takes: all that is given must hold. Text is compared without regard to case."""

    model: str = ""
    """The model's name; `*` and `?` are wild."""
    system_contains: str = ""
    """In the system and developer messages together."""
    user_contains: str = ""
    """In the last user message."""


class Latency(_Part, frozen=True, kw_only=True, rename="camel"):
    """Log-normal time to the answer (of a stream: to its first chunk), drawn per request."""

    median_ms: float = 0.0
    p95_ms: float = 0.0
    """Below the median, every answer takes the median."""


class Rule(_Part, frozen=True, kw_only=True, rename="camel"):
    """One behaviour. The first rule whose `when` holds answers."""

    name: str = ""
    """For messages, and part of every draw; its place in the file (`rule-1`, ...) where not given."""
    when: When = When()
    answer: str | dict[str, Any] = ""
    """A template, or an object whose texts are templates and which is answered as JSON. Templates (minijinja) know
    `user` (last user message), `system`, `model`, `unit`, `order_id` and `pick(...)`, a seeded choice. Empty: what the
    next rule that holds would answer, the built-in ones last."""
    verbosity: float = 1.0
    """Factor on the number of words of the text (of the longest text of an object)."""
    draw_by: Literal["request", "user"] = "request"
    """What the rates below are drawn for: every request anew, or once and for all per user (a rule that breaks for
    `some users`). Errors and latency are always drawn per request."""
    fence_rate: float = 0.0
    """Wrapped in a Markdown code fence."""
    preamble_rate: float = 0.0
    """Preceded by `preamble`."""
    preamble: str = "Sure, happy to help! Here is what I found:\n\n"
    refusal_rate: float = 0.0
    """Answered with `refusal`."""
    refusal: str = "I'm sorry, but I can't help with that."
    empty_rate: float = 0.0
    """Answered with nothing."""
    invalid_json_rate: float = 0.0
    """JSON that breaks off."""
    tool_call_rate: float = 0.0
    """Where the request has tools: calls the first (or the one `tool_choice` names) instead of answering."""
    error_rate: float = 0.0
    """Answered with `error_status` and an error in the shape of the API that was called."""
    error_status: int = 500
    rejects: tuple[str, ...] = ()
    """Fields of a request that are answered with 400, as models do that do not take a parameter."""
    latency: Latency = Latency()


class SimConfig(_Part, frozen=True, kw_only=True, rename="camel"):
    """The whole simulator."""

    seed: int = 1
    """Same seed, same request, same user: same answer."""
    tokens_per_word: float = 1.3
    chunk_gap_ms: float = 0.0
    """Between two chunks (words) of a stream."""
    embedding_dimensions: int = 256
    models: tuple[str, ...] = ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "text-embedding-3-small")
    """What `GET /v1/models` lists; every name is answered."""
    rules: list[Rule] = []
    """Tried in order, before the built-in ones."""


DEFAULT_RULES = (
    Rule(
        name="support-json",
        when=When(system_contains="json", user_contains="order"),
        answer={
            "answer": "{{ pick('Your order is on its way.', 'Your parcel left our warehouse yesterday.', "
            "'The carrier has your parcel and will ring you.') }} "
            "You should have it by {{ pick('Tuesday', 'Thursday', 'the end of the week') }}.",
            "order_id": "{{ order_id }}",
            "next_step": "{{ pick('wait_for_delivery', 'check_tracking_link', 'reply_if_late') }}",
        },
    ),
    Rule(
        name="any-json",
        when=When(system_contains="json"),
        answer={
            "answer": "Thank you for writing to us. {{ pick('A colleague', 'Our team') }} looks into it.",
            "order_id": "{{ order_id }}",
            "next_step": "{{ pick('wait_for_reply', 'send_order_number') }}",
        },
    ),
    Rule(name="plain"),
)
"""Order support in JSON; for everything else what the request's JSON Schema asks for, or a plain sentence."""


def load_sim_config(path: Path) -> SimConfig:
    """Return the configuration in a `.json` or `.yaml` file.

    Raises `SourceError` with path, and line or field, for what cannot be read or is not one.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise SourceError(
            "unreadable_file", f"cannot read the simulator's file: {error.strerror}", path=str(path)
        ) from error
    except UnicodeDecodeError as error:
        raise SourceError("not_utf8", f"byte {error.start} is not UTF-8", path=str(path)) from error
    try:
        tree = msgspec.json.decode(text) if path.suffix == ".json" else yaml.safe_load(text)
    except msgspec.DecodeError as error:
        raise SourceError("malformed_json", f"not JSON: {error}", path=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise SourceError("malformed_yaml", f"not YAML: {error}", path=str(path), line=line) from error
    try:
        config = msgspec.convert(tree or {}, SimConfig)
    except msgspec.ValidationError as error:
        raise SourceError(
            "invalid_sim_config", f"{error}", path=str(path), hint="see the simulator's reference"
        ) from error
    rules = []
    for number, rule in enumerate(config.rules, start=1):
        named = rule if rule.name else msgspec.structs.replace(rule, name=f"rule-{number}")
        _check_rates(named, path)
        rules.append(named)
    return msgspec.structs.replace(config, rules=rules)


def _check_rates(rule: Rule, path: Path) -> None:
    for name in Rule.__struct_fields__:
        if name.endswith("_rate") and not 0.0 <= getattr(rule, name) <= 1.0:
            camel = name.replace("_r", "R").replace("_c", "C").replace("_j", "J")
            message = f"rule `{rule.name}`: `{camel}` is {getattr(rule, name)}, not between 0 and 1"
            raise SourceError("invalid_sim_config", message, path=str(path))
