"""Names that other people's tools know, in one place: when the conventions move, this file moves and nothing else.

GenAI spans and feature flags as OpenTelemetry's semantic conventions 1.41 have them (`VERSION`). What has no name there
is `trimtab.*`. What is accepted beside these, of older versions, OpenInference and Langfuse, is in `dialects`.
"""

from __future__ import annotations

__all__ = ["OPERATIONS", "PROVIDERS", "SCHEMA_URL", "VERSION", "Flag", "GenAi", "Own", "provider_name"]

VERSION = "1.41.0"
SCHEMA_URL = f"https://opentelemetry.io/schemas/{VERSION}"
"""Sent with every span and event."""


class GenAi:
    """https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/."""

    OPERATION = "gen_ai.operation.name"
    PROVIDER = "gen_ai.provider.name"
    REQUEST_MODEL = "gen_ai.request.model"
    RESPONSE_MODEL = "gen_ai.response.model"
    STREAM = "gen_ai.request.stream"
    FINISH_REASONS = "gen_ai.response.finish_reasons"
    FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
    INPUT_TOKENS = "gen_ai.usage.input_tokens"
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
    INPUT_MESSAGES = "gen_ai.input.messages"
    OUTPUT_MESSAGES = "gen_ai.output.messages"
    SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
    CONVERSATION = "gen_ai.conversation.id"
    EVALUATION_EVENT = "gen_ai.evaluation.result"
    EVALUATION_NAME = "gen_ai.evaluation.name"
    EVALUATION_VALUE = "gen_ai.evaluation.score.value"
    EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"


class Flag:
    """https://opentelemetry.io/docs/specs/semconv/feature-flags/feature-flags-events/: which release a unit met."""

    EVENT = "feature_flag.evaluation"
    KEY = "feature_flag.key"
    PROVIDER = "feature_flag.provider.name"
    VARIANT = "feature_flag.result.variant"
    REASON = "feature_flag.result.reason"
    SET = "feature_flag.set.id"
    VERSION = "feature_flag.version"
    CONTEXT = "feature_flag.context.id"


ERROR_TYPE = "error.type"
HTTP_STATUS = "http.response.status_code"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE = "service.instance.id"
DEPLOYMENT = "deployment.environment.name"


class Own:
    """What only Trimtab knows."""

    FEATURE = "trimtab.feature"
    RELEASE = "trimtab.release"
    """`feature#number`."""
    DIGEST = "trimtab.release.digest"
    ENVIRONMENT = "trimtab.environment"
    ARM = "trimtab.arm"
    ROLLOUT = "trimtab.rollout"
    STEP = "trimtab.rollout.step"
    GENERATION = "trimtab.generation"
    MIRRORS = "trimtab.mirrors"
    ATTEMPTS = "trimtab.attempts"
    FALLBACK = "trimtab.fallback"
    TEAM = "trimtab.team"
    COST = "trimtab.cost_usd"
    UNIT = "trimtab.unit"
    SOURCE = "trimtab.source"
    ATTRIBUTE = "trimtab.attribute."
    """Begins the names of what callers say of a request."""


PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""What providers are often called -> how the conventions call them; others keep their names."""

OPERATIONS = {"embeddings": "embeddings"}
"""Format of a call -> operation; all others are `chat`."""


def provider_name(name: str) -> str:
    """Return how the conventions call a provider."""
    return PROVIDERS.get(name, name)
